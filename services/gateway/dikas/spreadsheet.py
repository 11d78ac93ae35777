"""Answers as CSV for whoever asks with ``Accept: text/csv``, written so that a double click opens them as a table.

The language decides the form, as it does in spreadsheets: German heads, semicolons and decimal commas, or (``Accept-Language: en``)
English heads, commas and points. UTF-8 with a byte order mark, lines end with CR LF (RFC 4180), days are ISO 8601.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.texts.catalogue import Language, Text

CSV: Final = "text/csv"
JSON: Final = "application/json"
ACCEPT_MAX_CHARS: Final = 500
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
SEPARATOR: Final[Mapping[Language, str]] = {Language.GERMAN: ";", Language.ENGLISH: ","}

Cell = str | int | Decimal | date | None

_MEDIA: Final = re.compile(r"\s*([\w*.+-]+/[\w*.+-]+)\s*((?:;[^,;]*)*)")
_WEIGHT: Final = re.compile(r";\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)", re.IGNORECASE)
_QUOTED: Final = re.compile(r'[";,\r\n]|^\s|\s$')
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Column(msgspec.Struct, frozen=True):
    """``of``: the cell of a row."""

    head: Text
    of: Callable[[Any], Cell]


class Sheet(msgspec.Struct, frozen=True):
    """How an answer is a table. ``name``: what the file is called, without ending; ``rows``: the rows of an answer, in any language."""

    name: Callable[[Any], str]
    columns: Sequence[Column]
    rows: Callable[[Any, Language], Iterable[Any]]

    def head(self, language: Language) -> bytes:
        """What the file begins with."""
        return BYTE_ORDER_MARK + _line((column.head(language, {}) for column in self.columns), language)

    def lines(self, rows: Iterable[Any], language: Language) -> bytes:
        return b"".join(_line((column.of(row) for column in self.columns), language) for row in rows)

    def file(self, answer: Any, language: Language) -> bytes:
        return self.head(language) + self.lines(self.rows(answer, language), language)


def prefers_csv(accept: str) -> bool:
    """Whether a client would rather have CSV than JSON: it must name it. What is named first wins among equals; whoever wants neither
    gets JSON, like everybody who asks for nothing."""
    csv, json, csv_first = 0.0, 0.0, False
    for media, parameters in _MEDIA.findall(accept[:ACCEPT_MAX_CHARS]):
        weight = _WEIGHT.search(parameters)
        weighs = float(weight[1]) if weight else 1.0
        if media.lower() == CSV:
            csv, csv_first = weighs, not json
        elif media.lower() == JSON:
            json = weighs
    return csv > json or (csv == json > 0 and csv_first)


def _line(cells: Iterable[Cell], language: Language) -> bytes:
    return (SEPARATOR[language].join(written(cell, language) for cell in cells) + "\r\n").encode()


def written(cell: Cell, language: Language) -> str:
    """A cell as it stands in the file. A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return f"{cell:f}".replace(".", ",") if language is Language.GERMAN and cell.as_tuple().exponent else f"{cell:f}"
    if isinstance(cell, int | date):
        return str(cell)
    text = f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell
    if _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text
