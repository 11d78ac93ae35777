"""Rows of a resource as JSON, ready to be written: the same whether they come from a record's state or from a query table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from libs.domain.resources import Column, ColumnType, Resource

_encoder: Final = msgspec.json.Encoder(decimal_format="number")


# around the place of a file's content; in JSON this byte stands nowhere else
MARK: Final = b"\0"


class Content(msgspec.Struct, frozen=True):
    """The content of a file: the id under which it is kept, and its bytes."""

    sha256: str
    size: int


def shown(column: Column, value: Any, *, expanded: bool = False) -> Any:
    """A value as its cell. JSON comes as its text, from tables lists too; of an expanded file the place of its content."""
    if expanded and column.file:
        return value if value is None else {"content": msgspec.Raw(b'"' + MARK + value.encode() + MARK + b'"')}
    if column.type is not ColumnType.JSON or not isinstance(value, str) or (column.as_text and not expanded):
        return value
    return msgspec.Raw(value.encode())


def content_parts(rows: bytes) -> list[bytes | Content]:
    """JSON of rows, split where contents of files are to be put, in Base64."""
    parts: list[bytes | Content] = []
    for ix, part in enumerate(rows.split(MARK)):
        if ix % 2:
            sha256, _, size = part.decode().partition(":")
            parts.append(Content(sha256, int(size)))
        else:
            parts.append(part)
    return parts


def encode_row(cells: Mapping[str, Any]) -> bytes:
    return _encoder.encode(cells)


def row_of(resource: Resource, values: Mapping[str, Any]) -> bytes:
    """A record's own columns; ``values`` by name, those of the columns ``ID`` and ``lastmodified`` too."""
    return encode_row({column.name: shown(column, values[column.name]) for column in resource.columns})
