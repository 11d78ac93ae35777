"""What happens at the till: orders at tables, sales, payments, receipts and voids."""
