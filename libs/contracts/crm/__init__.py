"""Customers, work, messages and all else that the ERP keeps about them, as other parts of Theke may see it."""
