"""Rows that seldom change, kept as long as they are what their table holds.

A projection writes rows and moves its checkpoint in one transaction, so rows that were read at a position are those of the table for as
long as the checkpoint stands there. Whoever asks has the checkpoint read first, and waits for no more than that if it has not moved:
what was done before the question, by whatever process, is in the answer. Questions that come while one is under way share the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from libs.domain.decider import RowsKept
from libs.domain.errors import unavailable
from libs.eventstore.log import LOST
from libs.projections.declare import BUILD_SQL

if TYPE_CHECKING:
    from libs.projections.tables import Tables

KEPT_MAX_KEYS = 50_000

Positions = Mapping[str, tuple[str, int]]
"""projection → the build of it that readers get, and how far that is"""


class _Shelf:
    __slots__ = ("at", "made")

    def __init__(self, at: tuple[str, int] | None = None) -> None:
        self.at = at
        self.made: dict[str, Any] = {}


class Kept:
    """What a process keeps of query tables: at most KEPT_MAX_KEYS keys, else it begins anew."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._checkpoints: dict[str, _Checkpoints] = {}
        self._shelves: dict[tuple[RowsKept, int], _Shelf] = {}
        self._count = 0

    def ask(self, what: RowsKept, instance: int, keys: Sequence[str]) -> Awaitable[Mapping[str, Any]]:
        """By key, what was made of its rows; a key without rows is absent. On its way when this returns."""
        checkpoints = self._checkpoints.get(what.service)
        if checkpoints is None:
            checkpoints = self._checkpoints[what.service] = _Checkpoints(self._tables, what.service)
        return _Answer(self, what, instance, keys, checkpoints.ask(instance) if keys else None)

    async def _found(self, what: RowsKept, instance: int, keys: Sequence[str], positions: Positions) -> Mapping[str, Any]:
        shelf = self._shelf(what, instance, positions)
        missing = [key for key in keys if key not in shelf.made]
        if missing:
            rows = await self._tables.rows(what.table, instance, missing, what.columns, what.by)
            shelf.made.update({key: what.made(found) for key, found in rows.items()})
            self._count += len(rows) if shelf.at is not None else 0
            if self._count > KEPT_MAX_KEYS:
                self._shelves.clear()
                self._count = 0
        made = shelf.made
        return {key: made[key] for key in keys if key in made}

    def _shelf(self, what: RowsKept, instance: int, positions: Positions) -> _Shelf:
        """What is kept, if it still holds; else an empty one. It is not kept as long as this process may look into another build."""
        projection, build = self._tables.read_from(what.service, what.name) or ("", "")
        at = positions.get(projection)
        if at is None:
            return _Shelf()
        if at[0] != build:
            self._tables.forget_revisions()
            return _Shelf()
        shelf = self._shelves.get((what, instance))
        if shelf is None or shelf.at != at:
            self._count -= len(shelf.made) if shelf is not None else 0
            shelf = self._shelves[what, instance] = _Shelf(at)
        return shelf


class _Answer:
    """Awaited once. A question whose answer nobody awaits after all does no harm."""

    __slots__ = ("_asked", "_instance", "_kept", "_keys", "_what")

    def __init__(self, kept: Kept, what: RowsKept, instance: int, keys: Sequence[str], asked: asyncio.Future[Positions] | None) -> None:
        self._kept = kept
        self._what = what
        self._instance = instance
        self._keys = keys
        self._asked = asked

    def __await__(self) -> Generator[Any, None, Mapping[str, Any]]:
        if self._asked is None:
            return {}
        positions = yield from self._asked.__await__()
        return (yield from self._kept._found(self._what, self._instance, self._keys, positions).__await__())


class _Checkpoints:
    """Where a service's projections are, asked for all instances at once."""

    def __init__(self, tables: Tables, service: str) -> None:
        self._tables = tables
        self._service = service
        self._text = (
            f"select c.instance, r.projection, {BUILD_SQL} as build, c.position from theke.revisions r "
            f"join {service}.checkpoints c on c.projection = r.projection || '_' || {BUILD_SQL} "
            "where c.instance = any($1::int[]) and r.service = $2"
        )
        self._waiting: dict[int, list[asyncio.Future[Positions]]] = {}
        self._task: asyncio.Task[None] | None = None

    def ask(self, instance: int) -> asyncio.Future[Positions]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Positions] = loop.create_future()
        self._waiting.setdefault(instance, []).append(future)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work())
        return future

    async def _work(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, {}
            try:
                found = await self._read(list(asked))
            except Exception as error:
                for future in (future for futures in asked.values() for future in futures if not future.done()):
                    future.set_exception(error)
                    future.exception()  # who asked several things at once may never look at this one
                continue
            for instance, futures in asked.items():
                for future in futures:
                    if not future.done():
                        future.set_result(found[instance])

    async def _read(self, instances: list[int]) -> dict[int, dict[str, tuple[str, int]]]:
        found: dict[int, dict[str, tuple[str, int]]] = {instance: {} for instance in instances}
        try:
            async with self._tables.lent() as connection:
                for instance, projection, build, position in await connection.fetch(self._text, instances, self._service):
                    found[instance][projection] = build, position
        except asyncpg.UndefinedTableError:
            raise unavailable("tables_not_ready") from None
        except LOST as error:
            raise unavailable("read_database_unreachable") from error
        return found
