"""A caller's JSON value as a column's parameter. Numbers may come as text and text as numbers: clients that send forms know no types."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from libs.domain.resources import Column, ColumnType
from libs.records.wanted import Wrong, decimal_of, integer_of, text_of

INT64_MAX: Final = 2**63 - 1
VALUE_MAX_CHARS: Final = 1_000
POSTGRES: Final = {
    ColumnType.INTEGER: "bigint",
    ColumnType.NUMBER: "numeric",
    ColumnType.TEXT: "text",
    ColumnType.TIME: "bigint",
    ColumnType.JSON: "text",
}


def value_of(column: Column, value: Any) -> Any:
    """Raises Wrong. ``value`` is not null."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise Wrong(_EXPECTED[column.type])
    if isinstance(value, str) and len(value) > VALUE_MAX_CHARS:
        raise Wrong("too_long", max=VALUE_MAX_CHARS)
    if column.type is ColumnType.TEXT:
        return text_of(str(value))
    if column.type is ColumnType.NUMBER:
        return decimal_of(_number(value))
    if column.type is ColumnType.TIME:  # half seconds come from clocks that count milliseconds
        return integer_of(str(int(decimal_of(_number(value)).to_integral_value(ROUND_DOWN))), INT64_MAX)
    return whole_of(value)


def _number(value: str | float | Decimal) -> str | int | Decimal:
    return str(value) if isinstance(value, float) else value


def whole_of(value: Any) -> int:
    """Raises Wrong."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise Wrong("expected_integer")
    if isinstance(value, float | Decimal):
        number = decimal_of(_number(value))
        if number != number.to_integral_value():
            raise Wrong("expected_integer")
        value = int(number)
    return integer_of(str(value) if isinstance(value, int) and abs(value) <= INT64_MAX else _digits(value), INT64_MAX)


def _digits(value: str | int) -> str:
    """An integer too long to be written out becomes one that is out of range."""
    return str(2 * INT64_MAX) if isinstance(value, int) else value


_EXPECTED: Final = {
    ColumnType.INTEGER: "expected_integer",
    ColumnType.NUMBER: "expected_number",
    ColumnType.TEXT: "expected_text",
    ColumnType.TIME: "expected_integer",
    ColumnType.JSON: "not_comparable",
}
