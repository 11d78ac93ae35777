"""Records: things that are edited. Declared once as data; the record engine makes commands, events and a query table of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from libs.domain.events import Event, event

TEXT_MAX_CHARS = 10_000
LIST_MAX_ITEMS = 200
INT32_MAX = 2**31 - 1


class FieldType(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    REFERENCE = "reference"  # the key of another record
    LIST = "list"  # of a struct, kept as JSON


PYTHON: Mapping[FieldType, Any] = {
    FieldType.TEXT: str,
    FieldType.INTEGER: int,
    FieldType.DECIMAL: Decimal,
    FieldType.BOOLEAN: bool,
    FieldType.DATE: date,
    FieldType.REFERENCE: str,
}
POSTGRES: Mapping[FieldType, str] = {
    FieldType.TEXT: "text",
    FieldType.INTEGER: "int",
    FieldType.DECIMAL: "numeric",
    FieldType.BOOLEAN: "boolean",
    FieldType.DATE: "date",
    FieldType.REFERENCE: "text",
    FieldType.LIST: "jsonb",
}


class OnDelete(StrEnum):
    """What becomes of a referring record when the record it refers to is deleted."""

    RESTRICT = "restrict"  # the delete is refused


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a record. ``low`` and ``high`` are inclusive; ``places`` the decimals kept; ``refers`` the record type a reference
    points to (same service; every item of a list of texts may be one); ``known_in`` a ``service.table.column`` in which the value must
    occur; ``item`` the struct of a list, ``item_fields`` what its fields may hold, ``max_items`` how many there may be; ``choices`` the
    values an integer or the items of a list may take. ``unique`` within the instance, in a list's item within the list. ``searchable``:
    lists are searched in it and sort by it as people do. ``inherited``: without a value, that of the nearest record above holds."""

    name: str
    type: FieldType
    doc: str = ""
    required: bool = False
    default: Any = None
    max_chars: int = 200
    low: int | Decimal | None = None
    high: int | Decimal | None = None
    places: int = 2
    refers: str = ""
    on_delete: OnDelete = OnDelete.RESTRICT
    known_in: str = ""
    item: Any = None
    item_fields: tuple[Field, ...] = ()
    unique: bool = False
    choices: tuple[int | str, ...] = ()
    max_items: int = LIST_MAX_ITEMS
    searchable: bool = False
    inherited: bool = False

    @property
    def python(self) -> Any:
        if self.item is not None:
            item: Any = self.item
            return tuple[item, ...]
        return PYTHON[self.type]

    @property
    def postgres(self) -> str:
        return POSTGRES[self.type]


class RecordType(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of record. Its streams, commands and events begin with ``name``; keys with ``prefix``; ``permission`` guards writing.
    ``revision``: of its query table; ``version``: of its events, raised when fields are added. ``above`` names the reference to the
    record that inherited fields come from; ``most`` bounds how many an instance may have (0: no bound)."""

    name: str
    service: str
    table: str
    prefix: str
    permission: str
    fields: tuple[Field, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    revision: int = 1
    version: int = 1
    above: str = ""
    most: int = 0

    def field(self, name: str) -> Field:
        return next(field for field in self.fields if field.name == name)


class RecordEvents(msgspec.Struct, frozen=True):
    created: type[Event]
    changed: type[Event]
    deleted: type[Event]


def record_events(record: RecordType, module: str) -> RecordEvents:
    """Declares ``<name>.created`` (every field that has a value), ``.changed`` (only what changed; null clears) and ``.deleted``.
    A created record draws its ``ID`` from the series of its type."""
    title = "".join(part.capitalize() for part in record.name.split("_"))
    optional = [(field.name, field.python | None | UnsetType, UNSET) for field in record.fields]
    series = f"id.{record.name}"
    created = msgspec.defstruct(
        f"{title}Created", optional, bases=(Event,), module=module, frozen=True, kw_only=True, omit_defaults=True,
        namespace={"series": lambda self: series, "__doc__": f"A record of type {record.name} was made."},
    )  # fmt: skip
    changed = msgspec.defstruct(
        f"{title}Changed", optional, bases=(Event,), module=module, frozen=True, kw_only=True, omit_defaults=True,
        namespace={"__doc__": f"Fields of a {record.name} changed; only those are named."},
    )  # fmt: skip
    deleted = msgspec.defstruct(
        f"{title}Deleted", [], bases=(Event,), module=module, frozen=True, kw_only=True, omit_defaults=True,
        namespace={"__doc__": f"A {record.name} was deleted."},
    )  # fmt: skip
    return RecordEvents(
        event(f"{record.name}.created", version=record.version)(created),
        event(f"{record.name}.changed", version=record.version)(changed),
        event(f"{record.name}.deleted")(deleted),
    )


class RecordView(msgspec.Struct, frozen=True, kw_only=True):
    """A record as commands and queries answer it. ``version`` is its stream's; ``id`` its number within instance and type;
    ``effective``: inherited fields that have a value, its own or from above, in the answers of queries."""

    key: str
    id: int
    version: int
    created_at: datetime
    changed_at: datetime
    creator: str
    values: dict[str, Any]
    effective: dict[str, Any] = msgspec.field(default_factory=dict)
