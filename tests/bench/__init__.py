"""Measurements: each beside a bare floor, in the same run, on the same machine and the same Postgres."""
