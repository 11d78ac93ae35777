"""The ZeyOS dialect: ``/{instance}/api/v1/`` and ``/{instance}/auth/v1/``. Errors are text, rows are JSON."""
