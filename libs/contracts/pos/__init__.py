"""Tables, orders, payments and receipts, as other parts of Theke may see them."""
