"""Rows of a resource as JSON, ready to be written: the same whether they come from a record's state or from a query table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from libs.domain.resources import Column, ColumnType, Resource

_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def shown(column: Column, value: Any, *, expanded: bool = False) -> Any:
    """A value as its cell. JSON comes as its text, from tables lists too."""
    if column.type is not ColumnType.JSON or not isinstance(value, str) or (column.as_text and not expanded):
        return value
    return msgspec.Raw(value.encode())


def encode_row(cells: Mapping[str, Any]) -> bytes:
    return _encoder.encode(cells)


def row_of(resource: Resource, values: Mapping[str, Any]) -> bytes:
    """A record's own columns; ``values`` by name, those of the columns ``ID`` and ``lastmodified`` too."""
    return encode_row({column.name: shown(column, values[column.name]) for column in resource.columns})
