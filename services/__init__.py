"""The services, a package each. None imports another; they meet in ``libs.contracts``."""
