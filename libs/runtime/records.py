"""What a service offers for its records: the engine's commands, query tables, and the queries ``<name>.get``, ``.list``, ``.count`` and
``.changes``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from libs.domain.decider import CommandType
from libs.domain.errors import not_found
from libs.domain.records import RecordView
from libs.projections.declare import Projection
from libs.projections.listed import Compiled
from libs.records.engine import Records
from libs.records.inheritance import Above, Inheritance
from libs.records.lists import Listing, compile_listing
from libs.records.tables import Gone, RecordQueries, projection
from libs.runtime.service import Ask, Query

CLOCKS_DIFFER: Final = timedelta(seconds=60)  # between who names a time and the log that stamped it


class ByKey(msgspec.Struct, frozen=True):
    key: str


class All(msgspec.Struct, frozen=True):
    """Everything there is, oldest first."""


class Count(msgspec.Struct, frozen=True):
    """``total``: the rows that fit, None if nobody counted; ``position``: everything in the log up to there is in what is read next."""

    total: int
    position: int


class Changes(msgspec.Struct, frozen=True):
    """What changed behind the position ``since``, up to ``until``."""

    since: int
    until: int


class Moment(msgspec.Struct, frozen=True):
    at: datetime


class Change(msgspec.Struct, frozen=True):
    """A record as it is now, or that it is gone; never both."""

    view: RecordView | None = None
    gone: Gone | None = None


class RecordParts(msgspec.Struct, frozen=True):
    commands: tuple[CommandType, ...]
    projections: tuple[Projection, ...]
    queries: tuple[Query, ...]


def record_parts(*all_records: Records) -> RecordParts:
    return RecordParts(
        tuple(command for records in all_records for command in records.commands()),
        tuple(projection(records) for records in all_records),
        tuple(query for records in all_records for query in RecordReads(records).queries()),
    )


class RecordReads:
    """The queries of one type of record."""

    def __init__(self, records: Records) -> None:
        self._type = records.type
        self._statements = RecordQueries(records)
        self._inheritance = Inheritance(records) if records.type.above else None

    def queries(self) -> tuple[Query, ...]:
        name, permission = self._type.name, self._type.permission
        return (
            Query(f"{name}.get", ByKey, self.get, permission),
            Query(f"{name}.list", Listing, self.listed, permission, stream=True),
            Query(f"{name}.count", Listing, self.count, permission),
            Query(f"{name}.changes", Changes, self.changes, permission, stream=True),
            Query(f"{name}.position", Moment, self.position, permission),
        )

    async def get(self, ask: Ask) -> RecordView:
        row = await ask.tables.row(self._statements.named, ask.instance, ask.body.key, self._statements.of_view)
        if row is None:
            raise not_found(f"{self._type.name}_not_found", id=ask.body.key)
        return (await self._shown(ask, [self._statements.view(row)], {}))[0]

    async def count(self, ask: Ask) -> Count:
        """Raises ``invalid`` for a wrong parameter, ``too_large`` for more rows than may be had at once."""
        compiled = compile_listing(self._type, ask.body)
        position = await self._position(ask)
        return Count(await self._statements.lister.count(ask.tables, ask.instance, compiled, ask.body), position)

    async def listed(self, ask: Ask) -> AsyncIterator[list[RecordView]]:
        compiled = compile_listing(self._type, ask.body)
        known: dict[str, Above] = {}
        async for rows in self._statements.lister.pieces(ask.tables, ask.instance, compiled, ask.body):
            yield await self._shown(ask, [self._statements.view(row) for row in rows], known)

    async def changes(self, ask: Ask) -> AsyncIterator[list[Change]]:
        """Those that are gone, those that changed, and those for which something holds since that changed above them."""
        since, until = ask.body.since, ask.body.until
        known: dict[str, Above] = {}
        async for rows in ask.tables.stream(self._statements.gone, ask.instance, until, by="position", first=since):
            yield [Change(gone=Gone(row["key"], row["deleted_at"])) for row in rows]
        async for rows in ask.tables.stream(self._statements.changed, ask.instance, until, by="position", first=since):
            yield [Change(view) for view in await self._shown(ask, [self._statements.view(row) for row in rows], known)]
        if self._inheritance is not None:
            async for views in self._touched(ask, self._inheritance, since):
                yield [Change(view) for view in await self._shown(ask, views, known)]

    async def _touched(self, ask: Ask, inheritance: Inheritance, since: int) -> AsyncIterator[list[RecordView]]:
        keys = await inheritance.touched_since(ask.tables, ask.instance, since)
        if keys == []:
            return
        under, arguments = ("", ()) if keys is None else (f" and t.{inheritance.link} = any($3::text[])", (keys,))
        compiled = Compiled(f"t.instance = $1 and t.position <= $2{under}", (since, *arguments))
        async for rows in self._statements.lister.by_key(ask.tables, ask.instance, compiled):
            yield [self._statements.view(row) for row in rows]

    async def position(self, ask: Ask) -> int:
        """The position behind which everything lies that changed at this moment or later, by anybody's clock."""
        row = await ask.tables.fetch_one(self._statements.position_at, ask.instance, ask.body.at - CLOCKS_DIFFER)
        return (row and row["position"]) or 0

    async def _position(self, ask: Ask) -> int:
        tables: Sequence[str] = self._inheritance.depends_on if self._inheritance else (self._type.table,)
        return await ask.tables.position(self._type.service, tables, ask.instance)

    async def _shown(self, ask: Ask, views: list[RecordView], known: dict[str, Above]) -> list[RecordView]:
        if self._inheritance is None or not views:
            return views
        return await self._inheritance.show(ask.tables, ask.instance, views, known)
