"""A tab: everything open at one table. Free → occupied by an order → paid, then to be cleaned or free again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from libs.contracts.pos.commands import (
    COURSE_MAX,
    OPEN_LINES_PER_TABLE_MAX,
    ORDERS_PER_BATCH_MAX,
    CallCourse,
    MarkCleaned,
    Order,
    Orders,
    PlaceOrder,
    PlaceOrders,
    TableStatus,
)
from libs.contracts.pos.events import CourseCalled, LinesPaid, OrderLine, OrderPlaced, TableCleaned, TableState
from libs.contracts.pos.permissions import ORDERS
from libs.domain.decider import Aggregate, Command, CommandType, Decision, States, StreamRef
from libs.domain.events import Event, Recorded
from libs.domain.ids import derived, key_of
from services.pos.facts import SaleFacts, order_facts, orders_facts, table_facts
from services.pos.faults import Faults, check_count, check_int, is_key, known_as
from services.pos.pricing import price_items

NOTHING: Final = Decimal(0)
ID_SPACE: Final = 2**128

# --- state --------------------------------------------------------------------------------------------------------------------


class Placed(msgspec.Struct, frozen=True):
    """The order that some lines came with."""

    order: str
    staff: str
    at: datetime


class TabLine(msgspec.Struct, frozen=True):
    """An ordered line and how much of it is paid."""

    placed: Placed
    line: OrderLine
    paid_quantity: Decimal = NOTHING
    paid_amount: int = 0

    @property
    def open_quantity(self) -> Decimal:
        return self.line.quantity - self.paid_quantity

    @property
    def open_amount(self) -> int:
        return self.line.total - self.paid_amount

    @property
    def is_open(self) -> bool:
        return self.open_quantity > 0


class Tab(msgspec.Struct, frozen=True):
    """``lines`` by id in the order they came. Paid ones stay while the guests sit, so that a second bill for them can be told
    from a wrong id; ``course`` is the one called last, 0 before the first."""

    state: TableState = TableState.FREE
    lines: Mapping[str, TabLine] = msgspec.field(default_factory=dict)
    course: int = 0

    def open_lines(self) -> list[TabLine]:
        return [line for line in self.lines.values() if line.is_open]


def evolve(tab: Tab, recorded: Recorded) -> Tab:
    match recorded.data:
        case OrderPlaced() as placed:
            return _with_order(tab, placed, recorded.at)
        case CourseCalled(course=course):
            return msgspec.structs.replace(tab, course=course)
        case LinesPaid() as paid:
            return _with_paid(tab, paid)
        case TableCleaned():
            return Tab()
    raise AssertionError(f"a tab has no {recorded.type}")


def _with_order(tab: Tab, event: OrderPlaced, at: datetime) -> Tab:
    placed = Placed(event.order, event.staff, at)
    before = tab.lines
    if len(before) + len(event.lines) > OPEN_LINES_PER_TABLE_MAX:  # a tab that is never quite paid must not grow for ever
        before = {id_: line for id_, line in before.items() if line.is_open}
    lines = {**before, **{line.id: TabLine(placed, line) for line in event.lines}}
    assert len(lines) == len(before) + len(event.lines), "a line id came twice"
    return Tab(TableState.OCCUPIED, lines, tab.course)


def _with_paid(tab: Tab, event: LinesPaid) -> Tab:
    lines = dict(tab.lines)
    for part in event.parts:
        line = lines[part.line]
        line = msgspec.structs.replace(line, paid_quantity=line.paid_quantity + part.quantity, paid_amount=line.paid_amount + part.amount)
        assert line.open_quantity >= 0, "more paid than ordered"
        assert line.open_amount >= 0, "more taken than billed"
        assert line.is_open or line.open_amount == 0, "a paid line left cents"
        lines[part.line] = line
    if event.leaves is TableState.OCCUPIED:
        return msgspec.structs.replace(tab, lines=lines)
    assert not any(line.is_open for line in lines.values()), "a table was left with open lines"
    return Tab(event.leaves)


def at_rest(tab: Tab) -> bool:
    return tab.state is TableState.FREE and not tab.lines


TAB: Final = Aggregate("tab", Tab(), evolve, at_rest)


def tab_of(states: States, table: str) -> Tab:
    tab: Tab = states.get(TAB.stream(table), TAB.initial)
    return tab


def tab_refs(tables: Iterable[str]) -> tuple[StreamRef, ...]:
    """A stream per table; a word that cannot be a table's key has none."""
    return tuple(StreamRef(TAB, table) for table in dict.fromkeys(tables) if is_key(table))


# --- deciding -----------------------------------------------------------------------------------------------------------------


def check_table(table: str, path: str, facts: SaleFacts, tab: Tab, faults: Faults) -> None:
    """A table must be there, unless guests still sit at one whose record is gone: they can finish."""
    if table not in facts.tables and tab == TAB.initial:
        faults.not_found(path, "table_not_found", id=known_as(table))


def order_key(command: UUID, index: int) -> str:
    return key_of("ord", derived(command, f"order:{index}"))


def line_keys(command: UUID, order_index: int) -> Callable[[int], str]:
    """Ids for the lines of an order. One is derived, the others count on from it: hashing anew per line was a fifth of a sale."""
    first = derived(command, f"lines:{order_index}").int
    return lambda ix: key_of("obn", UUID(int=(first + ix) % ID_SPACE))


def decide_place_order(states: States, command: Command[PlaceOrder], facts: SaleFacts) -> Decision:
    return _place([command.body], [""], states, command, facts)


