"""Lists of records: what a caller asks for, compiled to SQL. Names come from the declaration, values are only ever parameters.

A caller's words arrive as text, keyed by the fields' names; everything wrong with them is refused here, parameter by parameter.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

import msgspec

from libs.domain.errors import FieldError, invalid
from libs.domain.records import INT32_MAX, Field, FieldType, RecordType
from libs.projections.tables import Statement
from libs.records.validate import UNPRINTABLE, is_key

ALL_MAX_ROWS: Final = 100_000  # of a list that is not asked for page by page
PAGE_MAX_ROWS: Final = 1_000
PAGE_ROWS: Final = 50
PAGES_MAX: Final = 1_000_000
SEARCH_MAX_CHARS: Final = 200
SEARCH_WORDS_MAX: Final = 10
SORT_FIELDS_MAX: Final = 5
VALUE_MAX_CHARS: Final = 200
SHAPES_KEPT: Final = 256  # compiled statements
NUMBER_MAX: Final = Decimal(10) ** 12

# what every record has besides its fields
TIMES: Final[Mapping[str, tuple[str, str]]] = {
    "created_from": ("created_at", ">="),
    "created_to": ("created_at", "<="),
    "changed_from": ("changed_at", ">="),
    "changed_to": ("changed_at", "<="),
}
SYSTEM_ORDER: Final[Mapping[str, str]] = {"id": "id", "created_date": "created_at", "changed_date": "changed_at"}


class Listing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wanted of a list. ``sort``: field names, ``-`` in front for descending; ``filters``: field (or a name of ``TIMES``) →
    value as text; ``page`` counts from 1, None means all."""

    search: str = ""
    sort: tuple[str, ...] = ()
    filters: Mapping[str, str] = msgspec.field(default_factory=dict)
    page: int | None = None
    page_size: int = PAGE_ROWS


class Compiled(msgspec.Struct, frozen=True):
    """``where`` begins with the instance as $1; ``arguments`` are those from $2 on."""

    where: str
    arguments: tuple[Any, ...]
    order: tuple[str, ...]


