"""Instances, users, sessions and rights, as other parts of Theke may see them. No secret is ever in an event."""
