"""Items change tables or seats: all of a table, several tables at once, some items, parts of one. What leaves one table arrives at the
other in the same append, to the cent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from libs.contracts.pos.commands import SEAT_MAX
from libs.contracts.pos.events import TableState
from libs.contracts.pos.floor import (
    MERGED_TABLES_MAX,
    SPLIT_ITEMS_MAX,
    MergeTables,
    MovedItem,
    MovedItems,
    MoveLine,
    MoveTable,
    SplitItem,
    SplitTable,
)
from libs.contracts.pos.permissions import ORDERS
from libs.contracts.pos.tab_events import KitchenState, LinesMovedIn, LinesMovedOut, MovedPart, TabItem
from libs.domain.decider import Command, CommandType, Decision, Lookup, States
from libs.domain.events import Event, Recorded
from libs.domain.money import times
from services.pos.facts import SaleFacts, facts_of_tables
from services.pos.faults import Faults, check_count, check_int, known_as, plain
from services.pos.tabs.lines import at_its_table, check_untouched, find_line, item_of, open_item, part_of
from services.pos.tabs.orders import line_keys
from services.pos.tabs.state import TAB, Tab, TabLine, check_may_take, check_table, state_after, status_of, tab_of, tab_refs

LINES_PER_EVENT_MAX: Final = 50  # with every option and note they can have, still below what the log takes
Moving = Command[MoveTable] | Command[MergeTables] | Command[SplitTable] | Command[MoveLine]


class _Part(msgspec.Struct, frozen=True):
    line: TabLine
    quantity: Decimal


def _all_open(tab: Tab) -> list[_Part]:
    return [_Part(line, plain(line.open_quantity)) for line in tab.open_lines()]


class _Route(msgspec.Struct, frozen=True):
    """Where items go, and the tab they ``join``. ``whole``: the guests of ``source`` move, not only items of theirs. ``new_id`` names the
    n-th part of a line."""

    source: str
    target: str
    joins: Tab
    seat: int | None
    whole: bool
    new_id: Callable[[int], str]


def _move(route: _Route, parts: Sequence[_Part], states: States, command: Moving, facts: SaleFacts) -> dict[str, list[Event]]:
    """The events of both tables, in pieces that fit the log. Within one table only the seat changes."""
    tab = tab_of(states, route.source)
    gone = {part.line.line.id: part.quantity for part in parts}
    stays = route.source == route.target
    leaves = TableState.OCCUPIED if stays else state_after(route.source, tab, gone, facts)
    outs: list[Event] = []
    ins: list[Event] = []
    for start in range(0, len(parts), LINES_PER_EVENT_MAX):
        piece = parts[start : start + LINES_PER_EVENT_MAX]
        last = start + LINES_PER_EVENT_MAX >= len(parts)
        outs.append(
            LinesMovedOut(
                table=route.source,
                target=route.target,
                parts=tuple(
                    MovedPart(line=part.line.line.id, quantity=part.quantity, amount=part.line.share_of(part.quantity)) for part in piece
                ),
                leaves=leaves if last else TableState.OCCUPIED,
                staff=command.principal.user,
                at=command.at,
            )
        )
        items = (_arriving(route, part, start + ix, tab, facts) for ix, part in enumerate(piece))
        ins.append(
            LinesMovedIn(
                table=route.target,
                source=route.source,
                items=tuple(items),
                waiter=tab.waiter,
                since=tab.since or command.at,
                served_at=tab.served_at or command.at,
                course=tab.course,
                interim_bills=tab.interim_bills if route.whole and start == 0 else 0,
                staff=command.principal.user,
                at=command.at,
            )
        )
    return {TAB.stream(route.source): [*outs, *ins]} if stays else {TAB.stream(route.source): outs, TAB.stream(route.target): ins}


def _arriving(route: _Route, part: _Part, index: int, tab: Tab, facts: SaleFacts) -> TabItem:
    """A line of the part that goes. All of what is open keeps the id, a part gets its own; what the kitchen has it keeps."""
    line, amount = part.line.line, part.line.share_of(part.quantity)
    bears = msgspec.structs.replace(
        line,
        id=line.id if part.quantity == part.line.open_quantity else route.new_id(index),
        quantity=part.quantity,
        total=amount,
        discount=times(line.unit_price, part.quantity, facts.settings.currency).minor - amount,
        seat=line.seat if route.seat is None else route.seat,
    )
    known = part.line.fired or tab.kitchen_state(part.line) is not KitchenState.HELD
    arriving = msgspec.structs.replace(part.line, fired=known)
    return item_of(route.joins, arriving, bears)


def _joins(states: States, target: str, source: str) -> Tab:
    """The tab as the items meet it: a free table takes over the course of the first that comes."""
    tab = tab_of(states, target)
    return tab if tab.state is TableState.OCCUPIED else Tab(fired=tab_of(states, source).course)


# --- deciding -----------------------------------------------------------------------------------------------------------------


def decide_move_table(states: States, command: Command[MoveTable], facts: SaleFacts) -> Decision:
    """The guests of a table go to another one; those who sit there are joined."""
    return _join([command.body.table], ["table"], command.body.target, "target", states, command, facts)


def decide_merge_tables(states: States, command: Command[MergeTables], facts: SaleFacts) -> Decision:
    faults = Faults()
    sources = command.body.sources
    check_count(sources, MERGED_TABLES_MAX, "sources", "too_many", faults)
    if len(set(sources)) < len(sources):
        faults.invalid("sources", "repeated")
    faults.refuse()
    return _join(sources, [f"sources[{ix}]" for ix in range(len(sources))], command.body.table, "table", states, command, facts)


def _join(
    sources: Sequence[str],
    paths: Sequence[str],
    target: str,
    target_path: str,
    states: States,
    command: Command[MoveTable] | Command[MergeTables],
    facts: SaleFacts,
) -> Decision:
    faults = Faults()
    added = 0
    for source, path in zip(sources, paths, strict=True):
        tab = tab_of(states, source)
        check_table(source, path, facts, tab, faults)
        if source == target:
            faults.invalid(path if path != "table" else target_path, "same_table")
        elif not tab.open_lines():
            faults.conflict(path, "table_not_occupied", id=known_as(source))
        added += len(tab.open_lines())
    check_may_take(target, target_path, added, tab_of(states, target), facts, faults)
    faults.refuse()
    writes: dict[str, list[Event]] = {TAB.stream(source): [] for source in sources}  # all leave before the first arrives
    joins = _joins(states, target, sources[0])
    for source in sources:  # nothing but whole lines goes, so no new ids are needed
        route = _Route(source, target, joins, None, whole=True, new_id=line_keys(command.id, 0))
        for stream, events in _move(route, _all_open(tab_of(states, source)), states, command, facts).items():
            writes.setdefault(stream, []).extend(events)
    return Decision(writes)


def decide_split_table(states: States, command: Command[SplitTable], facts: SaleFacts) -> Decision:
    body = command.body
    tab = tab_of(states, body.table)
    faults = Faults()
    check_table(body.table, "table", facts, tab, faults)
    chosen = check_count(body.items, SPLIT_ITEMS_MAX, "items", "too_many", faults)
    parts = _chosen(body.items, tab, faults) if chosen else []
    return _take(parts, body, states, command, facts, faults)


def _chosen(items: Sequence[SplitItem], tab: Tab, faults: Faults) -> list[_Part]:
    parts: dict[str, _Part] = {}
    for ix, item in enumerate(items):
        line = tab.lines.get(item.line)
        if item.line in parts:
            faults.invalid(f"items[{ix}].line", "repeated")
        elif line is None or not line.is_open:
            faults.not_found(f"items[{ix}].line", "line_not_found", id=known_as(item.line))
        else:
            parts[item.line] = _Part(line, part_of(line, item.quantity, f"items[{ix}].quantity", faults))
    return list(parts.values())


def decide_move_line(states: States, command: Command[MoveLine], facts: SaleFacts) -> Decision:
    body = command.body
    faults = Faults()
    check_untouched(states, command)
    line = find_line(states, body.line, body.table, faults)
    parts = [] if line is None else [_Part(line, part_of(line, body.quantity, "quantity", faults))]
    return _take(parts, body, states, command, facts, faults)


def _take(
    parts: Sequence[_Part],
    body: SplitTable | MoveLine,
    states: States,
    command: Command[SplitTable] | Command[MoveLine],
    facts: SaleFacts,
    faults: Faults,
) -> Decision:
    """Takes items to another table or seat; raises what was found so far, too."""
    target = body.table if body.target is None else body.target
    check_int(body.seat, 1, SEAT_MAX, "seat", faults)
    if target == body.table and body.seat is None:
        faults.invalid("target", "required" if body.target is None else "same_table")
    elif target != body.table:
        check_may_take(target, "target", len(parts), tab_of(states, target), facts, faults)
    elif any(part.quantity < part.line.open_quantity for part in parts):
        check_may_take(target, "table", len(parts), tab_of(states, target), facts, faults)
    faults.refuse()
    route = _Route(body.table, target, _joins(states, target, body.table), body.seat, whole=False, new_id=line_keys(command.id, 0))
    return Decision(_move(route, parts, states, command, facts))


# --- answers ------------------------------------------------------------------------------------------------------------------


def _moved(recorded: Sequence[Recorded]) -> tuple[MovedItem, ...]:
    """What arrived, with the ids it had: tables name their items in the same order."""
    versions = {one.stream: one.version for one in recorded}  # of the last event of each
    outs = [part for one in recorded if isinstance(one.data, LinesMovedOut) for part in one.data.parts]
    ins = [(one, item) for one in recorded if isinstance(one.data, LinesMovedIn) for item in one.data.items]
    return tuple(
        MovedItem(before=part.line, item=open_item(one.data.table, item, one.data.at, versions[one.stream]))
        for part, (one, item) in zip(outs, ins, strict=True)
    )


def reply_moved(
    states: States, command: Command[MoveTable] | Command[MergeTables] | Command[SplitTable], recorded: Sequence[Recorded]
) -> MovedItems:
    tables = dict.fromkeys(TABLES_OF[type(command.body)](command.body))
    return MovedItems(tables=tuple(status_of(states, table) for table in tables), items=_moved(recorded))


def reply_line(states: States, command: Command[MoveLine], recorded: Sequence[Recorded]) -> MovedItem:
    return _moved(recorded)[0]


# --- commands -----------------------------------------------------------------------------------------------------------------

TABLES_OF: Final[Mapping[type, Callable[..., tuple[str, ...]]]] = {
    MoveTable: lambda body: (body.table, body.target),
    MergeTables: lambda body: (*body.sources[:MERGED_TABLES_MAX], body.table),
    SplitTable: lambda body: (body.table, body.target or body.table),
    MoveLine: lambda body: (body.table, body.target or body.table),
}


def _tables(command: Moving) -> tuple[str, ...]:
    return TABLES_OF[type(command.body)](command.body)


async def _facts(command: Moving, lookup: Lookup) -> SaleFacts:
    return await facts_of_tables(command, lookup, _tables(command))


COMMANDS: Final = (
    CommandType(
        name="tab.move",
        body=MoveTable,
        streams=lambda command: tab_refs(_tables(command)),
        facts=_facts,
        decide=decide_move_table,
        reply=reply_moved,
        permission=ORDERS,
    ),
    CommandType(
        name="tab.merge",
        body=MergeTables,
        streams=lambda command: tab_refs(_tables(command)),
        facts=_facts,
        decide=decide_merge_tables,
        reply=reply_moved,
        permission=ORDERS,
    ),
    CommandType(
        name="tab.split",
        body=SplitTable,
        streams=lambda command: tab_refs(_tables(command)),
        facts=_facts,
        decide=decide_split_table,
        reply=reply_moved,
        permission=ORDERS,
    ),
    CommandType(
        name="tab.move_line",
        body=MoveLine,
        streams=lambda command: tab_refs(_tables(command)),
        complete=at_its_table,
        facts=_facts,
        decide=decide_move_line,
        reply=reply_line,
        permission=ORDERS,
    ),
)
