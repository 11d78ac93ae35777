"""The relay: keeps the JetStream stream of every log an exact copy of it. Message i of the stream is row i of the log.

It remembers nothing. The stream itself says how far it is: read its last sequence, publish the rows after it in order, each with the
sequence it expects to follow. A message that does not find its place is refused, and with it all that come after, so a message can only
ever land where it belongs, whoever sends it: two relays at once disturb each other, but not the copy. Only the last message of a window
asks for an acknowledgement; refused or unanswered, the relay looks at the stream again.

What it cannot put right it reports and leaves alone: a stream that is longer than its log (``ahead``: the log lost its tail or was restored
from an older dump), a stream that ends in another event than the log has there (``diverged``), a log that misses rows (``gap``). In the
first two cases the log takes no more events (``Guard``) until an operator decided that it goes on as it is: then the stream is replaced by
one whose first message has the number of the first row that is not in the old one, so that message i is row i again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec
import structlog

from libs.bus import limits, subjects
from libs.bus.connection import Connection
from libs.bus.inbox import Inbox
from libs.bus.jetstream import WRONG_LAST_SEQUENCE, JetStream, decode_ack
from libs.bus.streams import End, KeptStreams, NewLife, OwnStreams, Streams
from libs.domain.errors import DomainError, Kind

log = structlog.get_logger("bus.relay")


EXPECTED = b"NATS/1.0\r\nNats-Expected-Last-Sequence: %d\r\n\r\n"


class Rendered(msgspec.Struct, frozen=True, gc=False):
    """A row of the log as it is published. ``message_id`` is the event's id and stands in ``payload``, which must be the same bytes
    whoever renders it."""

    position: int
    subject: str
    message_id: UUID
    payload: bytes


Row = TypeVar("Row")


class LogSource(Protocol[Row]):
    """The logs of one service."""

    async def heads(self) -> Mapping[int, int]:
        """The last position of every instance's log (0 for an empty one)."""
        ...

    async def read(self, instance: int, after: int, limit: int) -> Sequence[Row]:
        """At most ``limit`` rows behind ``after``, in order."""
        ...

    def render(self, rows: Sequence[Row]) -> Sequence[Rendered]:
        """Each row as it is published. Takes the processor for as long as it takes."""
        ...


class Life(Protocol):
    """What an operator decided of a log that contradicts its copy: the copy begins anew behind ``behind``."""

    @property
    def id(self) -> UUID: ...

    @property
    def behind(self) -> int: ...

    @property
    def lost(self) -> int: ...


class Guard(Protocol):
    """Keeps a log from growing while it contradicts its copy."""

    async def stand_still(self, instance: int, why: str) -> None: ...

    async def go_on(self, instance: int) -> None: ...

    async def life_to_begin(self, instance: int) -> Life | None: ...

    async def is_purged(self, instance: int) -> bool: ...


class State(StrEnum):
    STARTING = "starting"  # the stream has not been looked at yet
    COPYING = "copying"
    FAILING = "failing"  # cannot reach the log or JetStream; tries again
    AHEAD = "ahead"
    DIVERGED = "diverged"
    GAP = "gap"


HALTED = frozenset({State.AHEAD, State.DIVERGED, State.GAP})
CONTRADICTING = frozenset({State.AHEAD, State.DIVERGED})


class InstanceStatus(msgspec.Struct, frozen=True):
    """``position``: the stream's last sequence as far as known; ``lag``: events of the log that are not in it."""

    position: int
    lag: int
    state: State


class RelayCounts(msgspec.Struct):
    """``conflicts``: windows refused since another relay was there first; ``resyncs``: windows after which the stream had to be looked at
    again; ``regressions``: times a stream was found shorter than it had been."""

    published: int = 0
    windows: int = 0
    conflicts: int = 0
    resyncs: int = 0
    regressions: int = 0


class _Gone(Exception):
    """An operator removed the instance."""


class _Halt(Exception):
    """Publishing must stop for this instance."""

    def __init__(self, state: State, **found: int | str) -> None:
        super().__init__(state)
        self.state = state
        self.found = found


