"""The DiKAS dialect's table of endpoints: what the sections of the published interface consist of."""
