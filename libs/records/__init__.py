"""The record engine: from a declaration to commands, events, a query table and its queries."""
