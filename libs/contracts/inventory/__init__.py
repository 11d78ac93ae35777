"""Articles, their groups and tax rates, as other parts of Theke may see them."""
