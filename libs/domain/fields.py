"""The vocabulary in which ERP records are declared: a line per field, readable as a table."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.domain.records import INT32_MAX, Field, FieldType, OnDelete, Shape

INT64_MAX: Final = 2**63 - 1
NUMBER_MAX: Final = Decimal(10) ** 12
NUMBER_PLACES: Final = 9
LINE_MAX_CHARS: Final = 1_000
TEXT_MAX_CHARS: Final = 50_000
URL_MAX_CHARS: Final = 2_000
IDENTIFIER_MAX_CHARS: Final = 200
LIST_MAX_ITEMS: Final = 1_000

CURRENCY: Final = "[A-Z]{3}"
COUNTRY: Final = "[A-Z]{2}"
COLOUR: Final = "[0-9A-F]{3}|[0-9A-F]{6}"
IDENTIFIER: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
MEDIA_TYPE: Final = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*"

# what anything that refers by name may refer to
ENTITIES: Final = (
    "accounts", "actionsteps", "applications", "appointments", "campaigns", "contacts", "contracts", "coupons", "davservers", "devices",
    "dunning", "feedservers", "groups", "items", "ledgers", "links", "mailinglists", "mailservers", "messages", "notes", "objects",
    "opportunities", "payments", "pricelists", "projects", "resources", "services", "storages", "tasks", "tickets", "transactions", "users",
    "weblets",
)  # fmt: skip
VISIBILITY: Final = {0: "REGULAR", 1: "ARCHIVED", 2: "DELETED"}
ACTIVITY: Final = {0: "ACTIVE", 1: "DEACTIVATED", 2: "DELETED"}
PRIORITY: Final = {0: "LOWEST", 1: "LOW", 2: "MEDIUM", 3: "HIGH", 4: "HIGHEST"}
CALCULATION: Final = {0: "NET", 1: "GROSS", 2: "LEGACY"}

ANYTHING: Final = Shape(either=True)  # any object or list
OBJECT: Final = Shape()


def line(name: str, doc: str = "", *, required: bool = False, max_chars: int = LINE_MAX_CHARS, pattern: str = "", search: bool = False,
         fixed: bool = False, default: str = "") -> Field:  # fmt: skip
    """A text of one line; a required one is not empty."""
    return Field(
        name=name, type=FieldType.TEXT, doc=doc, required=required, default=None if required else default, max_chars=max_chars,
        pattern=pattern, searchable=search, fixed=fixed, single_line=True,
    )  # fmt: skip


def secret(name: str, doc: str = "") -> Field:
    """A text that rows have and Theke does not keep: always empty."""
    return Field(name=name, type=FieldType.TEXT, doc=doc, default="", max_chars=LINE_MAX_CHARS, single_line=True, secret=True)


def text(name: str, doc: str = "", *, search: bool = False) -> Field:
    """A text of any number of lines."""
    return Field(name=name, type=FieldType.TEXT, doc=doc, default="", max_chars=TEXT_MAX_CHARS, searchable=search)


def whole(name: str, doc: str = "", *, low: int | None = None, high: int | None = None, default: int | None = 0,
          required: bool = False, big: bool = False) -> Field:  # fmt: skip
    """A whole number; ``default`` None makes it nullable."""
    most = INT64_MAX if big else INT32_MAX
    return Field(
        name=name, type=FieldType.LONG if big else FieldType.INTEGER, doc=doc, low=-most if low is None else low,
        high=most if high is None else high, default=None if required else default, required=required,
    )  # fmt: skip


def number(name: str, doc: str = "", *, low: int | None = None, high: int | None = None, default: int | None = 0,
           required: bool = False) -> Field:  # fmt: skip
    return Field(
        name=name, type=FieldType.DECIMAL, doc=doc, low=-NUMBER_MAX if low is None else Decimal(low),
        high=NUMBER_MAX if high is None else Decimal(high), places=NUMBER_PLACES, required=required,
        default=None if required or default is None else Decimal(default),
    )  # fmt: skip


def moment(name: str, doc: str = "", *, required: bool = False, on_create: bool = False) -> Field:
    """Seconds since 1970. ``on_create``: of a new row the present, unless it says otherwise; without it and not required it is nullable."""
    return Field(
        name=name, type=FieldType.LONG, doc=doc, low=-INT64_MAX, high=INT64_MAX, moment=True, required=required,
        on_create="now" if on_create else "",
    )  # fmt: skip


def choice(name: str, names: dict[int, str], doc: str = "", *, default: int | None = 0, fixed: bool = False) -> Field:
    """One of some numbers with names; ``default`` None makes it nullable."""
    return Field(
        name=name, type=FieldType.INTEGER, doc=doc, choices=tuple(names), choice_names=tuple(names.items()), default=default, fixed=fixed,
    )  # fmt: skip


def flag(name: str, doc: str = "", *, default: int = 0) -> Field:
    """0 or 1."""
    return Field(name=name, type=FieldType.INTEGER, doc=doc, choices=(0, 1), default=default)


def word(name: str, words: Iterable[str], doc: str = "", *, required: bool = False, default: str | None = None) -> Field:
    """One of some words; nullable unless it is required or has a default."""
    return Field(name=name, type=FieldType.TEXT, doc=doc, choices=tuple(words), required=required, default=default, single_line=True)


def ref(name: str, resource: str, gone: OnDelete = OnDelete.CLEAR, doc: str = "", *, required: bool = False) -> Field:
    """The ID of a row of a resource; ``gone``: what becomes of this record when that row is deleted."""
    return Field(name=name, type=FieldType.ID, doc=doc, refers=resource, on_delete=gone, required=required, low=1, high=INT64_MAX)


def ref_by(name: str, by: str, doc: str = "", *, required: bool = False) -> Field:
    """The ID of a row of the resource that the field ``by`` names; the record goes with that row."""
    return Field(
        name=name, type=FieldType.ID, doc=doc, refers_by=by, on_delete=OnDelete.DELETE, required=required, low=1, high=INT64_MAX
    )  # fmt: skip


def owner_user() -> Field:
    return ref("owneruser", "users", OnDelete.DELETE, "private to this user; public without owner")


def owner_group() -> Field:
    return ref("ownergroup", "groups", OnDelete.DELETE, "only for this group; public without owner")


def json(name: str, doc: str = "", *, as_text: bool = False, shape: Shape = ANYTHING) -> Field:
    """What a client keeps there, of some shape; nullable. ``as_text``: shown as a text unless it is expanded."""
    return Field(name=name, type=FieldType.JSON, doc=doc, as_text=as_text, shape=shape)


def listed(name: str, item: Any, doc: str = "", *, search: bool = False) -> Field:
    """A list of texts or of whole numbers of 64 bits; nullable."""
    return Field(
        name=name, type=FieldType.LIST, item=item, doc=doc, max_items=LIST_MAX_ITEMS, searchable=search, max_chars=LINE_MAX_CHARS,
        low=-INT64_MAX if item is int else None, high=INT64_MAX if item is int else None,
    )  # fmt: skip


def file(name: str, doc: str = "") -> Field:
    """A file: written as content, kept as the ID of a row of ``binfiles``; nullable."""
    return Field(name=name, type=FieldType.ID, doc=doc, refers="binfiles", on_delete=OnDelete.KEEP, file=True, low=1, high=INT64_MAX)


def hidden(name: str, doc: str = "") -> Field:
    """A text of one line that Theke keeps for itself; nullable."""
    return Field(name=name, type=FieldType.TEXT, doc=doc, max_chars=LINE_MAX_CHARS, single_line=True, hidden=True)


def stamps() -> tuple[Field, ...]:
    """When a row was made and by whom; when it was changed is known of every row anyway."""
    return (moment("creationdate", "when it was made", on_create=True), creator())


def creator(doc: str = "who made it; null if Theke itself did") -> Field:
    return Field(
        name="creator", type=FieldType.ID, refers="users", on_delete=OnDelete.KEEP, on_create="user", low=1, high=INT64_MAX, doc=doc
    )  # fmt: skip


def whose(doc: str) -> tuple[Field, ...]:
    """``stamps`` of a row that belongs to its creator: there always is one, and the row goes with that user."""
    owner = msgspec.structs.replace(creator(doc), required=True, on_delete=OnDelete.DELETE)
    return (moment("creationdate", "when it was made", on_create=True), owner)
