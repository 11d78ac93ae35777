"""inventory: articles, their groups and tax rates."""
