"""Values of a record against its declaration. Every field at fault is named, not only the first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from libs.domain.errors import FieldError, invalid
from libs.domain.records import INT32_MAX, JSON_MAX_BYTES, UNPRINTABLE, Field, FieldType, RecordType
from libs.records.shapes import Misshapen, fitted

KEY_MAX_CHARS = 64
_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{KEY_MAX_CHARS}}}")
DEFAULT_HIGH = Decimal(10) ** 9
_plain = msgspec.json.Decoder(float_hook=Decimal)
_written = msgspec.json.Encoder(decimal_format="number")
_WRONG_TYPE: Mapping[FieldType, str] = {
    FieldType.TEXT: "expected_text",
    FieldType.INTEGER: "expected_integer",
    FieldType.LONG: "expected_integer",
    FieldType.ID: "expected_integer",
    FieldType.JSON: "expected_json",
    FieldType.DECIMAL: "expected_number",
    FieldType.BOOLEAN: "expected_boolean",
    FieldType.DATE: "expected_date",
    FieldType.REFERENCE: "expected_text",
    FieldType.LIST: "expected_list",
}


class _Wrong(Exception):
    def __init__(self, reason: str, path: str = "", **params: str | int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path
        self.params = params


def is_key(value: str) -> bool:
    """Whether this could be the key of anything: what is not, names nothing and is never looked up."""
    return _KEY.fullmatch(value) is not None


def accept(record: RecordType, given: Mapping[str, Any], *, create: bool, also: tuple[FieldError, ...] = ()) -> dict[str, Any]:
    """The given values as the record keeps them. Raises DomainError ``invalid`` naming every field at fault, those in ``also``
    (found by look-ups) too unless they are wrong in themselves."""
    known = {field.name: field for field in record.kept}
    errors = [FieldError(name, "unknown_field") for name in given if name not in known]
    accepted: dict[str, Any] = {}
    for name, field in known.items():
        if name not in given:
            if create and field.required:
                errors.append(FieldError(name, "required"))
            continue
        try:
            accepted[name] = _value(field, given[name])
        except _Wrong as wrong:
            errors.append(FieldError(name + wrong.path, wrong.reason, wrong.params))
        except Misshapen as misshapen:
            errors += [FieldError(name + fault.path, fault.reason, fault.params) for fault in misshapen.faults]
    wrong_already = {error.path for error in errors}
    errors += [error for error in also if error.path not in wrong_already]
    if errors:
        raise invalid(*errors)
    return accepted


def _value(field: Field, value: Any) -> Any:
    if value is None:
        if field.required:
            raise _Wrong("required")
        return field.default
    try:
        return _CHECKS[field.type](field, value)
    except (msgspec.ValidationError, InvalidOperation, ValueError, TypeError, RecursionError):
        raise _Wrong(_WRONG_TYPE[field.type]) from None


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong("expected_text")
    text = value.strip()
    if field.required and not text:
        raise _Wrong("required")
    if len(text) > field.max_chars:
        raise _Wrong("too_long", max=field.max_chars)
    if UNPRINTABLE.search(text) or (field.single_line and "\n" in text):
        raise _Wrong("unprintable")
    if text and field.pattern and not re.fullmatch(field.pattern, text):
        raise _Wrong("malformed", detail=field.pattern)
    if field.choices and text not in field.choices:
        raise _Wrong("not_allowed", allowed=", ".join(map(str, field.choices)))
    return text


def _integer(field: Field, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Wrong("expected_integer")
    if field.choices and value not in field.choices:
        raise _Wrong("not_allowed", allowed=", ".join(map(str, field.choices)))
    low, high = (field.low if field.low is not None else -INT32_MAX), (field.high if field.high is not None else INT32_MAX)
    if not low <= value <= high:
        raise _Wrong("out_of_range", min=str(low), max=str(high))
    return value


def _decimal(field: Field, value: Any) -> Decimal:
    if isinstance(value, bool | float):
        raise _Wrong("expected_number")
    number = Decimal(value)
    low = field.low if field.low is not None else -DEFAULT_HIGH
    high = field.high if field.high is not None else DEFAULT_HIGH
    if not number.is_finite() or not low <= number <= high:
        raise _Wrong("out_of_range", min=str(low), max=str(high))
    if number != round(number, field.places):
        raise _Wrong("too_many_places", max=field.places)
    return number


def _boolean(_: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("expected_boolean")
    return value


def _date(_: Field, value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def _reference(_: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong("expected_text")
    if not is_key(value):
        raise _Wrong("not_a_key")
    return value


def _json(field: Field, value: Any) -> str:
    """Kept as its text, so that it is given back digit by digit."""
    if isinstance(value, str):
        value = _plain.decode(value)
    if not isinstance(value, Mapping | list | tuple):
        raise _Wrong("expected_json")
    written = _written.encode(value if field.shape is None else fitted(field.shape, value))
    most = field.shape.max_bytes if field.shape is not None else JSON_MAX_BYTES
    if len(written) > most:
        raise _Wrong("too_long", max=most)
    if b"\\u0000" in written:
        raise _Wrong("unprintable")
    return written.decode()


def _list(field: Field, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _Wrong("expected_list")
    if len(value) > field.max_items:
        raise _Wrong("too_many", max=field.max_items)
    items: list[Any] = []
    for number, item in enumerate(value):
        try:
            items.append(_item(field, msgspec.convert(item, field.item), f"[{number}]"))
        except msgspec.ValidationError as error:
            raise _Wrong("invalid_item", f"[{number}]", detail=str(error)[:200]) from None
        _check_plain(field, items, f"[{number}]")
    for inner in field.item_fields:
        _require_distinct(inner, items)
    return tuple(items)


def _check_plain(field: Field, items: list[Any], where: str) -> None:
    """The last of the items, if they are single values: a key, or one of the choices, and never twice."""
    item = items[-1]
    if isinstance(item, str) and len(item) > field.max_chars:
        raise _Wrong("too_long", where, max=field.max_chars)
    if isinstance(item, str) and UNPRINTABLE.search(item):
        raise _Wrong("unprintable", where)
    if isinstance(item, int) and field.low is not None and field.high is not None and not field.low <= item <= field.high:
        raise _Wrong("out_of_range", where, min=str(field.low), max=str(field.high))
    if field.refers and not is_key(item):
        raise _Wrong("not_a_key", where)
    if field.choices and item not in field.choices:
        raise _Wrong("not_allowed", where, allowed=", ".join(map(str, field.choices)))
    if (field.refers or field.choices) and item in items[:-1]:
        raise _Wrong("repeated", where)


def _item(field: Field, item: Any, where: str) -> Any:
    """One item of a list, its fields as they are kept."""
    kept = {}
    for inner in field.item_fields:
        try:
            kept[inner.name] = _value(inner, getattr(item, inner.name))
        except _Wrong as wrong:
            raise _Wrong(wrong.reason, f"{where}.{inner.name}{wrong.path}", **wrong.params) from None
    return msgspec.structs.replace(item, **kept) if kept else item


def _require_distinct(inner: Field, items: list[Any]) -> None:
    seen: set[Any] = set()
    for number, item in enumerate(items):
        value = getattr(item, inner.name)
        if inner.unique and value in seen:
            raise _Wrong("repeated", f"[{number}].{inner.name}")
        seen.add(value)


_CHECKS: Mapping[FieldType, Any] = {
    FieldType.TEXT: _text,
    FieldType.INTEGER: _integer,
    FieldType.LONG: _integer,
    FieldType.ID: _integer,
    FieldType.JSON: _json,
    FieldType.DECIMAL: _decimal,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.REFERENCE: _reference,
    FieldType.LIST: _list,
}
