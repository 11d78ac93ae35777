"""The query tables of a record, and the statements every record has: one by key, a list, what changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from libs.domain.events import Recorded
from libs.domain.records import FieldType, RecordType, RecordView, chosen_id
from libs.projections.declare import Key, Projection, Table
from libs.projections.listed import Lister
from libs.projections.rows import Rows
from libs.projections.tables import Statement
from libs.records.engine import Records
from libs.records.lists import ordered
from libs.records.state import named_values
from libs.records.wanted import fold

SYSTEM_COLUMNS: Final = {
    "key": "text",
    "id": "int",
    "version": "bigint",
    "created_at": "timestamptz",
    "changed_at": "timestamptz",
    "creator": "text",
    "owner_user": "text",
    "owner_group": "int",
    "position": "bigint",
    "search_text": "text",
}
GONE_COLUMNS: Final = {"key": "text", "id": "int", "deleted_at": "timestamptz", "position": "bigint"}
LAYOUT: Final = 3  # raised with every change to what the engine itself keeps: all records' tables are then built anew


def gone_table(record: RecordType) -> str:
    """Where deleted records leave their key, so that who reads changes hears of them; no other query can see one by mistake."""
    return f"{record.table}_gone"


def projection(records: Records) -> Projection:
    """A row per record that is there, and one per record that is gone."""
    record, events = records.type, records.events
    lists = {field.name for field in record.kept if field.type is FieldType.LIST}
    sorted_by = [field.name for field in record.fields if ordered(field)]
    searched = [field.name for field in record.fields if field.searchable]
    columns = {
        **SYSTEM_COLUMNS,
        **{field.name: field.postgres for field in record.kept},
        **({"extdata": "jsonb"} if record.extdata else {}),
        **{f"{name}_order": "text" for name in sorted_by},
    }
    references = tuple((field.name,) for field in record.fields if field.refers and field.name not in lists)
    found_by = ("search_text",) if searched else ()
    tables = (
        Table(record.table, columns, indexes=(("id",), ("position",), *references, *record.indexes), searched=found_by),
        Table(gone_table(record), GONE_COLUMNS, indexes=(("position",), ("id",))),
    )
    made = Projection(record.table, record.revision + LAYOUT, tables)
    blank = {field.name: field.default for field in record.kept}
    prefix = len(record.name) + 1

    def stored(values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: msgspec.json.encode(value).decode() if name in lists and value is not None else value for name, value in values.items()
        }

    def findable(row: dict[str, Any]) -> dict[str, Any]:
        """How lists find and sort this row."""
        folded = {name: fold(str(row[name])) for name in searched if row.get(name) is not None}
        return {"search_text": "\n".join(folded.values()), **{f"{name}_order": folded.get(name) for name in sorted_by}}

    def touched(event: Recorded) -> list[tuple[str, Key]]:
        return [(record.table, (event.stream[prefix:],))]

    @made.on(events.created)
    def created(rows: Rows, event: Recorded) -> None:
        values = stored({**blank, **named_values(event.data)})
        id_ = event.number or chosen_id(event.data)
        system = {"id": id_, "version": event.version, "created_at": event.at, "changed_at": event.at, "creator": event.actor}
        rows.put(record.table, event.stream[prefix:], **system, **values, **findable(values), position=event.position)

    @made.on(events.changed, reads=touched)
    def changed(rows: Rows, event: Recorded) -> None:
        key = event.stream[prefix:]
        values = stored(named_values(event.data))
        rows.change(record.table, key, version=event.version, changed_at=event.at, position=event.position, **values)
        row = rows.get(record.table, key)
        if row is not None:
            rows.change(record.table, key, **findable(row))

    @made.on(events.deleted, reads=touched)
    def deleted(rows: Rows, event: Recorded) -> None:
        key = event.stream[prefix:]
        row = rows.get(record.table, key)
        rows.delete(record.table, key)
        rows.put(gone_table(record), key, id=row["id"] if row is not None else None, deleted_at=event.at, position=event.position)

    return made


class Gone(msgspec.Struct, frozen=True):
    """A record that was deleted."""

    key: str
    deleted_at: datetime


class RecordQueries:
    """What is asked of a record's tables, as statements, and rows as views."""

    def __init__(self, records: Records) -> None:
        record = records.type
        self.named = f"{record.service}.{record.table}"
        table = f"{{{self.named}}} t"
        gone = f"{{{record.service}.{gone_table(record)}}} t"
        self.of_view = ("key", "id", "version", "created_at", "changed_at", "creator", *(field.name for field in record.fields))
        shown = ", ".join(f"t.{column}" for column in self.of_view)
        self._names = [field.name for field in record.fields]
        self._lists = [(field.name, msgspec.json.Decoder(field.python)) for field in record.fields if field.type is FieldType.LIST]
        one_of = f"select {shown} from {table} where t.instance = $1"
        behind = "t.position > ${0} order by t.position limit ${1}"
        self.lister = Lister(shown, table, "id")
        self.changed = Statement(f"select t.position, {one_of[7:]} and t.position <= $2 and {behind.format(3, 4)}")
        self.gone = Statement(
            f"select t.key, t.deleted_at, t.position from {gone} where t.instance = $1 and t.position <= $2 and {behind.format(3, 4)}"
        )
        self.position_at = Statement(  # of the last change or deletion up to a moment
            f"select max(b.position) as position from (select t.position from {table} where t.instance = $1 and t.changed_at <= $2 "
            f"union all select d.position from {gone[:-2]} d where d.instance = $1 and d.deleted_at <= $2) b "
            "having max(b.position) is not null"
        )

    def view(self, row: Any) -> RecordView:
        values = {name: row[name] for name in self._names}
        for name, decoder in self._lists:
            if values[name] is not None:
                values[name] = decoder.decode(values[name])
        return RecordView(
            key=row["key"],
            id=row["id"],
            version=row["version"],
            created_at=row["created_at"],
            changed_at=row["changed_at"],
            creator=row["creator"],
            values=values,
        )
