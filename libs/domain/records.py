"""Records: things that are edited. Declared once as data; the record engine makes commands, events and a query table of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from libs.domain.events import Event, event
from libs.domain.rules import Rule, When

TEXT_MAX_CHARS = 10_000
LIST_MAX_ITEMS = 200
INT32_MAX = 2**31 - 1
JSON_MAX_BYTES: Final = 100_000  # of one column
JSON_DEPTH_MAX: Final = 32
UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# names of fields that SQL reserves, or that every query table has for itself
SQL_WORDS: Final = frozenset({"default", "from", "group", "index", "key", "order", "position", "to", "user", "version"})


# fields that a search falls back on
TELLING: Final = ("name", "identifier", "email", "sender", "text", "description")
# what every row of an ERP record has beside its fields
ROW_COLUMNS: Final = ("id", "version", "position", "lastmodified")


class FieldType(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    LONG = "long"  # 64 bits; times are seconds since 1970
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    REFERENCE = "reference"  # the key of another record
    ID = "id"  # the ID of a row of any resource, of this service or another
    LIST = "list"  # of a struct or of single values, kept as JSON
    JSON = "json"  # whatever a client keeps there: an object or a list


PYTHON: Mapping[FieldType, Any] = {
    FieldType.TEXT: str,
    FieldType.INTEGER: int,
    FieldType.LONG: int,
    FieldType.DECIMAL: Decimal,
    FieldType.BOOLEAN: bool,
    FieldType.DATE: date,
    FieldType.REFERENCE: str,
    FieldType.ID: int,
    FieldType.JSON: str,  # as its text, so that numbers stay what they are
}
POSTGRES: Mapping[FieldType, str] = {
    FieldType.TEXT: "text",
    FieldType.INTEGER: "int",
    FieldType.LONG: "bigint",
    FieldType.DECIMAL: "numeric",
    FieldType.BOOLEAN: "boolean",
    FieldType.DATE: "date",
    FieldType.REFERENCE: "text",
    FieldType.ID: "bigint",
    FieldType.LIST: "jsonb",
    FieldType.JSON: "text",
}


class OnDelete(StrEnum):
    """What becomes of a referring record when the record it refers to is deleted."""

    RESTRICT = "restrict"  # the delete is refused
    DELETE = "delete"  # it goes too
    CLEAR = "clear"  # it loses the reference
    KEEP = "keep"  # it keeps the reference


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a column of JSON: an object, with ``listed`` a list of such objects, with ``either`` one of the two.

    ``fields``: names that are known; others are kept as they come. ``by``: the known field whose value tells which of the ``variants``
    (value → further fields) an object is. ``each``: what stands under any name, which then matches ``names``. ``max_items`` of a list,
    or names of an object with ``each``; ``max_bytes`` of all of it, written out."""

    listed: bool = False
    either: bool = False
    fields: tuple[Field, ...] = ()
    by: str = ""
    variants: tuple[tuple[int, tuple[Field, ...]], ...] = ()
    each: Field | None = None
    names: str = ""
    max_items: int = 1_000
    max_bytes: int = JSON_MAX_BYTES


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a record. ``low`` and ``high`` are inclusive; ``places`` the decimals kept; ``refers`` the record type a reference
    points to (same service; every item of a list of texts may be one); ``known_in`` a ``service.table.column`` in which the value must
    occur; ``item`` the struct of a list, ``item_fields`` what its fields may hold, ``max_items`` how many there may be; ``choices`` the
    values an integer or the items of a list may take. ``unique`` within the instance, in a list's item within the list. ``searchable``:
    lists are searched in it and sort by it as people do. ``inherited``: without a value, that of the nearest record above holds.

    Of ERP records: an ``ID`` ``refers`` to a resource by its name (``accounts``), or to the one that the field ``refers_by`` names.
    ``choice_names``: what the choices mean; ``single_line``: a text without line breaks; ``pattern``: what a text that is not empty must
    match as a whole; ``fixed``: never changed after creation; ``moment``: a LONG that is a time; ``on_create``: ``now`` or ``user``, the
    value without one; ``file``: an ID of ``binfiles`` that is written as content; ``as_text``: JSON that is shown as a text unless a
    client wants it expanded; ``shape``: what is known of it; ``secret``: never kept, in no event and no table, and always shown as its
    default; ``hidden``: kept, and never shown.

    ``erp``: of a record of the till, a field that only the ERP shows and writes; lists of the till neither filter nor sort by it."""

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
    refers_by: str = ""
    choice_names: tuple[tuple[int, str], ...] = ()
    single_line: bool = False
    pattern: str = ""
    fixed: bool = False
    moment: bool = False
    on_create: Literal["", "now", "user"] = ""
    file: bool = False
    as_text: bool = False
    shape: Shape | None = None
    secret: bool = False
    erp: bool = False
    hidden: bool = False

    @property
    def nullable(self) -> bool:
        """Whether null may stand in it."""
        return not self.required and self.default is None and self.on_create != "now"

    @property
    def column(self) -> str:
        """Its column in the query table: its name, unless SQL means something else by it."""
        return f"{self.name}_" if self.name in SQL_WORDS else self.name

    @property
    def python(self) -> Any:
        if self.item is not None:
            item: Any = self.item
            return tuple[item, ...]
        return PYTHON[self.type]

    @property
    def postgres(self) -> str:
        return POSTGRES[self.type]


class Unique(msgspec.Struct, frozen=True, kw_only=True):
    """Fields that no two records of an instance have alike. A record with null in one of them counts only with ``nulls``; one for which
    ``unless`` holds never does. ``blank``: an empty text counts too. ``unordered``: the two halves of the fields may be
    swapped, (a, b) is the same as (b, a) and (a, 1, b, 2) as (b, 2, a, 1).
    ``shared``: the record of the same service whose values it must not repeat either, of a unique with the same fields."""

    fields: tuple[str, ...]
    fold: bool = False
    nulls: bool = False
    blank: bool = False
    unordered: bool = False
    unless: When | None = None
    shared: str = ""


class RecordType(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of record. Its streams, commands and events begin with ``name``; keys with ``prefix``; ``permission`` guards writing.
    ``revision``: of its query table; ``version``: of its events, raised when fields are added. ``above`` names the reference to the
    record that inherited fields come from; ``most`` bounds how many an instance may have (0: no bound).

    Of ERP records: ``resource`` is their name there, their key is their ID, and rights are those of the ERP. ``read``, ``write``: any of
    these permissions suffices, the latter for writing; none means everybody, ``write`` None that no client writes. ``creator_writes``:
    only who made a row writes it. ``parents``: the references whose rows decide who sees and writes a row, all of them or with
    ``any_parent`` the one that is set. ``tags``, ``extdata``: clients may put those on a row. ``stamped``: it shows when it changed.
    ``unsearched``: of which rows a search finds none."""

    name: str
    service: str
    table: str
    fields: tuple[Field, ...]
    prefix: str = ""
    permission: str = ""
    indexes: tuple[tuple[str, ...], ...] = ()
    revision: int = 1
    version: int = 1
    above: str = ""
    most: int = 0
    resource: str = ""
    read: tuple[str, ...] = ()
    write: tuple[str, ...] | None = ()
    creator_writes: bool = False
    parents: tuple[str, ...] = ()
    any_parent: bool = False
    uniques: tuple[Unique, ...] = ()
    unsearched: When | None = None
    rules: tuple[Rule, ...] = ()
    tags: bool = False
    extdata: bool = False
    stamped: bool = True

    @property
    def kept(self) -> tuple[Field, ...]:
        """All fields of its events: those declared unless they are secret, and what clients may put on any row of this type."""
        kept = tuple(field for field in self.fields if not field.secret)
        return (*kept, *((EXTDATA,) if self.extdata else ()), *((TAGS,) if self.tags else ()))

    @property
    def searched(self) -> tuple[Field, ...]:
        """What a search looks at: the fields declared so; of an ERP record without any, those that say what a row is about."""
        found = tuple(field for field in self.fields if field.searchable)
        if found or not self.resource:
            return found
        return tuple(field for field in self.fields if field.name in TELLING and field.type is FieldType.TEXT and not field.choices)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of an ERP record, what services may read of each other's query tables: all that is not for finding and sorting only."""
        return (*ROW_COLUMNS, *(field.column for field in self.kept))

    def field(self, name: str) -> Field:
        return next(field for field in (*self.kept, *self.fields) if field.name == name)


