"""The query tables of ERP records: a row per record that is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from libs.domain.events import Recorded
from libs.domain.records import FieldType
from libs.domain.resources import LAST_MODIFIED
from libs.projections.declare import Key, Projection, Table
from libs.projections.rows import Rows
from libs.records.numbered import Numbered
from libs.records.state import named_values
from libs.records.wanted import fold

SYSTEM_COLUMNS: Final = {
    "id": "bigint",
    "version": "bigint",
    "position": "bigint",
    LAST_MODIFIED: "bigint",
    "search_text": "text",
}
LAYOUT: Final = 2  # raised with every change to what the engine itself keeps: all these tables are then built anew


def numbered_projection(name: str, members: Sequence[Numbered]) -> Projection:
    """Records that belong together share a projection; it is rebuilt when one of them has a new revision."""
    tables = tuple(_table(member) for member in members)
    made = Projection(name, LAYOUT + sum(member.type.revision for member in members), tables)
    for member in members:
        _handle(made, member)
    return made


def _table(member: Numbered) -> Table:
    record = member.type
    columns = {**SYSTEM_COLUMNS, **{field.column: field.postgres for field in record.kept}}
    columns |= {f"{field.column}_order": "text" for field in record.fields if _ordered(field)}
    columns |= {"extdata": "jsonb"} if record.extdata else {}  # a text otherwise
    references = tuple((field.column,) for field in record.fields if field.type is FieldType.ID and not field.file)
    return Table(
        record.table, columns, key=("id",), indexes=(*references, *record.indexes), searched=("search_text",) if record.searched else ()
    )


def _words(listed: str) -> str:
    """A list as its table has it, without its brackets."""
    return " ".join(map(str, msgspec.json.decode(listed)))


def _ordered(field: Any) -> bool:
    return bool(field.searchable and field.type is FieldType.TEXT)


def _handle(made: Projection, member: Numbered) -> None:
    record, events = member.type, member.events
    columns = {field.name: field.column for field in record.kept}
    lists = {field.name for field in record.kept if field.type is FieldType.LIST}
    searched = [field.column for field in record.searched]
    ordered = [field.column for field in record.fields if _ordered(field)]
    blank = {field.name: field.default for field in record.kept}
    prefix = len(record.name) + 1

    def stored(values: dict[str, Any]) -> dict[str, Any]:
        return {
            columns[name]: msgspec.json.encode(value).decode() if name in lists and value is not None else value
            for name, value in values.items()
        }

    def findable(row: dict[str, Any]) -> dict[str, Any]:
        texts = {column: row[column] for column in searched if row.get(column) is not None}
        folded = {column: fold(_words(text) if column in lists else str(text)) for column, text in texts.items()}
        hidden = record.unsearched is not None and record.unsearched.holds({name: row.get(column) for name, column in columns.items()})
        search_text = "" if hidden else "\n".join(folded.values())
        return {"search_text": search_text, **{f"{column}_order": folded.get(column) for column in ordered}}

    def touched(event: Recorded) -> list[tuple[str, Key]]:
        return [(record.table, (int(event.stream[prefix:]),))]

    def system(event: Recorded) -> dict[str, Any]:
        return {"version": event.version, "position": event.position, LAST_MODIFIED: int(event.at.timestamp())}

    @made.on(events.created)
    def created(rows: Rows, event: Recorded) -> None:
        values = stored({**blank, **named_values(event.data)})
        rows.put(record.table, int(event.stream[prefix:]), **system(event), **values, **findable(values))

    @made.on(events.changed, reads=touched)
    def changed(rows: Rows, event: Recorded) -> None:
        id_ = int(event.stream[prefix:])
        rows.change(record.table, id_, **system(event), **stored(named_values(event.data)))
        row = rows.get(record.table, id_)
        if row is not None:
            rows.change(record.table, id_, **findable(row))

    @made.on(events.deleted)
    def deleted(rows: Rows, event: Recorded) -> None:
        rows.delete(record.table, int(event.stream[prefix:]))
