"""The log: append with group commit, read, upcasting, chain. One schema per service; nobody else reads it."""
