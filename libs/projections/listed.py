"""Lists out of query tables, whatever they show: counted before the first row is read, then a page, or everything in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from libs.domain.errors import DomainError, FieldError, Kind
from libs.domain.paging import ALL_MAX_ROWS, SORT_FIELDS_MAX, Paged
from libs.projections.tables import PAGE_ROWS, Statement, Tables

SHAPES_KEPT: Final = 256  # compiled statements
BEYOND_ALL: Final = 2**62  # behind every key


class Compiled(msgspec.Struct, frozen=True):
    """``where`` begins with the instance as $1; ``arguments`` are those from $2 on. Without ``order``, by the list's key."""

    where: str
    arguments: tuple[Any, ...] = ()
    order: tuple[str, ...] = ()
    newest_first: bool = False


@lru_cache(maxsize=SHAPES_KEPT)
def statement(text: str) -> Statement:
    """The guard of every statement on query tables holds for compiled ones too; the same shape is made once."""
    return Statement(text, lasting=False)


def order_of(sort: tuple[str, ...], columns: Mapping[str, str], key: str, faults: list[FieldError]) -> tuple[str, ...]:
    """Columns with their directions: what has no value stands last, and the ``key`` decides between equals."""
    if not sort:
        return ()
    if len(sort) > SORT_FIELDS_MAX:
        faults.append(FieldError("sort", "too_many", {"max": SORT_FIELDS_MAX}))
        return ()
    order = []
    for name in sort:
        column = columns.get(name.removeprefix("-"))
        if column is None:
            faults.append(FieldError("sort", "not_known", {"value": name[:50]}))
            continue
        order.append(f"{column} {'desc' if name.startswith('-') else 'asc'} nulls last")
    return (*order, f"{key} asc")


class Lister:
    """``columns`` of ``tables``, of which one is called ``t`` and has the ``key``: a whole number, unique, never below 1, that only grows.
    It is among the columns. ``many``: there may be so many rows that whoever reads through them waits for a turn."""

    def __init__(self, columns: str, tables: str, key: str, *, many: bool = False) -> None:
        self.key = f"t.{key}"
        self._by = key
        self._columns = columns
        self._tables = tables
        self._many = many
        self._by_keys = Statement(self._text(Compiled(f"t.instance = $1 and {self.key} = any($2::bigint[])")))

    def _text(self, compiled: Compiled, tail: str = "", columns: str = "") -> str:
        return f"select {columns or self._columns} from {self._tables} where {compiled.where}{tail}"

    async def count(self, tables: Tables, instance: int, compiled: Compiled, wanted: Paged) -> int:
        """The rows that fit. Raises ``too_large`` if they are more than may be had at once and no page is asked for."""
        bound = "" if wanted.page is not None else f" limit {ALL_MAX_ROWS + 1}"
        text = f"select count(*) from ({self._text(compiled, bound, '1')}) n"
        rows = await self._walk(tables, instance, compiled, text)
        total: int = rows[0]["count"] if rows else 0
        if wanted.page is None and total > ALL_MAX_ROWS:
            raise DomainError(Kind.TOO_LARGE, "list_too_long", {"max": ALL_MAX_ROWS})
        return total

    def pieces(self, tables: Tables, instance: int, compiled: Compiled, wanted: Paged) -> AsyncIterator[list[Any]]:
        """A page, or all: by key in pieces, or in the order asked for, which is fixed before the first piece is read."""
        if wanted.page is not None:
            return self._page(tables, instance, compiled, wanted.page_size, (wanted.page - 1) * wanted.page_size)
        return (self._sorted if compiled.order else self.by_key)(tables, instance, compiled)

    async def _page(self, tables: Tables, instance: int, compiled: Compiled, size: int, skip: int) -> AsyncIterator[list[Any]]:
        order = ", ".join(compiled.order) or f"{self.key} {'desc' if compiled.newest_first else 'asc'}"
        text = self._text(compiled, f" order by {order} limit {size:d} offset {skip:d}")
        yield await self._walk(tables, instance, compiled, text)

    async def _sorted(self, tables: Tables, instance: int, compiled: Compiled) -> AsyncIterator[list[Any]]:
        text = self._text(compiled, f" order by {', '.join(compiled.order)} limit {ALL_MAX_ROWS:d}", self.key)
        keys = [row[self._by] for row in await self._walk(tables, instance, compiled, text)]
        for first in range(0, len(keys), PAGE_ROWS):
            piece = keys[first : first + PAGE_ROWS]
            found = {row[self._by]: row for row in await tables.fetch(self._by_keys, instance, piece)}
            yield [found[key] for key in piece if key in found]  # some may have gone meanwhile

    async def by_key(self, tables: Tables, instance: int, compiled: Compiled) -> AsyncIterator[list[Any]]:
        behind = len(compiled.arguments) + 2
        sign, direction, first = ("<", "desc", BEYOND_ALL) if compiled.newest_first else (">", "asc", 0)
        tail = f" and {self.key} {sign} ${behind} order by {self.key} {direction} limit ${behind + 1}"
        text = statement(self._text(compiled, tail))
        async for rows in tables.stream(text, instance, *compiled.arguments, by=self._by, first=first):
            yield rows

    async def _walk(self, tables: Tables, instance: int, compiled: Compiled, text: str) -> list[Any]:
        read = tables.summarise if self._many else tables.fetch
        return await read(statement(text), instance, *compiled.arguments)
