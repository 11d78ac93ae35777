"""Theke's libraries, lowest layer first: domain, contracts, eventstore, bus, projections, records, runtime."""