class _Copy:
    """What this relay knows of one instance."""

    __slots__ = ("again", "head", "instance", "known", "position", "seen", "state", "stream", "task")

    def __init__(self, instance: int, stream: str) -> None:
        self.instance = instance
        self.stream = stream
        self.position = 0
        self.head = 0
        self.known = False  # position was read from the stream
        self.state = State.STARTING
        self.task: asyncio.Task[None] | None = None
        self.again = False
        self.seen: deque[tuple[int, float]] = deque(maxlen=limits.RELAY_HEADS_SEEN_MAX)  # heads not copied yet, and when they were there

    def saw(self, head: int, now: float) -> None:
        """What is full keeps its oldest, and with it how late the copy is."""
        while self.seen and self.seen[0][0] <= self.position:
            self.seen.popleft()
        if head > self.position and len(self.seen) < limits.RELAY_HEADS_SEEN_MAX and (not self.seen or head > self.seen[-1][0]):
            self.seen.append((head, now))

    def late(self, now: float) -> float:
        """How long the oldest event that is not copied has been waiting, in seconds, as the sweeps saw it."""
        return next((now - since for head, since in self.seen if head > self.position), 0.0)

    def status(self) -> InstanceStatus:
        return InstanceStatus(self.position, max(0, self.head - self.position), self.state)


