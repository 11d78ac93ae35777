"""What can be asked about tables and the items open at them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from libs.contracts.pos.commands import TableKey, TableShown, TableTab
from libs.contracts.pos.events import OrderLine, TableState
from libs.contracts.pos.floor import CancelledPart, LineKey, OpenItem, TableService
from libs.contracts.pos.lists import OpenItemList, TableServiceList
from libs.contracts.pos.permissions import ORDERS, TABLES
from libs.contracts.pos.tab_events import KitchenState
from libs.domain.errors import DomainError, Kind, not_found
from libs.projections.listed import Lister
from libs.projections.tables import Statement
from libs.runtime.lists import RowList
from libs.runtime.records import All, ByKey, RecordReads
from libs.runtime.service import Ask, Query
from services.pos import records
from services.pos.tabs.state import FIRST_COURSE

_TAB_COLUMNS = ("key", "state", "course", "open_lines", "open_amount", "occupied_at")
_TABS = Statement(f"select {', '.join(f't.{column}' for column in _TAB_COLUMNS)} from {{pos.tabs}} t where t.instance = $1")
# as ``Tab.kitchen_state``: an item of a course that was not called yet is held
_STATE = f"case when t.state = 'ordered' and not t.fired and t.course > greatest(s.fired, {FIRST_COURSE}) then 'held' else t.state end"
_OPEN = (
    "t.table_key, t.order_key, t.staff, t.placed_at, t.open_quantity, t.open_amount, t.line, t.state_at, t.place, s.version, "
    f"{_STATE} as state"
)
_OPEN_LINES = "{pos.open_lines} t left join {pos.tabs} s on s.instance = $1 and s.key = t.table_key"
_ONE = Statement(f"select {_OPEN} from {_OPEN_LINES} where t.instance = $1 and t.key = $2")

_records = RecordReads(records.TABLES)
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
    row = await ask.tables.row("pos.tabs", ask.instance, ask.body.table, _TAB_COLUMNS)
    return TableTab() if row is None else _tab(row)


async def shown(ask: Ask) -> TableShown:
    """Both are asked for at once. Raises ``forbidden`` also without the right to see orders."""
    if not ask.principal.may(ORDERS, write=False):
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": ORDERS})
    key = ask.body.table
    going_on = ask.tables.rows("pos.tabs", ask.instance, [key], _TAB_COLUMNS)
    view = await _records.get(Ask(ask.principal, ByKey(key), ask.tables))
    rows = (await going_on).get(key)
    return TableShown(view=view, tab=_tab(rows[0]) if rows else TableTab())


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
        version=row["version"] or 0,
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


async def open_line(ask: Ask) -> OpenItem:
    row = await ask.tables.fetch_one(_ONE, ask.instance, ask.body.line)
    if row is None:
        raise not_found("line_not_found", id=ask.body.line)
    return _open(row)


# --- lists --------------------------------------------------------------------------------------------------------------------

_WHERE: Final = {
    "table": "t.table_key = {0}",
    "group": "(t.group_key = {0} or t.table_key in (select g.key from {{pos.tables}} g where g.instance = $1 and g.group_key = {0}))",
    "seat": "t.seat = {0}",
    "article": "t.line->>'article' = {0}",
}
_ORDERS: Final = {
    "created_date": "t.placed_at",
    "course": "(t.line->>'course')::int",
    "seat": "t.seat",
    "table": "t.table_key",
}
OPEN_LIST: Final = RowList(
    Lister(_OPEN, _OPEN_LINES, "place"),
    OpenItemList,
    {**_WHERE, "state": f"{_STATE} = {{}}", "since": "t.placed_at >= {}", "staff": "t.staff = {}"},
    {**_ORDERS, "status_date": "t.state_at", "open_amount": "t.open_amount"},
    _open,
)
CANCELLED_LIST: Final = RowList(
    Lister(
        "t.table_key, t.order_key, t.placed_by, t.placed_at, t.quantity, t.amount, t.line, t.state, t.reason, t.staff, t.cancelled_at, "
        "t.place",
        "{pos.cancelled_lines} t",
        "place",
    ),
    OpenItemList,
    {**_WHERE, "since": "t.cancelled_at >= {}", "staff": "t.placed_by = {}"},
    {**_ORDERS, "status_date": "t.cancelled_at", "open_amount": "t.amount"},
    _cancelled,
)
SERVICE_LIST: Final = RowList(
    Lister(
        "t.key, t.id, t.number, t.name, t.group_key, t.is_active, s.state, s.course, s.open_lines, s.open_amount, s.waiter, "
        "s.occupied_at, s.served_at, s.interim_bills",
        "{pos.tables} t left join {pos.tabs} s on s.instance = $1 and s.key = t.key",
        "id",
    ),
    TableServiceList,
    {
        "group": "t.group_key = {}",
        "waiter": "s.waiter = {}",
        "state": f"coalesce(s.state, '{TableState.FREE}') = {{}}",
        "is_active": "t.is_active = {}",
    },
    {
        "number": "t.number",
        "name": "t.name_order",
        "occupied_since": "s.occupied_at",
        "last_service_date": "s.served_at",
        "open_amount": "coalesce(s.open_amount, 0)",
    },
    _service,
)


def _items(ask: Ask) -> RowList:
    return CANCELLED_LIST if ask.body.state is KitchenState.CANCELLED else OPEN_LIST


async def open_items(ask: Ask) -> AsyncIterator[list[OpenItem]]:
    async for items in _items(ask).listed(ask):
        yield items


async def open_item_count(ask: Ask) -> int:
    return await _items(ask).count(ask)


QUERIES: Final = (
    Query("tab.list", All, tabs, ORDERS),
    Query("tab.get", TableKey, tab, ORDERS),
    Query("table.shown", TableKey, shown, TABLES),
    *SERVICE_LIST.queries("tab.service", ORDERS),
    Query("tab.open_line", LineKey, open_line, ORDERS),
    Query("tab.open_item.list", OpenItemList, open_items, ORDERS, stream=True),
    Query("tab.open_item.count", OpenItemList, open_item_count, ORDERS),
)
