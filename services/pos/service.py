"""Wiring of pos."""

from __future__ import annotations

from libs.runtime.records import record_parts
from libs.runtime.service import Host, Service
from services.pos import (
    house,
    receipts,
    reports,
    tabs,
    taking_back,
)
from services.pos.closing import Closings
from services.pos.house_tables import DAYS, SHIFTS
from services.pos.house_tables import QUERIES as HOUSE_QUERIES
from services.pos.projections import RECEIPTS, TABS
from services.pos.queries import QUERIES
from services.pos.records import TABLE_GROUPS, TABLES


async def _extend(host: Host) -> None:
    Closings(host).register()


_parts = record_parts(TABLE_GROUPS, TABLES)
SERVICE = Service(
    "pos",
    commands=(
        *_parts.commands,
        *tabs.COMMANDS,
        *receipts.COMMANDS,
        *taking_back.COMMANDS,
        *house.COMMANDS,
    ),
    projections=(
        *_parts.projections,
        TABS,
        RECEIPTS,
        SHIFTS,
        DAYS,
    ),
    queries=(
        *_parts.queries,
        *QUERIES,
        *HOUSE_QUERIES,
        *reports.QUERIES,
    ),
    extend=_extend,
)
