"""The command line: ``theke up``, ``theke status``."""
