"""A tab: everything open at one table. Free → occupied by an order → paid or left, then to be cleaned or free again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from libs.contracts.pos.commands import OPEN_LINES_PER_TABLE_MAX, TableStatus
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
from libs.domain.decider import Aggregate, States, StreamRef
from libs.domain.events import Recorded
from services.pos.facts import SaleFacts
from services.pos.faults import Faults, is_key, known_as
from services.pos.pricing import part_amount

NOTHING: Final = Decimal(0)
FIRST_COURSE: Final = 1  # goes to the kitchen without being called


class Placed(msgspec.Struct, frozen=True):
    """The order that some lines came with."""

    order: str
    staff: str
    at: datetime


class TabLine(msgspec.Struct, frozen=True):
    """An ordered line and how much of it is settled: paid, moved away or cancelled."""

    placed: Placed
    line: OrderLine
    settled_quantity: Decimal = NOTHING
    settled_amount: int = 0
    state: KitchenState = KitchenState.ORDERED
    fired: bool = False

    @property
    def open_quantity(self) -> Decimal:
        return self.line.quantity - self.settled_quantity

    @property
    def open_amount(self) -> int:
        return self.line.total - self.settled_amount

    @property
    def is_open(self) -> bool:
        return self.open_quantity > 0

    def share_of(self, quantity: Decimal) -> int:
        """What ``quantity`` of what is open costs; whatever the parts and their order, they add up to the line."""
        return part_amount(self.line, self.settled_quantity, self.settled_amount, quantity)

    def less(self, quantity: Decimal, amount: int) -> TabLine:
        line = msgspec.structs.replace(self, settled_quantity=self.settled_quantity + quantity, settled_amount=self.settled_amount + amount)
        assert line.open_quantity >= 0, "more settled than ordered"
        assert line.open_amount >= 0, "more taken than billed"
        assert line.is_open or line.open_amount == 0, "a settled line left cents"
        return line


class Tab(msgspec.Struct, frozen=True):
    """``lines`` by id in the order they came. Paid ones stay while the guests sit, so that a second bill for them can be told
    from a wrong id. ``course`` is the one called last, ``fired`` the highest that was called, both 0 before the first; ``waiter`` serves
    the table, ``since`` and ``served_at`` tell when its guests came and were served last. ``version``: that of the stream, kept only while
    guests sit."""

    state: TableState = TableState.FREE
    lines: Mapping[str, TabLine] = msgspec.field(default_factory=dict)
    course: int = 0
    fired: int = 0
    waiter: str = ""
    since: datetime | None = None
    served_at: datetime | None = None
    interim_bills: int = 0
    version: int = 0

    def open_lines(self) -> list[TabLine]:
        return [line for line in self.lines.values() if line.is_open]

    def kitchen_state(self, line: TabLine) -> KitchenState:
        """A line of a course that was not called yet is held."""
        if line.state is KitchenState.ORDERED and not line.fired and (line.line.course or 0) > max(self.fired, FIRST_COURSE):
            return KitchenState.HELD
        return line.state


def evolve(tab: Tab, recorded: Recorded) -> Tab:
    after = _after(tab, recorded)
    return msgspec.structs.replace(after, version=recorded.version) if after.state is TableState.OCCUPIED else after


def _after(tab: Tab, recorded: Recorded) -> Tab:
    match recorded.data:
        case OrderPlaced() as placed:
            return _with_order(tab, placed)
        case CourseCalled(course=course, at=at):
            return msgspec.structs.replace(tab, course=course, fired=max(tab.fired, course), served_at=at)
        case LinesPaid() as paid:
            return _with_paid(tab, paid)
        case TableCleaned():
            return Tab()
        case LinesMovedOut() as moved:
            gone = {part.line: tab.lines[part.line].less(part.quantity, part.amount) for part in moved.parts}
            return _without(tab, gone, moved.leaves)
        case LinesMovedIn() as moved:
            return _with_moved(tab, moved)
        case LineCancelled(line=line, quantity=quantity, amount=amount, leaves=leaves):
            return _without(tab, {line: tab.lines[line].less(quantity, amount)}, leaves)
        case LineChanged(item=item):
            return msgspec.structs.replace(tab, lines={**tab.lines, item.line.id: line_of(item)})
        case KitchenStateSet() as progress:
            return _with_progress(tab, progress)
        case TableHandedOver(waiter=waiter):
            return msgspec.structs.replace(tab, waiter=waiter)
        case InterimBillPrinted(at=at):
            return msgspec.structs.replace(tab, interim_bills=tab.interim_bills + 1, served_at=at)
    raise AssertionError(f"a tab has no {recorded.type}")


def _with_order(tab: Tab, event: OrderPlaced) -> Tab:
    placed = Placed(event.order, event.staff, event.at)
    lines = _with_lines(tab, {line.id: TabLine(placed, line) for line in event.lines})
    return msgspec.structs.replace(
        tab,
        state=TableState.OCCUPIED,
        lines=lines,
        waiter=tab.waiter or event.staff,
        since=tab.since or event.at,
        served_at=event.at,
    )


def _with_lines(tab: Tab, added: Mapping[str, TabLine]) -> dict[str, TabLine]:
    before = tab.lines
    if len(before) + len(added) > OPEN_LINES_PER_TABLE_MAX:  # a tab that is never quite paid must not grow for ever
        before = {id_: line for id_, line in before.items() if line.is_open}
    assert before.keys().isdisjoint(added), "a line id came twice"
    return {**before, **added}


def _with_paid(tab: Tab, event: LinesPaid) -> Tab:
    lines = dict(tab.lines)
    for part in event.parts:
        lines[part.line] = lines[part.line].less(part.quantity, part.amount)
    if event.leaves is TableState.OCCUPIED:
        return msgspec.structs.replace(tab, lines=lines, served_at=event.at)
    assert not any(line.is_open for line in lines.values()), "a table was left with open lines"
    return Tab(event.leaves)


def _without(tab: Tab, less: Mapping[str, TabLine], leaves: TableState) -> Tab:
    """Lines of which something went away unpaid; those of which nothing is left are forgotten."""
    lines = {id_: less.get(id_, line) for id_, line in tab.lines.items() if id_ not in less or less[id_].is_open}
    if leaves is TableState.OCCUPIED:
        return msgspec.structs.replace(tab, lines=lines)
    assert not any(line.is_open for line in lines.values()), "a table was left with open lines"
    return Tab(leaves)


def _with_moved(tab: Tab, event: LinesMovedIn) -> Tab:
    lines = _with_lines(tab, {item.line.id: line_of(item) for item in event.items})
    printed = tab.interim_bills + event.interim_bills
    if tab.state is TableState.OCCUPIED:
        return msgspec.structs.replace(tab, lines=lines, interim_bills=printed)
    return Tab(TableState.OCCUPIED, lines, event.course, event.course, event.waiter, event.since, event.served_at, printed)


def _with_progress(tab: Tab, event: KitchenStateSet) -> Tab:
    line = msgspec.structs.replace(tab.lines[event.line], state=event.state, fired=True)
    served_at = event.at if event.state is KitchenState.SERVED else tab.served_at
    return msgspec.structs.replace(tab, lines={**tab.lines, event.line: line}, served_at=served_at)


def line_of(item: TabItem) -> TabLine:
    return TabLine(Placed(item.order, item.staff, item.placed_at), item.line, state=item.state, fired=item.fired)


def at_rest(tab: Tab) -> bool:
    return tab.state is TableState.FREE and not tab.lines


TAB: Final = Aggregate("tab", Tab(), evolve, at_rest)


def tab_of(states: States, table: str) -> Tab:
    tab: Tab = states.get(TAB.stream(table), TAB.initial)
    return tab


def tab_refs(tables: Iterable[str]) -> tuple[StreamRef, ...]:
    """A stream per table; a word that cannot be a table's key has none."""
    return tuple(StreamRef(TAB, table) for table in dict.fromkeys(tables) if is_key(table))


