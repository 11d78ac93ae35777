"""The floor as it is furnished: tables are moved about on the plan, and one at which something is open does not go away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from libs.contracts.pos.floor import LAYOUT_TABLES_MAX, Arranged, ArrangeTables, PlacedTable
from libs.contracts.pos.permissions import TABLES as TABLES_RIGHT
from libs.domain.decider import Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import DomainError, conflict
from libs.domain.events import Recorded
from libs.records.engine import Delete
from libs.records.state import RecordState
from libs.records.validate import accept
from services.pos.faults import Faults, check_count, is_key, known_as
from services.pos.records import TABLES
from services.pos.tabs.state import tab_of, tab_refs

ON_THE_PLAN: Final = ("x", "y", "width", "height", "rotation")
TABLE: Final = TABLES.aggregate

# --- a table with guests ------------------------------------------------------------------------------------------------------


def guarded(command: CommandType) -> CommandType:
    """``table.delete`` with one condition more, looked at in the table's tab, which must not move meanwhile."""
    if command.body is not Delete:
        return command

    def streams(asked: Command[Delete]) -> tuple[StreamRef, ...]:
        own = command.streams(asked)
        return (*own, *(StreamRef(ref.aggregate, ref.key, reads=True) for ref in tab_refs([asked.body.key])))

    def decide(states: States, asked: Command[Delete], facts: Any) -> Decision:
        decision = command.decide(states, asked, facts)
        if tab_of(states, asked.body.key).open_lines():
            raise conflict("table_occupied", id=asked.body.key)
        return decision

    return msgspec.structs.replace(command, streams=streams, decide=decide)


# --- layout -------------------------------------------------------------------------------------------------------------------


def arrange_refs(command: Command[ArrangeTables]) -> tuple[StreamRef, ...]:
    keys = dict.fromkeys(placed.table for placed in command.body.tables[:LAYOUT_TABLES_MAX])
    return tuple(StreamRef(TABLE, key) for key in keys if is_key(key))


def decide_arrange(states: States, command: Command[ArrangeTables], facts: None) -> Decision:
    """All of the positions or none; a table that stands there already is not touched."""
    tables = command.body.tables
    faults = Faults()
    check_count(tables, LAYOUT_TABLES_MAX, "tables", "too_many", faults)
    faults.refuse()
    keys: set[str] = set()
    writes = {}
    for ix, placed in enumerate(tables):
        if placed.table in keys:
            faults.invalid(f"tables[{ix}].table", "repeated")
        keys.add(placed.table)
        values = _position(placed, f"tables[{ix}].", faults)
        state: RecordState = states.get(TABLE.stream(placed.table), TABLE.initial)
        if not state.exists:
            faults.not_found(f"tables[{ix}].table", "table_not_found", id=known_as(placed.table))
        changed = {name: value for name, value in values.items() if value != state.values.get(name)}
        if changed:
            writes[TABLE.stream(placed.table)] = [TABLES.events.changed(**changed)]
    faults.refuse()
    return Decision(writes)


def _position(placed: PlacedTable, path: str, faults: Faults) -> dict[str, Any]:
    for name in placed.values:
        if name not in ON_THE_PLAN:
            faults.invalid(f"{path}{name}", "unknown_field")
    try:
        return accept(TABLES.type, {name: value for name, value in placed.values.items() if name in ON_THE_PLAN}, create=False)
    except DomainError as error:
        for field in error.fields:
            faults.invalid(f"{path}{field.path}", field.reason, **field.params)
        return {}


def reply_arranged(states: States, command: Command[ArrangeTables], recorded: Sequence[Recorded]) -> Arranged:
    return Arranged(tables=tuple(placed.table for placed in command.body.tables))


ARRANGE: Final = CommandType(
    name="table.arrange",
    body=ArrangeTables,
    streams=arrange_refs,
    decide=decide_arrange,
    reply=reply_arranged,
    permission=TABLES_RIGHT,
)
