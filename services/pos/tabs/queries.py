"""What can be asked about tables and the items open at them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from libs.contracts.pos.commands import TableKey, TableTab
from libs.contracts.pos.events import OrderLine, TableState
from libs.contracts.pos.floor import (
    PAGE_SIZE_MAX,
    CancelledPart,
    LineKey,
    OpenItem,
    OpenItemFilter,
    TableService,
)
from libs.contracts.pos.permissions import ORDERS
from libs.contracts.pos.tab_events import KitchenState
from libs.domain.errors import not_found
from libs.projections.tables import Statement
from libs.runtime.records import All
from libs.runtime.service import Ask, Query
from services.pos.tabs.state import FIRST_COURSE

_TABS = Statement("select t.key, t.state, t.course, t.open_lines, t.open_amount, t.occupied_at from {pos.tabs} t where t.instance = $1")
_TAB = Statement(f"{_TABS.text} and t.key = $2")
_SERVICE = Statement(
    "select t.key, t.id, t.number, t.name, t.group_key, t.is_active, s.state, s.course, s.open_lines, s.open_amount, s.waiter, "
    "s.occupied_at, s.served_at, s.interim_bills from {pos.tables} t left join {pos.tabs} s on s.instance = $1 and s.key = t.key "
    "where t.instance = $1 and t.id > $2 order by t.id limit $3"
)

# as ``Tab.kitchen_state``: an item of a course that was not called yet is held
_STATE = f"case when l.state = 'ordered' and not l.fired and l.course > greatest(s.fired, {FIRST_COURSE}) then 'held' else l.state end"
_OPEN = (
    "select l.table_key, l.order_key, l.staff, l.placed_at, l.open_quantity, l.open_amount, l.line, l.state_at, l.place, "
    f"{_STATE} as state "
    "from {pos.open_lines} l left join {pos.tabs} s on s.instance = $1 and s.key = l.table_key where l.instance = $1"
)
_CANCELLED = (
    "select l.table_key, l.order_key, l.placed_by, l.placed_at, l.quantity, l.amount, l.line, l.state, l.reason, l.staff, "
    "l.cancelled_at, l.place from {pos.cancelled_lines} l where l.instance = $1"
)
_WHERE = (
    " and ($2::text is null or l.table_key = $2) and ($3::text is null or l.group_key = $3 or l.table_key in "
    "(select t.key from {pos.tables} t where t.instance = $1 and t.group_key = $3)) and ($4::int is null or l.seat = $4)"
)
_OPEN_ITEMS = Statement(
    f"{_OPEN}{_WHERE} and ($5::timestamptz is null or l.placed_at >= $5) and ($6::text is null or {_STATE} = $6) "
    "and l.place > $7 order by l.place limit $8"
)
_CANCELLED_ITEMS = Statement(
    f"{_CANCELLED}{_WHERE} and ($5::timestamptz is null or l.cancelled_at >= $5) and l.place > $6 order by l.place limit $7"
)
_AT_TABLE = Statement(f"{_OPEN} and l.table_key = $2 order by l.place")
_ONE = Statement(f"{_OPEN} and l.key = $2")

_lines = msgspec.json.Decoder(OrderLine)


def _tab(row: Any) -> TableTab:
    return TableTab(
        state=TableState(row["state"]),
        course=row["course"],
        open_lines=row["open_lines"],
        open_amount=row["open_amount"],
        occupied_at=row["occupied_at"],
    )


async def tab(ask: Ask) -> TableTab:
    row = await ask.tables.fetch_one(_TAB, ask.instance, ask.body.table)
    return TableTab() if row is None else _tab(row)


async def tabs(ask: Ask) -> dict[str, TableTab]:
    """By table; a table without an entry is free."""
    return {row["key"]: _tab(row) for row in await ask.tables.fetch(_TABS, ask.instance)}


def _service(row: Any) -> TableService:
    named = {"table": row["key"], "number": row["number"], "name": row["name"], "group": row["group_key"], "is_active": row["is_active"]}
    if row["state"] is None:
        return TableService(**named)
    return TableService(
        **named,
        state=TableState(row["state"]),
        course=row["course"],
        open_lines=row["open_lines"],
        open_amount=row["open_amount"],
        waiter=row["waiter"],
        since=row["occupied_at"],
        served_at=row["served_at"],
        interim_bills=row["interim_bills"],
    )


async def service(ask: Ask) -> AsyncIterator[list[TableService]]:
    """Every table with how it is served."""
    async for rows in ask.tables.stream(_SERVICE, ask.instance, by="id"):
        yield [_service(row) for row in rows]


def _open(row: Any) -> OpenItem:
    return OpenItem(
        table=row["table_key"],
        order=row["order_key"],
        staff=row["staff"],
        placed_at=row["placed_at"],
        open_quantity=row["open_quantity"],
        open_amount=row["open_amount"],
        line=_lines.decode(row["line"]),
        state=KitchenState(row["state"]),
        state_at=row["state_at"],
    )


def _cancelled(row: Any) -> OpenItem:
    return OpenItem(
        table=row["table_key"],
        order=row["order_key"],
        staff=row["placed_by"],
        placed_at=row["placed_at"],
        open_quantity=row["quantity"],
        open_amount=row["amount"],
        line=_lines.decode(row["line"]),
        state=KitchenState.CANCELLED,
        state_at=row["cancelled_at"],
        cancelled=CancelledPart(reason=row["reason"], state=KitchenState(row["state"]), staff=row["staff"], at=row["cancelled_at"]),
    )


async def open_lines(ask: Ask) -> list[OpenItem]:
    return [_open(row) for row in await ask.tables.fetch(_AT_TABLE, ask.instance, ask.body.table)]


async def open_line(ask: Ask) -> OpenItem:
    row = await ask.tables.fetch_one(_ONE, ask.instance, ask.body.line)
    if row is None:
        raise not_found("line_not_found", id=ask.body.line)
    return _open(row)


async def open_items(ask: Ask) -> AsyncIterator[list[OpenItem]]:
    """In the order they were placed, cancelled ones in that of their cancellation; all of them, or one page."""
    wanted: OpenItemFilter = ask.body
    asked = (wanted.table, wanted.group, wanted.seat, wanted.since)
    if wanted.state is KitchenState.CANCELLED:
        pieces, shown = ask.tables.stream(_CANCELLED_ITEMS, ask.instance, *asked, by="place"), _cancelled
    else:
        pieces, shown = ask.tables.stream(_OPEN_ITEMS, ask.instance, *asked, wanted.state, by="place"), _open
    size = wanted.page_size or (PAGE_SIZE_MAX if wanted.page else None)
    skip = size * ((wanted.page or 1) - 1) if size else 0
    async for rows in pieces:
        behind, skip = rows[skip:], max(0, skip - len(rows))
        yield [shown(row) for row in behind[:size]]
        if size is not None:
            size -= len(behind[:size])
            if size == 0:
                return


QUERIES: Final = (
    Query("tab.list", All, tabs, ORDERS),
    Query("tab.get", TableKey, tab, ORDERS),
    Query("tab.service", All, service, ORDERS, stream=True),
    Query("tab.open_lines", TableKey, open_lines, ORDERS),
    Query("tab.open_line", LineKey, open_line, ORDERS),
    Query("tab.open_items", OpenItemFilter, open_items, ORDERS, stream=True),
)
