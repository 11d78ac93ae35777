"""What a query found, as bytes: rows as JSON, or as CSV with semicolons and lines that end with CR LF (RFC 4180)."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import StringIO
from typing import Any, Final

import msgspec

from libs.domain.resources import ColumnType
from libs.records.query.compile import Cell
from libs.records.rendering import MARK, shown

_encoder: Final = msgspec.json.Encoder(decimal_format="number")

Row = Sequence[Any]
PIECE_BYTES: Final = 128 * 1024
PIECE_MAX_BYTES: Final = 256 * 1024  # of one row; half of what a message of the bus may carry


def array_pieces(cells: Sequence[Cell], rows: Iterable[Row]) -> Iterator[bytes]:
    """Rows as a JSON array of objects, in pieces that end between rows unless one row is longer than a piece."""
    as_object, encode = _objects(cells), _encoder.encode
    return pieces_of(encode(as_object(row)) for row in rows)


def pieces_of(objects: Iterable[bytes]) -> Iterator[bytes]:
    """The same of rows that are JSON already."""
    piece: list[bytes] = []
    size, before = 0, b"["
    for one in objects:
        if piece and size + len(one) > PIECE_BYTES:
            yield from cut(before + b",".join(piece))
            piece, size, before = [], 0, b","
        piece.append(one)
        size += len(one)
    yield from cut(before + b",".join(piece) + b"]")


def cut(body: bytes) -> list[bytes]:
    """What messages of the bus carry; the place of a file's content stays whole."""
    pieces, first = [], 0
    while first < len(body):
        end = first + PIECE_MAX_BYTES
        if body.count(MARK, first, end) % 2:
            end = body.rfind(MARK, first, end)
        pieces.append(body[first:end])
        first = end
    return pieces


def object_of(cells: Sequence[Cell], row: Row) -> bytes:
    return _encoder.encode(_objects(cells)(row))


def _objects(cells: Sequence[Cell]) -> Callable[[Row], dict[str, Any]]:
    names = [cell.name for cell in cells]
    special = [(ix, cell) for ix, cell in enumerate(cells) if cell.expanded or cell.column.type is ColumnType.JSON]

    def as_object(row: Row) -> dict[str, Any]:
        made = dict(zip(names, row, strict=True))
        for ix, cell in special:
            made[cell.name] = shown(cell.column, row[ix], expanded=cell.expanded)
        return made

    return as_object


def csv_lines(rows: Iterable[Iterable[str | None]]) -> bytes:
    """Lines of texts; null is an empty cell. A line of one empty cell is ``""``, or it would be none."""
    text = StringIO(newline="")
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