# --- what several decisions ask -----------------------------------------------------------------------------------------------


def check_table(table: str, path: str, facts: SaleFacts, tab: Tab, faults: Faults) -> None:
    """A table must be there, unless guests still sit at one whose record is gone: they can finish."""
    if table not in facts.tables and tab == TAB.initial:
        faults.not_found(path, "table_not_found", id=known_as(table))


def check_may_take(table: str, path: str, added: int, tab: Tab, facts: SaleFacts, faults: Faults) -> None:
    """Whether ``added`` more lines may be put on a table."""
    fact = facts.tables.get(table)
    if fact is None:
        faults.not_found(path, "table_not_found", id=known_as(table))
    elif not fact.is_active:
        faults.conflict(path, "table_inactive", id=table)
    elif tab.state is TableState.NEEDS_CLEANING:
        faults.conflict(path, "table_needs_cleaning", id=table)
    elif len(tab.open_lines()) + added > OPEN_LINES_PER_TABLE_MAX:
        faults.conflict(path, "too_many_open_lines", id=table, max=OPEN_LINES_PER_TABLE_MAX)


def state_after(table: str, tab: Tab, gone: Mapping[str, Decimal], facts: SaleFacts) -> TableState:
    """The state a table is in when ``gone`` (quantities by line) is no longer open there: guests who leave, however they do it, leave a
    table to be cleaned if it asks for that."""
    if any(line.open_quantity > gone.get(line.line.id, 0) for line in tab.open_lines()):
        return TableState.OCCUPIED
    fact = facts.tables.get(table)
    return TableState.NEEDS_CLEANING if fact is not None and fact.needs_cleaning else TableState.FREE


def status_of(states: States, table: str) -> TableStatus:
    tab = tab_of(states, table)
    still_open = tab.open_lines()
    return TableStatus(
        table=table,
        state=tab.state,
        course=tab.course or None,
        open_lines=len(still_open),
        open_amount=sum(line.open_amount for line in still_open),
    )
