"""What clients write into a row: checked as far as its shape goes, and turned into what the record keeps.

Numbers may come as text and text as numbers, since clients that send forms know no types; flags may come as true and false.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

import msgspec

from libs.domain.errors import DomainError, FieldError, invalid
from libs.domain.fields import INT64_MAX
from libs.domain.records import Field, FieldType, RecordType
from libs.domain.resources import LAST_MODIFIED
from libs.records.numbered import ADDED_TAGS, REMOVED_TAGS
from libs.records.query.conditions import shown
from libs.records.query.values import whole_of
from libs.records.wanted import Wrong, decimal_of
from services.gateway.bodies import plain

IGNORED: Final = (LAST_MODIFIED, "ID")  # clients send back what they read; the ID is looked at elsewhere
_written: Final = msgspec.json.Encoder(decimal_format="number")
TAGS: Final = ("tags", ADDED_TAGS, REMOVED_TAGS)


def values_of(record: RecordType, body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a body names. Raises ``invalid`` naming every one at fault."""
    fields = {field.name: field for field in record.fields}
    values: dict[str, Any] = {}
    faults: list[FieldError] = []
    for name, value in body.items():
        if name in IGNORED:
            continue
        if name in TAGS and record.tags:
            values[name] = value
            continue
        if name == "extdata" and record.extdata:
            values[name] = _as_json(value)
            continue
        field = fields.get(name)
        if field is None or field.hidden:
            faults.append(FieldError(shown(name), "unknown_field"))
            continue
        try:
            values[name] = None if value is None else _value(field, value)
        except Wrong as wrong:
            faults.append(FieldError(name, wrong.reason, wrong.params))
    if faults:
        raise invalid(*faults)
    return values


def _value(field: Field, value: Any) -> Any:
    """Raises Wrong. An empty text is none where there is no text."""
    if field.type is FieldType.TEXT:
        return _text(field, value)
    if field.type is FieldType.JSON:
        return None if value == "" else _json(value)
    if value == "":
        return None
    if field.type is FieldType.LIST:
        return _list(field, value)
    if isinstance(value, bool):
        if field.choices != (0, 1):
            raise Wrong("expected_integer")
        return int(value)
    if field.type is FieldType.DECIMAL:
        return _decimal(value)
    return whole_of(_seconds(value) if field.moment else value)


def _as_json(value: Any) -> Any:
    """Objects and lists as their text, in which numbers stay numbers on the way."""
    return _written.encode(value).decode() if isinstance(value, Mapping | list | tuple) else value


def _json(value: Any) -> str:
    """As a text, whether it was written as one or not: numbers in it are of any size, and stay as they are on the bus."""
    parsed = _parsed(value)
    if not isinstance(parsed, Mapping | list):
        raise Wrong("expected_json")
    return _written.encode(parsed).decode()


def _parsed(value: Any) -> Any:
    """JSON in a text is as strict as bodies are."""
    if not isinstance(value, str):
        return value
    try:
        return plain(value.encode())
    except (DomainError, UnicodeEncodeError):
        raise Wrong("expected_json") from None


def _list(field: Field, value: Any) -> Any:
    """A list of texts or of whole numbers, which may itself stand in a text."""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list):
        raise Wrong("expected_list")
    return [whole_of(item) for item in value] if field.item is int else value


def _text(field: Field, value: Any) -> str | None:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise Wrong("expected_text")
    text = value.replace("\r\n", "\n").strip()
    return None if not text and field.choices else text


def _seconds(value: Any) -> Any:
    """Half seconds come from clocks that count milliseconds."""
    half = isinstance(value, float | Decimal) or (isinstance(value, str) and "." in value)
    return int(_decimal(value).to_integral_value(ROUND_DOWN)) if half else value


def _decimal(value: Any) -> Decimal:
    if not isinstance(value, str | int | float | Decimal):
        raise Wrong("expected_number")
    return decimal_of(str(value) if isinstance(value, float) else value).normalize()


def id_of(value: Any) -> int:
    """An ID that a client chose. Raises ``invalid``."""
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal) or not 0 < (id_ := whole_of(value)) <= INT64_MAX:
            raise Wrong("out_of_range", min=1, max=INT64_MAX)
    except Wrong as wrong:
        raise invalid(FieldError("ID", wrong.reason, wrong.params)) from None
    return id_
