"""Orders at tables, the courses they are sent in, and tables that are cleaned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

from libs.contracts.pos.commands import (
    COURSE_MAX,
    ORDERS_PER_BATCH_MAX,
    CallCourse,
    MarkCleaned,
    Order,
    Orders,
    PlaceOrder,
    PlaceOrders,
    TableStatus,
)
from libs.contracts.pos.events import CourseCalled, OrderPlaced, TableCleaned, TableState
from libs.contracts.pos.permissions import ORDERS
from libs.domain.decider import Command, CommandType, Decision, States
from libs.domain.events import Event, Recorded
from libs.domain.ids import derived, key_of
from services.pos.facts import SaleFacts, order_facts, orders_facts, table_facts
from services.pos.faults import Faults, check_count, check_int, known_as
from services.pos.house import READ, house_of
from services.pos.pricing import price_items
from services.pos.tabs.state import TAB, check_may_take, check_table, status_of, tab_of, tab_refs

ID_SPACE: Final = 2**128

# --- deciding -----------------------------------------------------------------------------------------------------------------


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
    facts = facts.on(house_of(states).settings, command.happened)
    faults = Faults()
    writes: dict[str, list[Event]] = {}
    added: dict[str, int] = {}
    for ix, (order, path) in enumerate(zip(orders, paths, strict=True)):
        lines = price_items(order.items, f"{path}items", facts, line_keys(command.id, ix), faults, order.table)
        added[order.table] = added.get(order.table, 0) + len(order.items)
        check_may_take(order.table, f"{path}table", added[order.table], tab_of(states, order.table), facts, faults)
        event = OrderPlaced(
            table=order.table,
            order=order_key(command.id, ix),
            lines=lines,
            staff=command.principal.user,
            at=command.at,
            client_at=command.client_at,
        )
        writes.setdefault(TAB.stream(order.table), []).append(event)
    faults.refuse()
    return Decision(writes)


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
    return status_of(states, command.body.table)


# --- commands -----------------------------------------------------------------------------------------------------------------

COMMANDS: Final = (
    CommandType(
        name="tab.place_order",
        body=PlaceOrder,
        streams=lambda command: (*tab_refs([command.body.table]), READ),
        facts=order_facts,
        decide=decide_place_order,
        reply=reply_order,
        permission=ORDERS,
    ),
    CommandType(
        name="tab.place_orders",
        body=PlaceOrders,
        streams=lambda command: (*tab_refs(order.table for order in command.body.orders[:ORDERS_PER_BATCH_MAX]), READ),
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
