"""gateway: identity, dialects and their envelopes. It knows no business rule."""
