"""Wiring of pos."""

from __future__ import annotations

from libs.runtime.records import record_parts
from libs.runtime.service import Service
from services.pos import receipts, tabs
from services.pos.projections import RECEIPTS, TABS
from services.pos.queries import QUERIES
from services.pos.records import TABLE_GROUPS, TABLES

_parts = record_parts(TABLE_GROUPS, TABLES)
SERVICE = Service(
    "pos",
    commands=(*_parts.commands, *tabs.COMMANDS, *receipts.COMMANDS),
    projections=(*_parts.projections, TABS, RECEIPTS),
    queries=(*_parts.queries, *QUERIES),
)
