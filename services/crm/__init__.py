"""crm: accounts and contacts, the work there is with them, messages, notes and the feed."""