def decide_place_orders(states: States, command: Command[PlaceOrders], facts: SaleFacts) -> Decision:
    faults = Faults()
    check_count(command.body.orders, ORDERS_PER_BATCH_MAX, "orders", "too_many", faults)
    faults.refuse()
    return _place(command.body.orders, [f"orders[{ix}]." for ix in range(len(command.body.orders))], states, command, facts)


def _place(orders: Sequence[PlaceOrder], paths: Sequence[str], states: States, command: Command[Any], facts: SaleFacts) -> Decision:
    faults = Faults()
    writes: dict[str, list[Event]] = {}
    added: dict[str, int] = {}
    for ix, (order, path) in enumerate(zip(orders, paths, strict=True)):
        lines = price_items(order.items, f"{path}items", facts, line_keys(command.id, ix), faults)
        added[order.table] = added.get(order.table, 0) + len(order.items)
        _check_may_order(order.table, f"{path}table", added[order.table], tab_of(states, order.table), facts, faults)
        event = OrderPlaced(
            table=order.table,
            order=order_key(command.id, ix),
            lines=lines,
            staff=command.principal.user,
            at=command.at,
        )
        writes.setdefault(TAB.stream(order.table), []).append(event)
    faults.refuse()
    return Decision(writes)


def _check_may_order(table: str, path: str, added: int, tab: Tab, facts: SaleFacts, faults: Faults) -> None:
    fact = facts.tables.get(table)
    if fact is None:
        faults.not_found(path, "table_not_found", id=known_as(table))
    elif not fact.is_active:
        faults.conflict(path, "table_inactive", id=table)
    elif tab.state is TableState.NEEDS_CLEANING:
        faults.conflict(path, "table_needs_cleaning", id=table)
    elif len(tab.open_lines()) + added > OPEN_LINES_PER_TABLE_MAX:
        faults.conflict(path, "too_many_open_lines", id=table, max=OPEN_LINES_PER_TABLE_MAX)


def decide_call_course(states: States, command: Command[CallCourse], facts: SaleFacts) -> Decision:
    """A course can be called, also again, if somebody at the table ordered it."""
    table, course = command.body.table, command.body.course
    tab = tab_of(states, table)
    faults = Faults()
    check_int(course, 1, COURSE_MAX, "course", faults)
    check_table(table, "table", facts, tab, faults)
    if tab.state is not TableState.OCCUPIED:
        faults.conflict("table", "table_not_occupied", id=known_as(table))
    elif not any(line.line.course == course for line in tab.lines.values()):
        faults.conflict("course", "course_not_ordered", course=course)
    faults.refuse()
    return _write(table, CourseCalled(table=table, course=course, staff=command.principal.user, at=command.at))


def decide_mark_cleaned(states: States, command: Command[MarkCleaned], facts: SaleFacts) -> Decision:
    table = command.body.table
    tab = tab_of(states, table)
    faults = Faults()
    check_table(table, "table", facts, tab, faults)
    if tab.state is not TableState.NEEDS_CLEANING:
        faults.conflict("table", "table_needs_no_cleaning", id=known_as(table), state=tab.state.value)
    faults.refuse()
    return _write(table, TableCleaned(table=table, staff=command.principal.user, at=command.at))


def _write(table: str, event: Event) -> Decision:
    return Decision({TAB.stream(table): (event,)})


# --- answers ------------------------------------------------------------------------------------------------------------------


def _order(states: States, table: str, order: str) -> Order:
    lines = [line for line in tab_of(states, table).lines.values() if line.placed.order == order]
    placed = lines[0].placed
    return Order(id=order, table=table, lines=tuple(line.line for line in lines), staff=placed.staff, placed_at=placed.at)


def reply_order(states: States, command: Command[PlaceOrder], recorded: Sequence[Recorded]) -> Order:
    return _order(states, command.body.table, order_key(command.id, 0))


def reply_orders(states: States, command: Command[PlaceOrders], recorded: Sequence[Recorded]) -> Orders:
    orders = enumerate(command.body.orders)
    return Orders(orders=tuple(_order(states, order.table, order_key(command.id, ix)) for ix, order in orders))


def reply_status(states: States, command: Command[CallCourse] | Command[MarkCleaned], recorded: Sequence[Recorded]) -> TableStatus:
    table = command.body.table
    tab = tab_of(states, table)
    still_open = tab.open_lines()
    return TableStatus(
        table=table,
        state=tab.state,
        course=tab.course or None,
        open_lines=len(still_open),
        open_amount=sum(line.open_amount for line in still_open),
    )


# --- commands -----------------------------------------------------------------------------------------------------------------

COMMANDS: Final = (
    CommandType(
        name="tab.place_order",
        body=PlaceOrder,
        streams=lambda command: tab_refs([command.body.table]),
        facts=order_facts,
        decide=decide_place_order,
        reply=reply_order,
        permission=ORDERS,
    ),
    CommandType(
        name="tab.place_orders",
        body=PlaceOrders,
        streams=lambda command: tab_refs(order.table for order in command.body.orders[:ORDERS_PER_BATCH_MAX]),
        facts=orders_facts,
        decide=decide_place_orders,
        reply=reply_orders,
        permission=ORDERS,
    ),
    CommandType(
        name="tab.call_course",
        body=CallCourse,
        streams=lambda command: tab_refs([command.body.table]),
        facts=table_facts,
        decide=decide_call_course,
        reply=reply_status,
        permission=ORDERS,
    ),
    CommandType(
        name="tab.mark_cleaned",
        body=MarkCleaned,
        streams=lambda command: tab_refs([command.body.table]),
        facts=table_facts,
        decide=decide_mark_cleaned,
        reply=reply_status,
        permission=ORDERS,
    ),
)
