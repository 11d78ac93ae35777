"""From the log to query tables: declarations, the fold, the projector, and statements that read what it wrote."""
