"""What a service offers for a resource: the queries ``<resource>.list``, ``.export``, ``.count`` and ``.get``. Answers are ready to be
written: a list is the bytes of a JSON array, an export those of a CSV file, in pieces that end between rows
unless one is very long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.contracts.resources import RESOURCES
from libs.domain.access import Access
from libs.domain.decider import Command
from libs.domain.errors import DomainError, Kind, not_found, unavailable
from libs.domain.fields import INT64_MAX
from libs.domain.resources import Resource
from libs.projections.tables import Tables
from libs.records.access import access_of, require_read
from libs.records.numbered import Written
from libs.records.query.answers import array_pieces, csv_lines, cut, object_of
from libs.records.query.compile import Cell, Compiled, compile_query, compile_row
from libs.runtime.dispatcher import After
from libs.runtime.service import Ask, Query

EXPANDED_MAX_BYTES: Final = 100 * 1024 * 1024  # of files, in one answer
_queries: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


class Asked(msgspec.Struct, frozen=True):
    """A query as its caller wrote it, a JSON object: numbers in it may be of any size."""

    query: bytes


class ById(msgspec.Struct, frozen=True):
    """``extdata``, ``tags``: show those too; ``expand``: columns to be shown as what they hold."""

    id: int
    extdata: bool = False
    tags: bool = False
    expand: tuple[str, ...] = ()


class Found(msgspec.Struct, frozen=True):
    """One row: ``version`` is its record's, and ``key`` if it has one; ``row`` is JSON."""

    key: str
    id: int
    version: int
    row: bytes


class ResourceReads:
    """The queries of one resource. Everybody reads what their rights in the ERP let them see."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    def queries(self) -> tuple[Query, ...]:
        name = self._resource.name
        return (
            Query(f"{name}.list", Asked, self.listed, stream=True),
            Query(f"{name}.export", Asked, self.exported, stream=True),
            Query(f"{name}.count", Asked, self.count),
            Query(f"{name}.get", ById, self.get),
        )

    async def listed(self, ask: Ask) -> AsyncIterator[list[bytes]]:
        """Raises ``forbidden``, ``invalid`` for what the query language does not know, ``query_too_costly``."""
        access = await self._access(ask)
        compiled = compile_query(self._resource, _queries.decode(ask.body.query), RESOURCES, access)
        rows = await searched(ask, compiled)
        _refuse_too_much(compiled.cells, rows)
        for piece in array_pieces(compiled.cells, rows):
            yield [piece]

    async def exported(self, ask: Ask) -> AsyncIterator[list[bytes]]:
        """Raises as ``listed`` does; ``forbidden`` for all but administrators."""
        access = await self._access(ask)
        if not access.admin:
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": "Admin"})
        compiled = compile_query(self._resource, {**_queries.decode(ask.body.query), "export": True}, RESOURCES, access)
        head = csv_lines([compiled.names])
        found = ask.tables.export(compiled.statement, ask.instance, *compiled.arguments, regexes=_regexes(compiled))
        async with aclosing(found) as pieces:
            async for rows in pieces:
                yield cut(head + csv_lines(rows))
                head = b""
        if head:
            yield [head]

    async def count(self, ask: Ask) -> int:
        """How many rows there are; of a query that does not say so too."""
        access = await self._access(ask)
        asked: Mapping[str, Any] = {**_queries.decode(ask.body.query), "count": True}
        rows = await searched(ask, compile_query(self._resource, asked, RESOURCES, access))
        return int(rows[0][0])

    async def get(self, ask: Ask) -> Found:
        access = await self._access(ask)
        body: ById = ask.body
        asked = {"expand": list(body.expand), "extdata": body.extdata, "tags": body.tags}
        compiled = compile_row(self._resource, body.id, asked, RESOURCES, access)
        known = 0 < body.id <= INT64_MAX
        row = await ask.tables.fetch_one(compiled.statement, ask.instance, *compiled.arguments) if known else None
        if row is None:
            raise not_found("row_not_found", id=str(body.id)[:20])
        _refuse_too_much(compiled.cells, [row], 3)
        return Found(row["key"], row["id"], row["version"], object_of(compiled.cells, row[3:]))

    async def _access(self, ask: Ask) -> Access:
        access = await access_of(ask.tables, ask.principal)
        require_read(access, self._resource)
        return access


def shown_after(resource: Resource, tables: Tables) -> After:
    """Fills in the row of an answer that a command's own streams do not make. Raises ``gone`` if it is not there any more,
    ``unavailable`` if it cannot be shown yet."""

    async def after(command: Command[Any], answer: Written, _: float) -> Written:
        compiled = compile_row(resource, answer.id, {}, RESOURCES)
        row = await tables.fetch_one(compiled.statement, command.instance, *compiled.arguments)
        if row is not None and row["version"] >= answer.version:
            return Written(answer.id, row["version"], object_of(compiled.cells, row[3:]))
        if row is None and await tables.rows(f"{resource.table}_gone", command.instance, [str(answer.id)], ("id",), "id"):
            raise DomainError(Kind.GONE, "row_gone", {"id": str(answer.id)})
        raise unavailable("tables_not_ready")

    return after


async def searched(ask: Ask, compiled: Compiled) -> list[Any]:
    """The rows of a query that its caller made up."""
    return await ask.tables.search(
        compiled.statement, ask.instance, *compiled.arguments, regexes=_regexes(compiled), costly=compiled.costly
    )  # fmt: skip


def _refuse_too_much(cells: tuple[Cell, ...], rows: Sequence[Any], first: int = 0) -> None:
    """Contents of files that one answer would hold, together."""
    places = [first + ix for ix, cell in enumerate(cells) if cell.expanded and cell.column.file]
    size = sum(int(row[place].partition(":")[2]) for place in places for row in rows if row[place] is not None)
    if size > EXPANDED_MAX_BYTES:
        raise DomainError(Kind.TOO_LARGE, "expanded_too_large", {"max": EXPANDED_MAX_BYTES})


def _regexes(compiled: Compiled) -> list[tuple[str, str]]:
    return [(pattern.path, pattern.text) for pattern in compiled.patterns if pattern.text]
