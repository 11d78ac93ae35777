"""JSON against its declared shape. Every fault is named by its path: ``[2].discount``, ``[0].transactions[1].serials[0]``.

What fits is kept as it was written, in its order, with two exceptions: a value in another form that says the same becomes what the
shape says (a number in quotes, 0 and 1 for false and true), since clients that send forms know no types; and where the shape has a
default, that stands for what is missing or null. Names that a shape does not know are kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from libs.domain.errors import FieldError
from libs.domain.records import INT32_MAX, JSON_DEPTH_MAX, UNPRINTABLE, Field, FieldType, Shape

FAULTS_MAX: Final = 100
NUMBER_MAX_CHARS: Final = 40  # of one in quotes
NAME_SHOWN_CHARS: Final = 50
TRUE: Final = (True, 1, "1", "true")
FALSE: Final = (False, 0, "0", "false")


class Misshapen(Exception):
    """``faults``: all that is wrong, FAULTS_MAX at most."""

    def __init__(self, faults: list[FieldError]) -> None:
        super().__init__(str(faults))
        self.faults = faults


class _Wrong(Exception):
    def __init__(self, reason: str, **params: str | int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.params = params


def fitted(shape: Shape, value: Any) -> Any:
    """The value as it is kept. Raises Misshapen."""
    faults = _Faults()
    kept = _shaped(shape, value, "", faults)
    _examine_depth(value, faults)
    if faults.found:
        raise Misshapen(faults.found)
    return kept


class _Faults:
    def __init__(self) -> None:
        self.found: list[FieldError] = []

    @property
    def enough(self) -> bool:
        return len(self.found) >= FAULTS_MAX

    def add(self, fault: FieldError) -> None:
        if not self.enough:
            self.found.append(fault)


def _examine_depth(value: Any, faults: _Faults, depth: int = 0) -> None:
    if depth > JSON_DEPTH_MAX:
        faults.add(FieldError("", "too_deep", {"max": JSON_DEPTH_MAX}))
    elif isinstance(value, Mapping | list | tuple) and not faults.enough:
        for one in value.values() if isinstance(value, Mapping) else value:
            _examine_depth(one, faults, depth + 1)


def _shaped(shape: Shape, value: Any, path: str, faults: _Faults) -> Any:
    if shape.either and isinstance(value, Mapping | list | tuple):
        return value
    if shape.listed:
        return _listed(shape, value, path, faults)
    if not isinstance(value, Mapping):
        # an empty list is how some languages write an empty object
        if isinstance(value, list | tuple) and not value:
            return {}
        faults.add(FieldError(path, "expected_object"))
        return value
    return _named(shape, value, path, faults) if shape.each is not None else _object(shape, value, path, faults)


def _listed(shape: Shape, value: Any, path: str, faults: _Faults) -> Any:
    if not isinstance(value, list | tuple):
        faults.add(FieldError(path, "expected_list"))
        return value
    if len(value) > shape.max_items:
        faults.add(FieldError(path, "too_many", {"max": shape.max_items}))
        return value
    kept = []
    for number, item in enumerate(value):
        where = f"{path}[{number}]"
        if faults.enough:
            break
        if isinstance(item, Mapping):
            kept.append(_object(shape, item, where, faults))
        else:
            faults.add(FieldError(where, "expected_object"))
    return kept


def _object(shape: Shape, value: Mapping[str, Any], path: str, faults: _Faults) -> dict[str, Any]:
    kept = dict(value)
    _fill(shape.fields, kept, path, faults)
    for which, fields in shape.variants:
        if kept.get(shape.by) == which:
            _fill(fields, kept, path, faults)
    return kept


def _fill(fields: tuple[Field, ...], kept: dict[str, Any], path: str, faults: _Faults) -> None:
    for field in fields:
        said = kept.get(field.name)
        if said is None:
            if field.default is not None:
                kept[field.name] = field.default
            continue
        kept[field.name] = _part(field, said, f"{path}.{field.name}" if path else f".{field.name}", faults)


def _named(shape: Shape, value: Mapping[str, Any], path: str, faults: _Faults) -> dict[str, Any]:
    """One kind of value under any name."""
    assert shape.each is not None
    if len(value) > shape.max_items:
        faults.add(FieldError(path, "too_many", {"max": shape.max_items}))
        return dict(value)
    kept = {}
    for name, one in value.items():
        where = f"{path}.{name[:NAME_SHOWN_CHARS]}" if name.isprintable() else path
        if shape.names and not re.fullmatch(shape.names, name):
            faults.add(FieldError(where, "malformed", {"detail": shape.names}))
        kept[name] = None if one is None else _part(shape.each, one, where, faults)
    return kept


def _part(field: Field, value: Any, path: str, faults: _Faults) -> Any:
    if field.shape is not None:
        return _shaped(field.shape, value, path, faults)
    if field.type is FieldType.LIST:
        return _texts(field, value, path, faults)
    try:
        return _LEAVES[field.type](field, value)
    except _Wrong as wrong:
        faults.add(FieldError(path, wrong.reason, wrong.params))
        return value


def _texts(field: Field, value: Any, path: str, faults: _Faults) -> Any:
    if not isinstance(value, list | tuple):
        faults.add(FieldError(path, "expected_list"))
        return value
    if len(value) > field.max_items:
        faults.add(FieldError(path, "too_many", {"max": field.max_items}))
        return value
    kept = []
    for number, item in enumerate(value):
        try:
            kept.append(_text(field, item))
        except _Wrong as wrong:
            faults.add(FieldError(f"{path}[{number}]", wrong.reason, wrong.params))
    return kept


def _text(field: Field, value: Any) -> str:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _Wrong("expected_text")
    if len(value) > field.max_chars:
        raise _Wrong("too_long", max=field.max_chars)
    if UNPRINTABLE.search(value.replace("\r\n", "\n")):
        raise _Wrong("unprintable")
    return value


def _boolean(_: Field, value: Any) -> bool:
    if isinstance(value, str | int) and value in TRUE:
        return True
    if isinstance(value, str | int) and value in FALSE:
        return False
    raise _Wrong("expected_boolean")


def _number(value: Any, otherwise: str) -> int | Decimal:
    """A number, which may stand in quotes; as it was written."""
    if isinstance(value, str) and len(value) <= NUMBER_MAX_CHARS and value.isascii() and "_" not in value:
        try:
            value = Decimal(value)
        except InvalidOperation:
            raise _Wrong(otherwise) from None
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or (isinstance(value, Decimal) and not value.is_finite()):
        raise _Wrong(otherwise)
    return value


def _decimal(field: Field, value: Any) -> int | Decimal:
    number = _number(value, "expected_number")
    assert field.low is not None
    assert field.high is not None
    if not field.low <= number <= field.high:
        raise _Wrong("out_of_range", min=str(field.low), max=str(field.high))
    return number


def _whole(field: Field, value: Any) -> int:
    number = _number(value, "expected_integer")
    low, high = (field.low if field.low is not None else -INT32_MAX), (field.high if field.high is not None else INT32_MAX)
    if isinstance(number, Decimal) and low <= number <= high:  # of others the digits may be without end
        if number != number.to_integral_value():
            raise _Wrong("expected_integer")
        number = int(number)
    if field.choices and number not in field.choices:
        raise _Wrong("not_allowed", allowed=", ".join(map(str, field.choices)))
    if not low <= number <= high:
        raise _Wrong("out_of_range", min=str(low), max=str(high))
    return int(number)


_LEAVES: Final[Mapping[FieldType, Any]] = {
    FieldType.TEXT: _text,
    FieldType.BOOLEAN: _boolean,
    FieldType.INTEGER: _whole,
    FieldType.LONG: _whole,
    FieldType.DECIMAL: _decimal,
}
