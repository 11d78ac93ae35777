"""The words every part of Theke shares: money, ids, principals, errors, events and deciders. No I/O."""
