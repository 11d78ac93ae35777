"""A log in memory and two projections of it: how much lies on each shelf (which counts, so a double effect shows), and its label."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from libs.domain.events import Event, Recorded, event
from libs.eventstore.codec import UnknownEvent
from libs.projections.declare import Key, Projection, Table
from libs.projections.projector import Projector
from libs.projections.rows import Rows

NOON = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
PATIENCE_S = 20.0
REMEMBERED = 3


@event("shelf.stocked")
class Stocked(Event, frozen=True, kw_only=True):
    amount: int


@event("shelf.labelled")
class Labelled(Event, frozen=True, kw_only=True):
    label: str


@event("shelf.cleared")
class Cleared(Event, frozen=True, kw_only=True):
    pass


def _shelf(recorded: Recorded) -> list[tuple[str, Key]]:
    if recorded.stream == "shelf-unnamed":
        raise ValueError("a shelf without a name")
    return [("shelves", (recorded.stream,))]


def shelves(revision: int = 1) -> Projection:
    """``poison``: an amount of 13 makes the handler raise, more than an int makes the table refuse the row. Fewer rows are remembered
    than most tests write, so that both ways to come by one are taken."""
    columns = {"key": "text", "amount": "int", "times": "int"}
    made = Projection("shelves", revision, (Table("shelves", columns, indexes=(("amount",),), remembered=REMEMBERED),))

    @made.on(Stocked, reads=_shelf)
    def stocked(rows: Rows, recorded: Recorded) -> None:
        row = rows.get("shelves", recorded.stream) or {"amount": 0, "times": 0}
        rows.put("shelves", recorded.stream, amount=row["amount"] + recorded.data.amount, times=row["times"] + revision)
        if recorded.data.amount == 13:
            raise ValueError("unlucky")

    @made.on(Cleared, reads=_shelf)
    def cleared(rows: Rows, recorded: Recorded) -> None:
        if rows.get("shelves", recorded.stream) is not None:
            rows.delete("shelves", recorded.stream)

    return made


def labels() -> Projection:
    made = Projection("labels", 1, (Table("labels", {"key": "text", "label": "text", "seen": "int"}),))

    @made.on(Labelled)
    def labelled(rows: Rows, recorded: Recorded) -> None:
        rows.put("labels", recorded.stream, label=recorded.data.label, seen=recorded.position)

    @made.on(Stocked)
    def stocked(rows: Rows, recorded: Recorded) -> None:
        rows.put("labels", recorded.stream, label=None, seen=recorded.position)

    return made


@dataclass
class MemoryLog:
    """What a projector reads of a log. ``newer``: from this position on an event is unknown to the process; ``reads``: what was read."""

    events: dict[int, list[Recorded]] = field(default_factory=dict)
    newer: int | None = None
    reads: list[tuple[int, int]] = field(default_factory=list)

    def append(self, *happened: tuple[str, Event], instance: int = 1) -> list[Recorded]:
        log = self.events.setdefault(instance, [])
        new = [
            Recorded(instance, len(log) + ix, f"shelf-{name}", 1, UUID(int=len(log) + ix), data.TYPE, data, NOON)
            for ix, (name, data) in enumerate(happened, start=1)
        ]
        log += new
        return new

    async def read(self, instance: int, after: int, limit: int) -> list[Recorded]:
        self.reads.append((instance, after))
        found = self.events.get(instance, [])[after : after + limit]
        if self.newer is not None and any(recorded.position >= self.newer for recorded in found):
            raise UnknownEvent("shelf.moved version 2")
        return found

    async def read_stream_everywhere(self, stream: str) -> list[Recorded]:
        return [recorded for events in self.events.values() for recorded in events if recorded.stream == stream]

    async def heads(self) -> dict[int, int]:
        return {instance: len(events) for instance, events in self.events.items()}


def stock(name: str, *amounts: int) -> list[tuple[str, Event]]:
    return [(name, Stocked(amount=amount)) for amount in amounts]


@dataclass(frozen=True)
class Reading:
    """The read database, and a service of one's own in it."""

    dsn: str
    service: str

    async def rows(self, table: str, instance: int = 1) -> dict[str, tuple[Any, ...]]:
        connection = await asyncpg.connect(self.dsn)
        try:
            found = await connection.fetch(f"select * from {self.service}.{table} where instance = $1", instance)
            return {row["key"]: tuple(row)[2:] for row in found}
        finally:
            await connection.close()

    async def execute(self, statement: str, *arguments: Any) -> Any:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    @asynccontextmanager
    async def projecting(self, log: Any, *projections: Projection, ready: bool = True) -> AsyncIterator[Projector]:
        projector = Projector(self.dsn, self.service, projections or (shelves(), labels()), log)
        projector.start()
        try:
            if ready:
                await until_ready(projector)
            yield projector
        finally:
            await projector.stop()


async def until_ready(projector: Projector) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await projector.ready.wait()


async def settled(projector: Projector, events: Sequence[Recorded]) -> None:
    """Offers what was just appended and waits until it is in the tables."""
    projector.offer(events)
    assert await projector.wait(events[-1].instance, events[-1].position, PATIENCE_S)
