"""The DiKAS dialect: a POS API with an envelope, German texts and prefixed ids. A module per section."""
