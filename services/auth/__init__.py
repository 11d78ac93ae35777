"""auth: instances, users, their secrets, sessions and tokens."""
