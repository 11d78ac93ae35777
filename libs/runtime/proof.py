"""That nothing was lost, shown for one log: the log by itself, its copy in JetStream, and the query tables that were made of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Protocol

import asyncpg
import msgspec
import nats
import nats.js.api as jetstream
from nats.js.errors import NotFoundError

from libs.bus.subjects import log_stream
from libs.eventstore import audit
from libs.eventstore.audit import Anchor, Check, Claimed, Finding, Findings, Following, Remembered, Row, Runs, Scratch, Seen, walk
from libs.eventstore.codec import UnknownEvent, recorded
from libs.eventstore.statements import sql
from libs.projections import skips
from libs.projections.audit import Shown, Standing, serving, standings
from libs.projections.declare import Build, Projection
from libs.projections.skips import Known
from libs.runtime.publishing import render

FETCH_WITHIN_S: Final = 10.0
COPY_WITHIN_S: Final = 10.0  # the relay is given so long to reach the head of the log
LOOK_EVERY_S: Final = 0.1
INACTIVE_S: Final = 60.0  # JetStream forgets a reader that went away


class Declared(Protocol):
    """What of a service matters here; ``libs.runtime.service.Service`` has it."""

    @property
    def name(self) -> str: ...

    @property
    def projections(self) -> Sequence[Projection]: ...


class Proved(msgspec.Struct, frozen=True):
    """What was found of one log. ``digest``: that of its last commit, in hex: kept elsewhere, it is an anchor for a later proof.
    ``copied``: first and last message compared with their rows, None if the copy was not looked at. ``tables``: projection → rows compared.
    ``left_out``: what was not looked at, and why."""

    service: str
    instance: int
    head: int
    digest: str
    copied: tuple[int, int] | None
    tables: dict[str, int]
    left_out: list[str]
    findings: list[Finding]


class Places(msgspec.Struct, frozen=True):
    """Where everything is. ``nats_url`` empty: copies are not looked at."""

    log_dsn: str
    read_dsn: str
    nats_url: str


class Copy:
    """Message i of the stream is row i of the log, subject and body byte for byte."""

    def __init__(self, bus: Any, service: str, instance: int, upto: int) -> None:
        self.findings = Findings("copy")
        self.first = self.last = 0
        self._bus = bus
        self._service = service
        self._stream = log_stream(service, instance)
        self._upto = upto
        self._subscription: Any = None
        self._done = False

    async def open(self, log: asyncpg.Connection, instance: int) -> None:
        """Waits until the copy has what the log had. ``log`` sees the log as it is now."""
        context = self._bus.jetstream()
        try:
            async with asyncio.timeout(COPY_WITHIN_S):
                while (state := await self._state(context)) is None or state.last_seq < self._upto:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            state = await self._state(context)
            last = state.last_seq if state is not None else 0
            self.findings.add(f"{self._stream} ends at {last}, the log at {self._upto}: the relay is behind or halted", last + 1)
        if state is None or state.last_seq == 0:
            self._done = True
            return
        if (head := await audit.head(log, instance)) < state.last_seq:
            self.findings.add(f"{self._stream} ends at {state.last_seq}, the log at {head}: the log lost its tail", head + 1)
        self.first, self.last = state.first_seq, min(state.last_seq, self._upto)
        config = jetstream.ConsumerConfig(
            ack_policy=jetstream.AckPolicy.NONE, deliver_policy=jetstream.DeliverPolicy.ALL, inactive_threshold=INACTIVE_S
        )
        self._subscription = await context.pull_subscribe("", stream=self._stream, config=config)

    async def _state(self, context: Any) -> Any | None:
        try:
            return (await context.stream_info(self._stream)).state
        except NotFoundError:
            return None

    async def page(self, rows: Sequence[Row]) -> None:
        wanted = [row for row in rows if self.first <= row["position"] <= self.last]
        while wanted and not self._done:
            messages = await self._subscription.fetch(len(wanted), timeout=FETCH_WITHIN_S)
            for row, message in zip(wanted, messages, strict=False):
                self._compare(row, message)
            wanted = wanted[len(messages) :]

    def _compare(self, row: Row, message: Any) -> None:
        if self._done:
            return
        sequence, position = message.metadata.sequence.stream, row["position"]
        if sequence != position:
            self.findings.add(f"{self._stream}: message {sequence} stands where {position} should", position)
        elif (subject_and_body := self._rendered(row)) != (message.subject, message.data):
            how = _difference(message.data, subject_and_body[1])
            self.findings.add(f"{self._stream}: message {sequence} is not what row {position} says: {how}", position)
        self._done = bool(self.findings)

    def _rendered(self, row: Row) -> tuple[str, bytes]:
        try:
            rendered = render(self._service, row)
        except (msgspec.DecodeError, ValueError):  # altered beyond reading
            return "", b""
        return rendered.subject, rendered.payload

    async def end(self) -> None:
        if self._subscription is not None:
            await self._subscription.unsubscribe()


async def prove(
    places: Places,
    service: Declared,
    instance: int,
    *,
    tables: bool = True,
    anchors: Sequence[Anchor] = (),
    seen: Seen = lambda _: None,
) -> Proved:
    """Looks at everything there is of one log, while it may go on. ``tables``: its query tables too."""
    left_out: list[str] = []
    async with AsyncExitStack() as open_:
        # tables first: they are made of what the log had before, so the log's snapshot has all of it
        read = await open_.enter_async_context(audit.snapshot(places.read_dsn, service.name)) if tables and service.projections else None
        log = await open_.enter_async_context(audit.snapshot(places.log_dsn, service.name))
        scratch = open_.enter_context(Scratch())
        head = await audit.head(log, instance)
        following = Following(
            log, instance, [anchor for anchor in anchors if (anchor.service, anchor.instance) == (service.name, instance)]
        )
        copy = await _copy(open_, places, service.name, instance, head)
        if copy is None:
            left_out.append("copy: no NATS")
        passed = await _passed(log, instance)
        shown = await _shown(read, service, instance, head, passed, scratch, left_out) if read is not None else []
        if not tables:
            left_out.append("tables: not in the sample")
        checks: list[Check] = [following, Runs(log, instance), Claimed(log, instance, scratch), Remembered(log, instance)]
        checks += [*([copy] if copy is not None else []), *shown]
        await walk(log, instance, checks, seen)
    return Proved(
        service=service.name,
        instance=instance,
        head=head,
        digest=following.chain.digest.hex() if following.chain.broken is None else "",
        copied=(copy.first, copy.last) if copy is not None else None,
        tables={check.projection.name: check.rows for check in shown},
        left_out=left_out,
        findings=[finding for check in checks for finding in check.findings],
    )


async def _copy(open_: AsyncExitStack, places: Places, service: str, instance: int, head: int) -> Copy | None:
    if not places.nats_url:
        return None
    bus = await open_.enter_async_context(_bus(places.nats_url))
    copy = Copy(bus, service, instance, head)
    async with audit.snapshot(places.log_dsn, service) as now:
        await copy.open(now, instance)
    return copy


@asynccontextmanager
async def _bus(url: str) -> AsyncIterator[Any]:
    bus = await nats.connect(url.split(","), allow_reconnect=False)
    try:
        yield bus
    finally:
        await bus.close()


async def _shown(
    read: asyncpg.Connection, service: Declared, instance: int, head: int, passed: Known, scratch: sqlite3.Connection, left_out: list[str]
) -> list[Shown]:
    """One check per projection; what readers get of another version's making is left out."""
    try:
        active, standing = await serving(read, service.name), await standings(read, service.name, instance)
    except asyncpg.UndefinedTableError:
        active, standing = {}, {}
    found = []
    for projection in service.projections:
        revision, generation = active.get(projection.name, (None, 0))
        if revision != projection.revision:
            served = f"revision {revision}" if revision is not None else "nothing"
            left_out.append(f"{projection.name}: {served} is served, this version makes revision {projection.revision}")
        else:
            build = Build(projection, generation)
            stands = standing.get(build.id, Standing())
            found.append(Shown(read, service.name, instance, build, stands, scratch, passed))
            if stands.position < head and stands.held is None:
                left_out.append(f"{projection.name}: rows {stands.position + 1} to {head}, which are not in its tables yet")
    return found


async def _passed(log: asyncpg.Connection, instance: int) -> Known:
    """Events that an operator let projections pass over."""
    rows = await log.fetch(sql("read_stream"), instance, skips.STREAM, 2**62)
    try:
        return skips.known([recorded(row) for row in rows]).get(instance, frozenset())
    except (msgspec.DecodeError, UnknownEvent):  # altered beyond reading; the chain names it
        return frozenset()


async def instances_of(places: Places, service: str) -> list[int]:
    """Every instance that has a log here."""
    async with audit.snapshot(places.log_dsn, service) as log:
        try:
            rows = await log.fetch(sql("list_heads"))
        except asyncpg.UndefinedTableError:
            return []
    return sorted(row["instance"] for row in rows)


def _difference(found: bytes, wanted: bytes) -> str:
    at = next((ix for ix, (one, other) in enumerate(zip(found, wanted, strict=False)) if one != other), min(len(found), len(wanted)))
    begin = max(0, at - 20)
    return f"…{found[begin : at + 30].decode(errors='replace')}… instead of …{wanted[begin : at + 30].decode(errors='replace')}…"
