"""What commands look up before they are decided: query tables, and IDs that nobody has yet."""

from __future__ import annotations

from libs.eventstore.leases import Leases
from libs.eventstore.log import Log
from libs.projections.tables import Tables


class Lookups:
    """Implements ``libs.domain.decider.Lookup``."""

    def __init__(self, tables: Tables, log: Log) -> None:
        self.rows = tables.rows
        self.kept = tables.kept
        self.referenced = tables.referenced
        self.referrers = tables.referrers
        self.fetch = tables.fetch
        self.draw = Leases(log).draw
