"""The query table of a record, and the queries every record has: one by key, a list."""

from __future__ import annotations

from typing import Any

import msgspec

from libs.domain.events import Recorded
from libs.domain.records import FieldType, RecordView
from libs.projections.declare import Key, Projection, Table
from libs.projections.rows import Rows
from libs.projections.tables import Statement
from libs.records.engine import Records
from libs.records.state import named_values

SYSTEM_COLUMNS = {
    "key": "text",
    "id": "int",
    "version": "bigint",
    "created_at": "timestamptz",
    "changed_at": "timestamptz",
    "creator": "text",
    "owner_user": "text",
    "owner_group": "int",
}


def projection(records: Records) -> Projection:
    """One table: a row per record that is there."""
    record, events = records.type, records.events
    lists = {field.name for field in record.fields if field.type is FieldType.LIST}
    columns = {**SYSTEM_COLUMNS, **{field.name: field.postgres for field in record.fields}}
    references = tuple((field.name,) for field in record.fields if field.refers)
    made = Projection(record.table, record.revision, (Table(record.table, columns, indexes=(("id",), *references, *record.indexes)),))
    blank = {field.name: field.default for field in record.fields}
    prefix = len(record.name) + 1

    def stored(values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: msgspec.json.encode(value).decode() if name in lists and value is not None else value for name, value in values.items()
        }

    def touched(event: Recorded) -> list[tuple[str, Key]]:
        return [(record.table, (event.stream[prefix:],))]

    @made.on(events.created)
    def created(rows: Rows, event: Recorded) -> None:
        values = stored({**blank, **named_values(event.data)})
        system = {"id": event.number, "version": event.version, "created_at": event.at, "changed_at": event.at, "creator": event.actor}
        rows.put(record.table, event.stream[prefix:], **system, **values)

    @made.on(events.changed, reads=touched)
    def changed(rows: Rows, event: Recorded) -> None:
        values = stored(named_values(event.data))
        rows.change(record.table, event.stream[prefix:], version=event.version, changed_at=event.at, **values)

    @made.on(events.deleted)
    def deleted(rows: Rows, event: Recorded) -> None:
        rows.delete(record.table, event.stream[prefix:])

    return made


class RecordQueries:
    """``get(instance, key)`` and ``list`` as statements, and rows as views."""

    def __init__(self, records: Records) -> None:
        record = records.type
        table = f"{{{record.service}.{record.table}}} t"
        columns = ", ".join(
            ["t.key", "t.id", "t.version", "t.created_at", "t.changed_at", "t.creator", *(f"t.{f.name}" for f in record.fields)]
        )
        self._fields = record.fields
        self.by_key = Statement(f"select {columns} from {table} where t.instance = $1 and t.key = $2")
        self.all = Statement(f"select {columns} from {table} where t.instance = $1 and t.id > $2 order by t.id limit $3")

    def view(self, row: Any) -> RecordView:
        values = {}
        for field in self._fields:
            value = row[field.name]
            if field.type is FieldType.LIST and value is not None:
                value = msgspec.json.decode(value, type=field.python)
            values[field.name] = value
        return RecordView(
            key=row["key"],
            id=row["id"],
            version=row["version"],
            created_at=row["created_at"],
            changed_at=row["changed_at"],
            creator=row["creator"],
            values=values,
        )
