"""billing: transactions from quote to credit, payments, dunning, contracts, ledgers and coupons."""
