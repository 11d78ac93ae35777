"""Webhooks: endpoints as they are kept, and how events get to them, each at least once and in order."""
