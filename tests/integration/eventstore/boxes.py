"""A small trade to test the log with: boxes that are filled, emptied and named, and slips numbered per register.

Boxes are at rest when they are empty and have no name. ``Work`` is a process's way to a log: its own connections, batcher and cache.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec

from libs.domain.decider import Aggregate, Claim, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import conflict, unprocessable
from libs.domain.events import Event, Recorded, event
from libs.domain.principal import system
from libs.eventstore.batcher import Batcher, Done
from libs.eventstore.log import Log
from libs.eventstore.states import StateCache

NOON = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
PATIENCE_S = 30.0


@event("box.filled")
class Filled(Event, frozen=True, kw_only=True):
    amount: int
    note: str = ""


@event("box.emptied")
class Emptied(Event, frozen=True, kw_only=True):
    pass


@event("box.named")
class Named(Event, frozen=True, kw_only=True):
    name: str


@event("slip.issued")
class SlipIssued(Event, frozen=True, kw_only=True):
    register: str

    def series(self) -> str:
        return f"slip.{self.register}"


class Box(msgspec.Struct, frozen=True):
    amount: int = 0
    fills: int = 0
    name: str = ""


class Slips(msgspec.Struct, frozen=True):
    numbers: tuple[int, ...] = ()


def evolve_box(box: Box, recorded: Recorded) -> Box:
    match recorded.data:
        case Filled(amount=amount):
            return Box(box.amount + amount, box.fills + 1, box.name)
        case Named(name=name):
            return Box(box.amount, box.fills, name)
    return Box(name=box.name)


def evolve_slips(slips: Slips, recorded: Recorded) -> Slips:
    assert recorded.number is not None
    return Slips((*slips.numbers, recorded.number))


BOX = Aggregate("box", Box(), evolve_box, lambda box: box == Box())
SLIP = Aggregate("slip", Slips(), evolve_slips)


class Fill(msgspec.Struct, frozen=True):
    """Refused if the box would then hold more than ``most``."""

    box: str
    amount: int = 1
    most: int | None = None
    note: str = ""


class Empty(msgspec.Struct, frozen=True):
    box: str


class Move(msgspec.Struct, frozen=True):
    """All of one box into another."""

    source: str
    target: str


class FillUnless(msgspec.Struct, frozen=True):
    """Fills a box unless another one holds something: the other is only read."""

    box: str
    guard: str


class Rename(msgspec.Struct, frozen=True):
    """Names are claimed; an empty name gives the old one up. ``labels`` are claimed too, for ever."""

    box: str
    name: str
    labels: tuple[str, ...] = ()


class Issue(msgspec.Struct, frozen=True):
    register: str
    count: int = 1
    refuse: bool = False


class Ship(msgspec.Struct, frozen=True):
    """Empties a box against a slip, as a bill is for a table; refused if there is nothing in it."""

    box: str


def _box(states: States, name: str) -> Box:
    box: Box = states[BOX.stream(name)]
    return box


def decide_fill(states: States, command: Command[Fill], _: Any) -> Decision:
    fill = command.body
    if fill.most is not None and _box(states, fill.box).amount + fill.amount > fill.most:
        raise conflict("box_full")
    return Decision({BOX.stream(fill.box): [Filled(amount=fill.amount, note=fill.note)]})


def decide_empty(states: States, command: Command[Empty], _: Any) -> Decision:
    if _box(states, command.body.box).amount == 0:
        return Decision({})
    return Decision({BOX.stream(command.body.box): [Emptied()]})


def decide_move(states: States, command: Command[Move], _: Any) -> Decision:
    amount = _box(states, command.body.source).amount
    if amount == 0:
        raise conflict("box_empty")
    return Decision({BOX.stream(command.body.source): [Emptied()], BOX.stream(command.body.target): [Filled(amount=amount)]})


def decide_fill_unless(states: States, command: Command[FillUnless], _: Any) -> Decision:
    if _box(states, command.body.guard).amount:
        raise conflict("guarded")
    return Decision({BOX.stream(command.body.box): [Filled(amount=1)]})


def decide_rename(states: States, command: Command[Rename], _: Any) -> Decision:
    before, after = _box(states, command.body.box).name, command.body.name
    return Decision(
        {BOX.stream(command.body.box): [Named(name=after)]},
        take=(*([Claim("name", after)] if after else []), *(Claim("label", label) for label in command.body.labels)),
        give_up=(Claim("name", before),) if before else (),
    )


def decide_issue(_: States, command: Command[Issue], __: Any) -> Decision:
    if command.body.refuse:
        raise unprocessable("refused")
    return Decision({SLIP.stream(command.id.hex): [SlipIssued(register=command.body.register)] * command.body.count})


def decide_ship(states: States, command: Command[Ship], _: Any) -> Decision:
    if _box(states, command.body.box).amount == 0:
        raise conflict("box_empty")
    return Decision({BOX.stream(command.body.box): [Emptied()], SLIP.stream(command.id.hex): [SlipIssued(register="till")]})


def reply_box(states: States, command: Command[Any], _: Sequence[Recorded]) -> Box:
    return _box(states, command.body.box)


def reply_move(states: States, command: Command[Move], _: Sequence[Recorded]) -> tuple[int, int]:
    return _box(states, command.body.source).amount, _box(states, command.body.target).amount


def reply_issue(states: States, command: Command[Issue], _: Sequence[Recorded]) -> tuple[int, ...]:
    slips: Slips = states[SLIP.stream(command.id.hex)]
    return slips.numbers


def one_box(command: Command[Any]) -> tuple[StreamRef, ...]:
    return (StreamRef(BOX, command.body.box),)


TYPES: dict[type[Any], CommandType] = {
    Fill: CommandType("box.fill", Fill, one_box, decide_fill, reply_box),
    Empty: CommandType("box.empty", Empty, one_box, decide_empty, reply_box),
    Move: CommandType("box.move", Move, lambda c: (StreamRef(BOX, c.body.source), StreamRef(BOX, c.body.target)), decide_move, reply_move),
    FillUnless: CommandType(
        "box.fill_unless", FillUnless, lambda c: (*one_box(c), StreamRef(BOX, c.body.guard, reads=True)), decide_fill_unless, reply_box
    ),
    Ship: CommandType("box.ship", Ship, lambda c: (*one_box(c), StreamRef(SLIP, c.id.hex, new=True)), decide_ship, lambda *_: None),
    Rename: CommandType("box.rename", Rename, one_box, decide_rename, reply_box),
    Issue: CommandType("slip.issue", Issue, lambda c: (StreamRef(SLIP, c.id.hex, new=True),), decide_issue, reply_issue),
}


def fingerprint(body: Any) -> bytes:
    return sha256(type(body).__name__.encode() + msgspec.msgpack.encode(body, order="deterministic")).digest()


@dataclass(frozen=True)
class Place:
    """Where a log is: a database and a schema in it."""

    dsn: str
    schema: str

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.dsn, server_settings={"search_path": self.schema})


@dataclass
class Work:
    log: Log
    batcher: Batcher

    async def do(
        self, body: Any, *, instance: int = 1, id: UUID | None = None, timeout: float = PATIENCE_S, began: float | None = None
    ) -> Done:
        since = time.monotonic() if began is None else began
        command = Command(id or uuid4(), NOON, system(instance, "boxes"), body, began=since)
        return await self.batcher.submit(TYPES[type(body)], command, None, fingerprint(body), timeout=timeout)

    async def answer(self, body: Any, *, instance: int = 1, id: UUID | None = None) -> Any:
        id = id or uuid4()
        done = await self.do(body, instance=instance, id=id)
        return TYPES[type(body)].reply(done.states, Command(id, NOON, system(instance, "boxes"), body), done.recorded)


@asynccontextmanager
async def working(place: Place, *, start: bool = True, cache: StateCache | None = None, log: type[Log] = Log) -> AsyncIterator[Work]:
    """A process's log and batcher; with ``start=False`` commands gather until ``work.batcher.start()``."""
    opened = log(place.dsn, place.schema)
    await opened.open()
    batcher = Batcher(opened, cache)
    if start:
        batcher.start()
    try:
        yield Work(opened, batcher)
    finally:
        await batcher.stop()
        await opened.close()


