"""Query tables of the floor: what goes on at each table, every open item, and what was cancelled. They say what ``state.evolve`` says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.contracts.pos.commands import ITEMS_PER_ORDER_MAX
from libs.contracts.pos.events import CourseCalled, LinesPaid, OrderLine, OrderPlaced, TableCleaned, TableState
from libs.contracts.pos.tab_events import (
    InterimBillPrinted,
    KitchenState,
    KitchenStateSet,
    LineCancelled,
    LineChanged,
    LinesMovedIn,
    LinesMovedOut,
    TabItem,
    TableHandedOver,
)
from libs.domain.events import Recorded
from libs.projections.declare import Key, Projection, Table
from libs.projections.rows import Row, Rows

PLACES_PER_EVENT: Final = 1_000  # ``place`` orders items by event, then by their order in it
assert ITEMS_PER_ORDER_MAX < PLACES_PER_EVENT

TABS: Final = Projection(
    "tabs",
    3,
    (
        Table(
            "tabs",
            {
                "key": "text",
                "state": "text",
                "course": "int",
                "fired": "int",
                "open_lines": "int",
                "open_amount": "bigint",
                "waiter": "text",
                "occupied_at": "timestamptz",
                "served_at": "timestamptz",
                "interim_bills": "int",
                "version": "bigint",
            },
            remembered=2_000,
        ),
        Table(
            "open_lines",
            {
                "key": "text",
                "table_key": "text",
                "order_key": "text",
                "place": "bigint",
                "staff": "text",
                "placed_at": "timestamptz",
                "open_quantity": "numeric",
                "open_amount": "bigint",
                "course": "int",
                "seat": "int",
                "group_key": "text",
                "state": "text",
                "state_at": "timestamptz",
                "fired": "boolean",
                "line": "jsonb",
            },
            indexes=(("table_key", "place"), ("place",)),
            remembered=5_000,
        ),
        Table(
            "cancelled_lines",
            {
                "key": "text",
                "line_key": "text",
                "table_key": "text",
                "order_key": "text",
                "place": "bigint",
                "placed_by": "text",
                "placed_at": "timestamptz",
                "quantity": "numeric",
                "amount": "bigint",
                "seat": "int",
                "group_key": "text",
                "state": "text",
                "reason": "text",
                "staff": "text",
                "cancelled_at": "timestamptz",
                "line": "jsonb",
            },
            indexes=(("place",), ("cancelled_at",)),
        ),
    ),
)

FREE: Final[Row] = {
    "state": str(TableState.FREE),
    "course": 0,
    "fired": 0,
    "open_lines": 0,
    "open_amount": 0,
    "waiter": None,
    "occupied_at": None,
    "served_at": None,
    "interim_bills": 0,
    "version": 0,
}


def _tab(event: Recorded) -> list[tuple[str, Key]]:
    return [("tabs", (event.data.table,))]


def _tab_and_line(event: Recorded) -> list[tuple[str, Key]]:
    return [*_tab(event), ("open_lines", (event.data.line,))]


def _tab_and_parts(event: Recorded) -> list[tuple[str, Key]]:
    return [*_tab(event), *(("open_lines", (part.line,)) for part in event.data.parts)]


def _put_tab(rows: Rows, event: Recorded, **columns: Any) -> None:
    """What an event at an occupied table changes of it, if only its version."""
    table = event.data.table
    rows.put("tabs", table, **{**(rows.get("tabs", table) or FREE), **columns, "version": event.version})


def _left(rows: Rows, event: Recorded, leaves: TableState, closed: int, amount: int, **columns: Any) -> None:
    """A table after ``closed`` lines and ``amount`` are no longer open at it."""
    table = event.data.table
    if leaves is not TableState.OCCUPIED:
        rows.put("tabs", table, **{**FREE, "state": str(leaves)})
        return
    tab = rows.get("tabs", table) or FREE
    _put_tab(rows, event, open_lines=tab["open_lines"] - closed, open_amount=tab["open_amount"] - amount, **columns)


def _put_line(rows: Rows, table: str, item: TabItem, place: int, at: Any) -> None:
    line = item.line
    rows.put(
        "open_lines",
        line.id,
        table_key=table,
        order_key=item.order,
        place=place,
        staff=item.staff,
        placed_at=item.placed_at,
        open_quantity=line.quantity,
        open_amount=line.total,
        state=str(item.state),
        state_at=at,
        fired=item.fired,
        **_described(line),
    )


def _described(line: OrderLine) -> dict[str, Any]:
    return {"course": line.course, "seat": line.seat, "group_key": line.group, "line": msgspec.json.encode(line).decode()}


def _take_off(rows: Rows, line: str, quantity: Decimal, amount: int) -> bool:
    """Less of a line is open; True if nothing is."""
    row = rows.get("open_lines", line)
    assert row is not None, f"line {line} is not open"
    left: Decimal = row["open_quantity"] - quantity
    if left > 0:
        rows.change("open_lines", line, open_quantity=left, open_amount=row["open_amount"] - amount)
        return False
    rows.delete("open_lines", line)
    return True


@TABS.on(OrderPlaced, reads=_tab)
def order_placed(rows: Rows, event: Recorded) -> None:
    placed: OrderPlaced = event.data
    tab = rows.get("tabs", placed.table) or FREE
    _put_tab(
        rows,
        event,
        state=str(TableState.OCCUPIED),
        open_lines=tab["open_lines"] + len(placed.lines),
        open_amount=tab["open_amount"] + sum(line.total for line in placed.lines),
        waiter=tab["waiter"] or placed.staff,
        occupied_at=tab["occupied_at"] or placed.at,
        served_at=placed.at,
    )
    for ordinal, line in enumerate(placed.lines):
        item = TabItem(line=line, order=placed.order, staff=placed.staff, placed_at=placed.at)
        _put_line(rows, placed.table, item, event.position * PLACES_PER_EVENT + ordinal, placed.at)


@TABS.on(CourseCalled, reads=_tab)
def course_called(rows: Rows, event: Recorded) -> None:
    called: CourseCalled = event.data
    fired = (rows.get("tabs", called.table) or FREE)["fired"]
    _put_tab(rows, event, course=called.course, fired=max(fired, called.course), served_at=called.at)


@TABS.on(LinesPaid, reads=_tab_and_parts)
def lines_paid(rows: Rows, event: Recorded) -> None:
    paid: LinesPaid = event.data
    closed = sum(_take_off(rows, part.line, part.quantity, part.amount) for part in paid.parts)
    _left(rows, event, paid.leaves, closed, sum(part.amount for part in paid.parts), served_at=paid.at)


@TABS.on(TableCleaned)
def table_cleaned(rows: Rows, event: Recorded) -> None:
    rows.put("tabs", event.data.table, **FREE)


@TABS.on(LinesMovedOut, reads=_tab_and_parts)
def lines_moved_out(rows: Rows, event: Recorded) -> None:
    moved: LinesMovedOut = event.data
    closed = sum(_take_off(rows, part.line, part.quantity, part.amount) for part in moved.parts)
    _left(rows, event, moved.leaves, closed, sum(part.amount for part in moved.parts))


@TABS.on(LinesMovedIn, reads=_tab)
def lines_moved_in(rows: Rows, event: Recorded) -> None:
    moved: LinesMovedIn = event.data
    tab = rows.get("tabs", moved.table) or FREE
    if tab["state"] != TableState.OCCUPIED:
        tab = {
            **FREE,
            "state": str(TableState.OCCUPIED),
            "course": moved.course,
            "fired": moved.course,
            "waiter": moved.waiter,
            "occupied_at": moved.since,
            "served_at": moved.served_at,
        }
    columns = {
        "open_lines": tab["open_lines"] + len(moved.items),
        "open_amount": tab["open_amount"] + sum(item.line.total for item in moved.items),
        "interim_bills": tab["interim_bills"] + moved.interim_bills,
    }
    _put_tab(rows, event, **{**tab, **columns})
    for ordinal, item in enumerate(moved.items):
        _put_line(rows, moved.table, item, event.position * PLACES_PER_EVENT + ordinal, moved.at)


@TABS.on(LineChanged, reads=lambda event: [*_tab(event), ("open_lines", (event.data.item.line.id,))])
def line_changed(rows: Rows, event: Recorded) -> None:
    changed: LineChanged = event.data
    line = changed.item.line
    before = rows.get("open_lines", line.id)
    assert before is not None, f"line {line.id} is not open"
    amount = (rows.get("tabs", changed.table) or FREE)["open_amount"]
    _put_tab(rows, event, open_amount=amount + line.total - before["open_amount"])
    rows.change("open_lines", line.id, open_quantity=line.quantity, open_amount=line.total, **_described(line))


@TABS.on(LineCancelled, reads=_tab_and_line)
def line_cancelled(rows: Rows, event: Recorded) -> None:
    cancelled: LineCancelled = event.data
    row = rows.get("open_lines", cancelled.line)
    assert row is not None, f"line {cancelled.line} is not open"
    rows.put(
        "cancelled_lines",
        f"{cancelled.line}.{event.position}",
        line_key=cancelled.line,
        table_key=cancelled.table,
        order_key=row["order_key"],
        place=event.position * PLACES_PER_EVENT,
        placed_by=row["staff"],
        placed_at=row["placed_at"],
        quantity=cancelled.quantity,
        amount=cancelled.amount,
        seat=row["seat"],
        group_key=row["group_key"],
        state=str(cancelled.state),
        reason=cancelled.reason,
        staff=cancelled.staff,
        cancelled_at=cancelled.at,
        line=row["line"],
    )
    closed = _take_off(rows, cancelled.line, cancelled.quantity, cancelled.amount)
    _left(rows, event, cancelled.leaves, int(closed), cancelled.amount)


@TABS.on(KitchenStateSet, reads=_tab_and_line)
def kitchen_state_set(rows: Rows, event: Recorded) -> None:
    progress: KitchenStateSet = event.data
    rows.change("open_lines", progress.line, state=str(progress.state), state_at=progress.at, fired=True)
    _put_tab(rows, event, **({"served_at": progress.at} if progress.state is KitchenState.SERVED else {}))


@TABS.on(TableHandedOver, reads=_tab)
def handed_over(rows: Rows, event: Recorded) -> None:
    _put_tab(rows, event, waiter=event.data.waiter)


@TABS.on(InterimBillPrinted, reads=_tab)
def interim_bill_printed(rows: Rows, event: Recorded) -> None:
    printed = (rows.get("tabs", event.data.table) or FREE)["interim_bills"]
    _put_tab(rows, event, interim_bills=printed + 1, served_at=event.data.at)