class Relay:
    """Copies the logs of ``service`` as long as ``run`` runs. Any number of them may. ``kept``: the keeper declares streams, because this
    user of the bus may not."""

    def __init__(
        self,
        connection: Connection,
        service: str,
        source: LogSource[Any],
        *,
        guard: Guard | None = None,
        replicas: int = 1,
        kept: bool = False,
    ) -> None:
        self._connection = connection
        self._guard = guard
        self._service = subjects.token(service)
        self._source = source
        self._inbox = Inbox(connection)
        self._jetstream = JetStream(connection, self._inbox)
        self._streams: Streams = KeptStreams(connection) if kept else OwnStreams(self._jetstream, replicas)
        self._copies: dict[int, _Copy] = {}
        self._poked: set[int] = set()
        self._wake = asyncio.Event()
        self._urgent: dict[int, _Copy] = {}  # waiting for their turn, in order
        self._later: dict[int, _Copy] = {}
        self._working = 0
        self._sweep_every_s = limits.RELAY_SWEEP_EVERY_S
        self.counts = RelayCounts()

    def poke(self, instance: int) -> None:
        """Something was appended to this instance's log."""
        self._poked.add(instance)
        self._wake.set()

    def status(self) -> Mapping[int, InstanceStatus]:
        return {instance: copy.status() for instance, copy in self._copies.items()}

    def late_s(self) -> float:
        """Of the copy that is furthest behind in time, how many seconds."""
        now = time.monotonic()
        return max((copy.late(now) for copy in self._copies.values()), default=0.0)

    async def run(self) -> None:
        """Works until cancelled."""
        loop = asyncio.get_running_loop()
        await self._inbox.open()
        await self._streams.open()
        self._connection.when_lost(self._forget_positions)
        sweep_at = loop.time()
        try:
            while True:
                self._wake.clear()
                poked, self._poked = self._poked, set()
                for instance in poked:
                    self._start(self._copy_of(instance), urgent=True)
                if loop.time() >= sweep_at:
                    await self._sweep()
                    sweep_at = loop.time() + self._sweep_every_s
                await self._rest(sweep_at - loop.time())
        finally:
            self._connection.no_longer_when_lost(self._forget_positions)
            await self._stop_copies()
            await self._streams.close()
            await self._inbox.close()

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _stop_copies(self) -> None:
        self._urgent.clear()
        self._later.clear()
        tasks = [copy.task for copy in self._copies.values() if copy.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _copy_of(self, instance: int) -> _Copy:
        copy = self._copies.get(instance)
        if copy is None:
            copy = self._copies[instance] = _Copy(instance, subjects.log_stream(self._service, instance))
        return copy

    def _forget_positions(self) -> None:
        """The connection was lost: the server that answers next may hold less, or nothing."""
        for copy in self._copies.values():
            copy.known = False
        self._wake.set()

    async def _sweep(self) -> None:
        """Looks at all heads: for logs nobody poked about, and for streams that are longer than their log."""
        before = {instance: copy.position for instance, copy in self._copies.items() if copy.known and copy.task is None}
        try:
            async with asyncio.timeout(limits.RELAY_SOURCE_WITHIN_S):
                heads = await self._source.heads()
        except Exception as problem:
            log.error("relay_heads_failed", service=self._service, error=str(problem) or repr(problem))
            return
        for instance in heads.keys() | before.keys():
            copy = self._copy_of(instance)
            copy.head = heads.get(instance, 0)
            copy.saw(copy.head, time.monotonic())
            if instance in before and copy.head < before[instance]:
                copy.known = False
            if not copy.known or copy.head > copy.position or copy.state in HALTED:
                self._start(copy, urgent=instance in before)

    def _start(self, copy: _Copy, *, urgent: bool) -> None:
        """``urgent``: there is something to publish. That goes before streams which only have to be looked at, as all have when the bus
        was gone, however many instances there are."""
        if copy.task is not None:
            copy.again = True
            return
        if urgent:
            self._later.pop(copy.instance, None)
            self._urgent.setdefault(copy.instance, copy)
        elif copy.instance not in self._urgent:
            self._later.setdefault(copy.instance, copy)
        self._give_turns()

    def _give_turns(self) -> None:
        for waiting, room in ((self._urgent, limits.RELAY_INSTANCES_AT_ONCE), (self._later, limits.RELAY_LOOKS_AT_ONCE)):
            while waiting and self._working < room:
                copy = waiting.pop(next(iter(waiting)))
                self._working += 1
                copy.task = asyncio.create_task(self._work(copy), name=f"relay-{copy.stream}")

    async def _work(self, copy: _Copy) -> None:
        try:
            copy.again = True
            while copy.again:
                copy.again = False
                await self._catch_up(copy)
        except _Gone:
            self._copies.pop(copy.instance, None)
        except _Halt as halt:
            self._enter(copy, halt.state, **halt.found)
            copy.known = False
        except Exception as problem:
            copy.known = False
            self._enter(copy, State.FAILING, error=str(problem) or repr(problem))
        finally:
            copy.task = None
            self._working -= 1
            self._give_turns()

    def _enter(self, copy: _Copy, state: State, **found: int | str) -> None:
        """Changes of state are logged, not their duration."""
        if copy.state is state:
            return
        copy.state = state
        if state is State.COPYING:
            log.info("relay_copying", stream=copy.stream, position=copy.position)
        else:
            log.error(f"relay_{state}", stream=copy.stream, position=copy.position, head=copy.head, **found)

    async def _catch_up(self, copy: _Copy) -> None:
        """Publishes until the stream has what the log had. Raises _Halt or what the log or JetStream raised."""
        pause = limits.RELAY_RETRY_PAUSE_MIN_S
        while True:
            if not copy.known:
                await self._survey(copy)
            before = copy.position
            if await self._publish_rows(copy):
                return
            self.counts.resyncs += 1
            pause = limits.RELAY_RETRY_PAUSE_MIN_S if copy.position > before else pause * 2
            await asyncio.sleep(random.uniform(0, min(pause, limits.RELAY_RETRY_PAUSE_MAX_S)))  # noqa: S311
            await self._look_again(copy)

    async def _publish_rows(self, copy: _Copy) -> bool:
        """Window after window: while some are under way, the next is rendered and the one behind it read. False if one did not go through;
        then none behind it did, unless somebody else had sent what was missing."""
        try:
            async with asyncio.TaskGroup() as under_way:
                went = await self._windows(copy, under_way)
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        if went:
            self._enter(copy, State.COPYING)
        return went

    async def _windows(self, copy: _Copy, under_way: asyncio.TaskGroup) -> bool:
        after = copy.position
        sending: deque[asyncio.Task[bool]] = deque()
        reading = under_way.create_task(self._read(copy, after, limits.RELAY_WINDOW_ROWS))
        while rows := await reading:
            first, after, more = after + 1, after + len(rows), len(rows) == limits.RELAY_WINDOW_ROWS
            if more:
                reading = under_way.create_task(self._read(copy, after, limits.RELAY_WINDOW_ROWS))
            rendered = await self._rendered(rows)
            self._check_order(copy, first, rendered)
            for window in _cut(rendered):
                if len(sending) == limits.RELAY_WINDOWS_UNDER_WAY:
                    if not await sending.popleft():
                        reading.cancel()
                        return False
                    self._enter(copy, State.COPYING)
                sending.append(under_way.create_task(self._publish(copy, window)))
            if not more:
                break
        return all([await window for window in sending])

    async def _rendered(self, rows: Sequence[Any]) -> Sequence[Rendered]:
        """A few at a time: what was sent and asked before has to leave this process, and others are waiting in it too."""
        rendered: list[Rendered] = []
        for begins in range(0, len(rows), limits.RELAY_RENDERED_AT_ONCE):
            if begins:
                await asyncio.sleep(0)
            rendered += self._source.render(rows[begins : begins + limits.RELAY_RENDERED_AT_ONCE])
        return rendered

    async def _read(self, copy: _Copy, after: int, limit: int) -> Sequence[Any]:
        async with asyncio.timeout(limits.RELAY_SOURCE_WITHIN_S):
            return await self._source.read(copy.instance, after, limit)

    def _check_order(self, copy: _Copy, first: int, rows: Sequence[Rendered]) -> None:
        for expected, row in enumerate(rows, first):
            if row.position != expected:
                raise _Halt(State.GAP, expected=expected, found=row.position)
        copy.head = max(copy.head, rows[-1].position)

    async def _survey(self, copy: _Copy) -> None:
        """Declares the stream and compares its end with the log. While the two contradict each other the log takes no events."""
        if self._guard is not None:
            if await self._guard.is_purged(copy.instance):
                raise _Gone
            if (life := await self._guard.life_to_begin(copy.instance)) is not None:
                await self._streams.begun(self._service, copy.instance, NewLife(life.id, life.behind, life.lost))
        found = await self._streams.declared(self._service, copy.instance)
        if found.last < copy.position:
            self.counts.regressions += 1
        copy.position = found.last
        try:
            await self._compare(copy, found)
        except _Halt as halt:
            if self._guard is not None and halt.state in CONTRADICTING:
                await self._guard.stand_still(copy.instance, halt.state)
            raise
        if self._guard is not None:
            await self._guard.go_on(copy.instance)

    async def _compare(self, copy: _Copy, found: End) -> None:
        """The stream has the same length as the log or is shorter, and has the same event where it ends. Raises _Halt."""
        last = copy.position
        if last > 0:
            end = self._source.render(await self._read(copy, last - 1, 1))
            if not end:
                await self._check_length(copy)
            elif end[0].position == last and found.id not in ("", str(end[0].message_id)):
                raise _Halt(State.DIVERGED, message_id=str(end[0].message_id))
        copy.known = True

    async def _check_length(self, copy: _Copy) -> None:
        async with asyncio.timeout(limits.RELAY_SOURCE_WITHIN_S):
            copy.head = (await self._source.heads()).get(copy.instance, 0)
        if copy.head < copy.position:
            raise _Halt(State.AHEAD)

    async def _look_again(self, copy: _Copy) -> None:
        """Where the stream is after a window that did not go through; if it is gone or shorter than it was, everything anew."""
        info = await self._jetstream.info(copy.stream)
        if info is None or info.state.last_seq < copy.position:
            copy.known = False
        else:
            copy.position = info.state.last_seq

    async def _publish(self, copy: _Copy, window: Sequence[Rendered]) -> bool:
        """Sends a window; True once all of it stands in the stream."""
        acknowledged: asyncio.Future[bytes | DomainError] = asyncio.get_running_loop().create_future()

        def arrive(outcome: bytes | DomainError, _reply: str) -> None:
            if not acknowledged.done():
                acknowledged.set_result(outcome)

        reply = self._inbox.expect(arrive)
        try:
            self._send(window, reply)
            async with asyncio.timeout(limits.RELAY_ACK_WITHIN_S):
                outcome = await acknowledged
        except TimeoutError:
            return False
        except DomainError as refused:
            if refused.kind is Kind.UNAVAILABLE:
                return False
            raise
        finally:
            self._inbox.forget(reply)
        if isinstance(outcome, DomainError):
            return False
        ack = decode_ack(outcome)
        if ack.error is not None:
            if ack.error.err_code == WRONG_LAST_SEQUENCE:
                self.counts.conflicts += 1
            else:
                log.warning("relay_refused", stream=copy.stream, code=ack.error.err_code, error=ack.error.description)
            return False
        last = window[-1].position
        assert ack.seq == last, f"{copy.stream}: row {last} stands at {ack.seq}"
        copy.position = last
        self.counts.windows += 1
        self.counts.published += len(window)
        return True

    def _send(self, window: Sequence[Rendered], reply: str) -> None:
        """Positions follow each other, so the sequence that a message expects is the position before its own."""
        self._connection.send_window([(row.subject, row.payload) for row in window], reply, EXPECTED, window[0].position - 1)


def _cut(rows: Sequence[Rendered]) -> Iterator[Sequence[Rendered]]:
    """Pieces of at most ``RELAY_WINDOW_BYTES``, or of one row."""
    begins = size = 0
    for at, row in enumerate(rows):
        size += len(row.payload)
        if size > limits.RELAY_WINDOW_BYTES and at > begins:
            yield rows[begins:at]
            begins, size = at, len(row.payload)
    yield rows[begins:]