class Appends:
    """What goes into each append of a log, as it happens: the number of commands, their instances and the bytes of their events."""

    def __init__(self, log: Log) -> None:
        self.instances: list[list[int]] = []
        self.bytes: list[int] = []
        self.began = asyncio.Event()
        self._append = log.append
        log.append = self._spy  # type: ignore[method-assign]

    async def _spy(self, arrays: Sequence[Sequence[Any]]) -> Any:
        self.instances.append(list(arrays[0]))
        self.bytes.append(sum(map(len, arrays[15])))
        self.began.set()
        return await self._append(arrays)

    @property
    def sizes(self) -> list[int]:
        return [len(instances) for instances in self.instances]


async def everything(log: Log, instance: int = 1) -> list[Recorded]:
    """The whole log of an instance."""
    events: list[Recorded] = []
    while found := await log.read(instance, len(events), 1_000):
        events += found
    return events


async def assert_sound(log: Log, instance: int = 1) -> list[Recorded]:
    """Positions 1…n, versions 1…k per stream, numbers 1…m per series, times that never run back."""
    events = await everything(log, instance)
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert len({event.id for event in events}) == len(events)
    assert all(earlier.at <= later.at for earlier, later in pairwise(events))
    versions: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for recorded in events:
        versions[recorded.stream] = versions.get(recorded.stream, 0) + 1
        assert recorded.version == versions[recorded.stream], recorded
        series = recorded.data.series()
        if series is not None:
            numbers[series] = numbers.get(series, 0) + 1
            assert recorded.number == numbers[series], recorded
    return events


@asynccontextmanager
async def holding_the_lock(place: Place, instance: int = 1) -> AsyncIterator[asyncpg.Connection]:
    """The append lock of an instance, held by a transaction of somebody else."""
    connection = await place.connect()
    try:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(hashtext(current_schema()), $1::int)", instance)
            yield connection
    finally:
        await connection.close()
