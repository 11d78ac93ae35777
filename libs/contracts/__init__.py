"""The published language: what services say to each other and to the world, a package per service. Data only."""
