"""Wiring of pos."""

from __future__ import annotations

from libs.contracts.pos.permissions import DAY_CLOSE, ORDERS
from libs.contracts.pos.permissions import SHIFTS as SHIFT_RIGHT
from libs.contracts.pos.permissions import TABLES as TABLE_RIGHT
from libs.runtime.records import record_parts
from libs.runtime.service import Host, Service
from services.pos import (
    floor,
    house,
    receipts,
    reports,
    tabs,
    taking_back,
)
from services.pos.closing import Closings
from services.pos.house_tables import DAYS, SHIFTS
from services.pos.house_tables import QUERIES as HOUSE_QUERIES
from services.pos.offline import Offline
from services.pos.projections import RECEIPTS
from services.pos.queries import QUERIES
from services.pos.records import TABLE_GROUPS, TABLES
from services.pos.self_order import open_codes
from services.pos.tabs.projections import TABS
from services.pos.tabs.queries import QUERIES as TAB_QUERIES


async def _extend(host: Host) -> None:
    Closings(host).register()
    await open_codes(host)
    Offline(host).register()


_groups, _tables = record_parts(TABLE_GROUPS), record_parts(TABLES)
SERVICE = Service(
    "pos",
    commands=(
        *_groups.commands,
        *(floor.guarded(command) for command in _tables.commands),
        floor.ARRANGE,
        *tabs.COMMANDS,
        *receipts.COMMANDS,
        *taking_back.COMMANDS,
        *house.COMMANDS,
    ),
    projections=(
        *_groups.projections,
        *_tables.projections,
        TABS,
        RECEIPTS,
        SHIFTS,
        DAYS,
    ),
    queries=(
        *_groups.queries,
        *_tables.queries,
        *TAB_QUERIES,
        *QUERIES,
        *HOUSE_QUERIES,
        *reports.QUERIES,
    ),
    extend=_extend,
    doors={
        "shift.settle": (SHIFT_RIGHT, True),
        "day.close": (DAY_CLOSE, True),
        "day.x_report": (DAY_CLOSE, False),
        "self_order_key": (TABLE_RIGHT, False),
        "till.sync": (ORDERS, True),
    },
)