def fold(text: str) -> str:
    """A text as lists search and sort it: without case and accents, ä as a, ß as ss."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def can_filter(field: Field) -> bool:
    """Whether a list can be narrowed by this field: all but lists of structs, which have no text of their own."""
    return field.type is not FieldType.LIST or not _is_struct(field.item)


def can_sort(field: Field) -> bool:
    return field.type is not FieldType.LIST


def compile_listing(record: RecordType, listing: Listing) -> Compiled:
    """Raises DomainError ``invalid`` naming every parameter at fault."""
    faults: list[FieldError] = []
    conditions = ["t.instance = $1"]
    arguments: list[Any] = []

    def add(condition: str, value: Any) -> None:
        arguments.append(value)
        conditions.append(condition.format(f"${len(arguments) + 1}"))

    if words := _words(listing.search, faults):
        add("t.search_text like all({}::text[])", words)
    for name, text in listing.filters.items():
        _filter(record, name, text, add, faults)
    order = _order(record, listing.sort, faults)
    _check_page(listing, faults)
    if faults:
        raise invalid(*faults)
    return Compiled(" and ".join(conditions), tuple(arguments), order)


@lru_cache(maxsize=SHAPES_KEPT)
def statement(text: str) -> Statement:
    """The guard of every statement on query tables holds for compiled ones too; the same shape is made once."""
    return Statement(text, lasting=False)


def _words(search: str, faults: list[FieldError]) -> list[str]:
    """Patterns, one per word of the search; all of them must occur."""
    if len(search) > SEARCH_MAX_CHARS:
        faults.append(FieldError("search", "too_long", {"max": SEARCH_MAX_CHARS}))
        return []
    if UNPRINTABLE.search(search):
        faults.append(FieldError("search", "unprintable"))
        return []
    words = fold(search).split()
    if len(words) > SEARCH_WORDS_MAX:
        faults.append(FieldError("search", "too_many", {"max": SEARCH_WORDS_MAX}))
    return ["%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%" for word in words[:SEARCH_WORDS_MAX]]


def _filter(record: RecordType, name: str, text: str, add: Callable[[str, Any], None], faults: list[FieldError]) -> None:
    if len(text) > VALUE_MAX_CHARS:
        faults.append(FieldError(name, "too_long", {"max": VALUE_MAX_CHARS}))
        return
    try:
        if name in TIMES:
            column, sign = TIMES[name]
            add(f"t.{column} {sign} {{}}", _time(text))
            return
        field = next((field for field in record.fields if field.name == name and can_filter(field)), None)
        if field is None:
            raise _Wrong("unknown_field")
        listed = field.type is FieldType.LIST
        add(f"t.{name} @> jsonb_build_array({{}}::text)" if listed else f"t.{name} = {{}}", _VALUES[field.type](text))
    except _Wrong as wrong:
        faults.append(FieldError(name, wrong.reason, wrong.params))


def _order(record: RecordType, sort: tuple[str, ...], faults: list[FieldError]) -> tuple[str, ...]:
    """Columns with their directions; what has no value stands last, and the id decides between equals."""
    if not sort:
        return ()
    columns = {field.name: f"{field.name}_order" if ordered(field) else field.name for field in record.fields if can_sort(field)}
    columns.update(SYSTEM_ORDER)
    if len(sort) > SORT_FIELDS_MAX:
        faults.append(FieldError("sort", "too_many", {"max": SORT_FIELDS_MAX}))
        return ()
    order = []
    for name in sort:
        bare = name.removeprefix("-")
        if bare not in columns:
            faults.append(FieldError("sort", "not_known", {"value": name[:50]}))
            continue
        order.append(f"t.{columns[bare]} {'desc' if name.startswith('-') else 'asc'} nulls last")
    return (*order, "t.id asc")


def ordered(field: Field) -> bool:
    """Whether a column of its own holds how this field sorts."""
    return field.searchable and field.type is FieldType.TEXT


def _check_page(listing: Listing, faults: list[FieldError]) -> None:
    if listing.page is not None and not 1 <= listing.page <= PAGES_MAX:
        faults.append(FieldError("page", "out_of_range", {"min": 1, "max": PAGES_MAX}))
    if not 1 <= listing.page_size <= PAGE_MAX_ROWS:
        faults.append(FieldError("page_size", "out_of_range", {"min": 1, "max": PAGE_MAX_ROWS}))


class _Wrong(Exception):
    def __init__(self, reason: str, **params: str | int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.params = params


def _is_struct(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, msgspec.Struct)


def _text(text: str) -> str:
    if UNPRINTABLE.search(text):
        raise _Wrong("unprintable")
    return text


def _integer(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise _Wrong("expected_integer")
    if not -INT32_MAX <= int(text) <= INT32_MAX:
        raise _Wrong("out_of_range", min=-INT32_MAX, max=INT32_MAX)
    return int(text)


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _Wrong("expected_number") from None
    if not number.is_finite():
        raise _Wrong("expected_number")
    if not -NUMBER_MAX <= number <= NUMBER_MAX:
        raise _Wrong("out_of_range", min=str(-NUMBER_MAX), max=str(NUMBER_MAX))
    return round(number, 12)  # what is smaller than that equals no field, and 1e-999999 is never written out


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise _Wrong("expected_boolean")
    return text.lower() == "true"


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _Wrong("expected_date") from None


def _time(text: str) -> datetime:
    """A plus sign that was not escaped arrives as a space."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        if moment.tzinfo is None:
            raise _Wrong("not_a_time")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _Wrong("not_a_time") from None


def _reference(text: str) -> str:
    if not is_key(text):
        raise _Wrong("not_a_key")
    return text


_VALUES: Final[Mapping[FieldType, Callable[[str], Any]]] = {
    FieldType.TEXT: _text,
    FieldType.INTEGER: _integer,
    FieldType.DECIMAL: _decimal,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.REFERENCE: _reference,
    FieldType.LIST: _text,
}
