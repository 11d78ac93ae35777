"""Quotes to invoices, payments, dunning, contracts and coupons, as other parts of Theke may see them."""