TAGS_MAX: Final = 100
EXTDATA: Final = Field(name="extdata", type=FieldType.JSON, doc="names and values that clients keep with a row")
TAGS: Final = Field(name="tags", type=FieldType.LIST, item=str, max_items=TAGS_MAX, doc="words that clients keep with a row")


class RecordEvents(msgspec.Struct, frozen=True):
    created: type[Event]
    changed: type[Event]
    deleted: type[Event]


CHOSEN_ID: Final = "chosen_id"  # the field of a record whose ID a client may choose


def chosen_id(created: Event) -> int | None:
    """The ID that a client chose for a record that was created."""
    chosen: int | UnsetType | None = getattr(created, CHOSEN_ID, UNSET)
    return None if chosen is UNSET else chosen


def record_events(record: RecordType, module: str) -> RecordEvents:
    """Declares ``<name>.created`` (every field that has a value), ``.changed`` (only what changed; null clears) and ``.deleted``.
    A created record draws its ``ID`` from the series of its type, unless its key is its ID or a client chose one."""
    title = "".join(part.capitalize() for part in record.name.split("_"))
    optional = [(field.name, field.python | None | UnsetType, UNSET) for field in record.kept]
    own_series = f"id.{record.name}" if record.prefix else None

    def series(self: Any) -> str | None:
        return own_series if chosen_id(self) is None else None

    created = msgspec.defstruct(
        f"{title}Created", optional, bases=(Event,), module=module, frozen=True, kw_only=True, omit_defaults=True,
        namespace={"series": series, "__doc__": f"A record of type {record.name} was made."},
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
