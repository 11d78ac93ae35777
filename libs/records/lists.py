"""Lists of records: what a caller asks for, compiled to SQL. Names come from the declaration, values are only ever parameters.

A caller's words arrive as text, keyed by the fields' names; everything wrong with them is refused here, parameter by parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec

from libs.domain.errors import FieldError, invalid
from libs.domain.fields import INT64_MAX
from libs.domain.paging import Paged, check_page
from libs.domain.records import Field, FieldType, RecordType
from libs.projections.listed import Compiled, order_of
from libs.records.validate import is_key
from libs.records.wanted import Wrong, decimal_of, integer_of, search_patterns, text_of

VALUE_MAX_CHARS: Final = 200

# what every record has besides its fields
TIMES: Final[Mapping[str, tuple[str, str]]] = {
    "created_from": ("created_at", ">="),
    "created_to": ("created_at", "<="),
    "changed_from": ("changed_at", ">="),
    "changed_to": ("changed_at", "<="),
}
SYSTEM_ORDER: Final[Mapping[str, str]] = {"id": "id", "created_date": "created_at", "changed_date": "changed_at"}


class Listing(Paged, frozen=True, kw_only=True, omit_defaults=True):
    """What is wanted of a list of records. ``sort``: field names; ``filters``: field (or a name of ``TIMES``) → value as text."""

    search: str = ""
    filters: Mapping[str, str] = msgspec.field(default_factory=dict)


def can_filter(field: Field) -> bool:
    """Whether a list can be narrowed by this field: all of the till's but JSON and lists of structs, which have no text of their own."""
    return not field.erp and field.type is not FieldType.JSON and (field.type is not FieldType.LIST or not _is_struct(field.item))


def can_sort(field: Field) -> bool:
    return not field.erp and field.type not in (FieldType.LIST, FieldType.JSON)


def compile_listing(record: RecordType, listing: Listing) -> Compiled:
    """Raises DomainError ``invalid`` naming every parameter at fault."""
    faults: list[FieldError] = []
    conditions = ["t.instance = $1"]
    arguments: list[Any] = []

    def add(condition: str, value: Any) -> None:
        arguments.append(value)
        conditions.append(condition.format(f"${len(arguments) + 1}"))

    for word in search_patterns(listing.search, faults):
        add("t.search_text like {}", word)
    for name, text in listing.filters.items():
        _filter(record, name, text, add, faults)
    order = order_of(listing.sort, _columns(record), "t.id", faults)
    check_page(listing, faults)
    if faults:
        raise invalid(*faults)
    return Compiled(" and ".join(conditions), tuple(arguments), order)


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
            raise Wrong("unknown_field")
        listed = field.type is FieldType.LIST
        add(f"t.{name} @> jsonb_build_array({{}}::text)" if listed else f"t.{name} = {{}}", VALUES[field.type](text))
    except Wrong as wrong:
        faults.append(FieldError(name, wrong.reason, wrong.params))


def _columns(record: RecordType) -> dict[str, str]:
    """What its lists can be sorted by."""
    columns = {field.name: f"{field.name}_order" if ordered(field) else field.name for field in record.fields if can_sort(field)}
    return {name: f"t.{column}" for name, column in {**columns, **SYSTEM_ORDER}.items()}


def ordered(field: Field) -> bool:
    """Whether a column of its own holds how this field sorts."""
    return field.searchable and field.type is FieldType.TEXT


def _is_struct(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, msgspec.Struct)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Wrong("expected_boolean")
    return text.lower() == "true"


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Wrong("expected_date") from None


def _time(text: str) -> datetime:
    """A plus sign that was not escaped arrives as a space."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        if moment.tzinfo is None:
            raise Wrong("not_a_time")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Wrong("not_a_time") from None


def _reference(text: str) -> str:
    if not is_key(text):
        raise Wrong("not_a_key")
    return text


VALUES: Final[Mapping[FieldType, Callable[[str], Any]]] = {
    FieldType.TEXT: text_of,
    FieldType.INTEGER: integer_of,
    FieldType.DECIMAL: decimal_of,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.REFERENCE: _reference,
    FieldType.LIST: text_of,
    FieldType.LONG: lambda text: integer_of(text, INT64_MAX),
    FieldType.ID: lambda text: integer_of(text, INT64_MAX),
}
