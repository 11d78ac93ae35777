"""Resources: how a dialect shows stored rows. Declared once as data, for the query compiler, the dialect and its reference."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from libs.domain.records import Field, FieldType, RecordType


class ColumnType(StrEnum):
    INTEGER = "integer"  # 64 bits
    NUMBER = "number"  # a decimal
    TEXT = "text"
    TIME = "time"  # seconds since 1970, whole
    JSON = "json"  # an object or a list: shown, never compared


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """``sql``: an expression over its row, in which ``@`` stands for the row's alias; ``order``: another one that it sorts by;
    ``field``: the record's field that a write goes to (empty: it is only read); ``choices``: what an integer may be, with its name;
    ``searched``: its text is part of what its resource searches; ``expandable``: asked for by name in ``expand`` it is shown as what it
    holds: JSON that is a text otherwise, the content of a file (``file``) whose ID it is otherwise."""

    name: str
    type: ColumnType
    sql: str
    order: str = ""
    field: str = ""
    choices: Mapping[int, str] = msgspec.field(default_factory=dict)
    doc: str = ""
    searched: bool = False
    expandable: bool = False
    as_text: bool = False
    file: bool = False


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """A row of another resource, reached through a column: at most one for each. ``on``: the condition, ``@`` is the other row and ``t``
    this one."""

    resource: str
    on: str


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """``table`` as ``service.table``; ``columns`` in the order in which a whole row shows them, the first is its id; ``joins`` by the name
    of the column that refers; ``search``: an expression with all the text that is searched, folded as lists fold it.

    ``type``: the record's name, of which tags are made. ``read``: any of these permissions of the ERP is needed, none for everybody.
    ``owner_user``, ``owner_group``: the columns that say whose a row is; ``parents``: columns and the resources they refer to whose rows
    decide who sees this one, all of them or with ``any_parent`` the one that is set. ``extdata``, ``tags``: rows have those columns;
    ``keyed``: they have a key besides their ID."""

    name: str
    table: str
    type: str
    columns: tuple[Column, ...]
    joins: Mapping[str, Join] = msgspec.field(default_factory=dict)
    search: str = ""
    read: tuple[str, ...] = ()
    owner_user: str = ""
    owner_group: str = ""
    parents: tuple[tuple[str, str], ...] = ()
    any_parent: bool = False
    extdata: bool = False
    tags: bool = False
    keyed: bool = False

    @property
    def service(self) -> str:
        return self.table.partition(".")[0]

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


OWNER_USER = "owneruser"
OWNER_GROUP = "ownergroup"
LAST_MODIFIED = "lastmodified"
TYPES: Mapping[FieldType, ColumnType] = {
    FieldType.TEXT: ColumnType.TEXT,
    FieldType.INTEGER: ColumnType.INTEGER,
    FieldType.LONG: ColumnType.INTEGER,
    FieldType.DECIMAL: ColumnType.NUMBER,
    FieldType.ID: ColumnType.INTEGER,
    FieldType.LIST: ColumnType.JSON,
    FieldType.JSON: ColumnType.JSON,
}


def resource_of(record: RecordType) -> Resource:
    """An ERP record as clients see it: its ID, then everything by name."""
    fields = {field.name: field for field in record.fields if not field.hidden}
    found_by = () if record.unsearched is not None else tuple(field.name for field in record.searched if field.type is FieldType.TEXT)
    columns = {name: _column(field, searched=name in found_by) for name, field in fields.items()}
    if record.stamped:
        columns[LAST_MODIFIED] = Column(
            name=LAST_MODIFIED, type=ColumnType.TIME, sql="@.lastmodified", doc="when it was changed; only read"
        )
    return Resource(
        name=record.resource,
        table=f"{record.service}.{record.table}",
        type=record.name,
        columns=(Column(name="ID", type=ColumnType.INTEGER, sql="@.id"), *(columns[name] for name in sorted(columns))),
        joins={
            name: Join(resource=field.refers, on=f"@.id = t.{field.column}")
            for name, field in fields.items()
            if field.type is FieldType.ID and field.refers
        },
        search="@.search_text" if record.searched else "",
        read=record.read,
        owner_user=OWNER_USER if OWNER_USER in fields else "",
        owner_group=OWNER_GROUP if OWNER_GROUP in fields else "",
        parents=tuple((fields[name].column, fields[name].refers) for name in record.parents),
        any_parent=record.any_parent,
        extdata=record.extdata,
        tags=record.tags,
    )


def _column(field: Field, *, searched: bool) -> Column:
    return Column(
        name=field.name,
        type=ColumnType.TIME if field.moment else TYPES[field.type],
        sql="''" if field.secret else f"@.{field.column}",
        order=f"@.{field.column}_order" if field.searchable and field.type is FieldType.TEXT else "",
        field=field.name,
        choices=dict(field.choice_names),
        doc=field.doc,
        searched=searched,
        expandable=field.type in (FieldType.LIST, FieldType.JSON) or field.file,
        as_text=field.as_text,
        file=field.file,
    )
