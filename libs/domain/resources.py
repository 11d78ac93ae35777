"""Resources: how a dialect shows stored rows. Declared once as data, for the query compiler, the dialect and its reference."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class ColumnType(StrEnum):
    INTEGER = "integer"  # 64 bits
    NUMBER = "number"  # a decimal
    TEXT = "text"
    TIME = "time"  # seconds since 1970, whole


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """``sql``: an expression over its row, in which ``@`` stands for the row's alias; ``order``: another one that it sorts by;
    ``field``: the record's field that a write goes to (empty: it is only read); ``choices``: what an integer may be, with its name."""

    name: str
    type: ColumnType
    sql: str
    order: str = ""
    field: str = ""
    choices: Mapping[int, str] = msgspec.field(default_factory=dict)
    doc: str = ""


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of another table, reached through a column: at most one for each. ``on``: the condition, ``@`` is the other row and ``t`` this
    one; ``table`` as ``service.table``."""

    table: str
    on: str
    columns: tuple[Column, ...]


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """``table`` as ``service.table``; ``columns`` in the order in which a whole row shows them, the first is its id; ``joins`` by the name
    of the column that refers; ``search``: an expression with all the text that is searched, folded as lists fold it."""

    name: str
    table: str
    permission: str
    columns: tuple[Column, ...]
    joins: Mapping[str, Join] = msgspec.field(default_factory=dict)
    search: str = ""

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)
