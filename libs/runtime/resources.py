"""What a service offers for a resource: the queries ``<resource>.list``, ``.count`` and ``.get``. Rows are JSON, ready to be written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.domain.errors import not_found
from libs.domain.records import INT32_MAX
from libs.domain.resources import Resource
from libs.projections.tables import PAGE_ROWS, Statement
from libs.records.query.compile import Compiled, compile_query
from libs.runtime.service import Ask, Query

_encoder: Final = msgspec.json.Encoder(decimal_format="number")
_queries: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


class Asked(msgspec.Struct, frozen=True):
    """A query as its caller wrote it, a JSON object: numbers in it may be of any size."""

    query: bytes


class ById(msgspec.Struct, frozen=True):
    id: int


class Found(msgspec.Struct, frozen=True):
    """One row: ``key`` and ``version`` are its record's, ``row`` is JSON."""

    key: str
    id: int
    version: int
    row: bytes


class ResourceReads:
    """The queries of one resource."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        whole = compile_query(resource, {})
        self._names = whole.names
        shown = ", ".join(f"{column.sql.replace('@', 't')} as c{ix}" for ix, column in enumerate(resource.columns))
        self._by_id = Statement(f"select t.key, t.id, t.version, {shown} from {{{resource.table}}} t where t.instance = $1 and t.id = $2")

    def queries(self) -> tuple[Query, ...]:
        name, permission = self._resource.name, self._resource.permission
        return (
            Query(f"{name}.list", Asked, self.listed, permission, stream=True),
            Query(f"{name}.count", Asked, self.count, permission),
            Query(f"{name}.get", ById, self.get, permission),
        )

    async def listed(self, ask: Ask) -> AsyncIterator[list[bytes]]:
        """Raises ``invalid`` for what the query language does not know, ``query_too_costly``."""
        compiled = compile_query(self._resource, _queries.decode(ask.body.query))
        rows = await _searched(ask, compiled)
        for first in range(0, len(rows), PAGE_ROWS):
            yield [_row(compiled.names, row) for row in rows[first : first + PAGE_ROWS]]

    async def count(self, ask: Ask) -> int:
        """How many rows there are; of a query that does not say so too."""
        asked: Mapping[str, Any] = {**_queries.decode(ask.body.query), "count": True}
        rows = await _searched(ask, compile_query(self._resource, asked))
        return int(rows[0][0])

    async def get(self, ask: Ask) -> Found:
        id_ = ask.body.id
        row = await ask.tables.fetch_one(self._by_id, ask.instance, id_) if 0 < id_ <= INT32_MAX else None
        if row is None:
            raise not_found("row_not_found", id=str(id_)[:20])
        return Found(row["key"], row["id"], row["version"], _row(self._names, row, 3))


async def _searched(ask: Ask, compiled: Compiled) -> list[Any]:
    return await ask.tables.search(
        compiled.statement,
        ask.instance,
        *compiled.arguments,
        regexes=[(pattern.path, pattern.text) for pattern in compiled.patterns if pattern.text],
        costly=compiled.costly,
    )


def _row(names: tuple[str, ...], row: Any, first: int = 0) -> bytes:
    return _encoder.encode({name: row[first + ix] for ix, name in enumerate(names)})
