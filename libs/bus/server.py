"""Answering: a service's commands, queries and large answers, each lane with a bound of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Final, cast
from uuid import UUID

import msgspec
import structlog
from nats.aio.subscription import Subscription

from libs.bus import envelope, limits, subjects
from libs.bus.ages import Ages
from libs.bus.chunks import Outgoing
from libs.bus.client import Reply
from libs.bus.connection import Connection
from libs.bus.envelope import RequestEnvelope
from libs.bus.inbox import Inbox
from libs.bus.subjects import Call
from libs.domain.errors import DomainError, Kind, unavailable

log = structlog.get_logger("bus")


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a handler gets. ``at``: the command's stamp; ``ends``: its deadline on this process's monotonic clock, in seconds; ``began``:
    since when somebody waits for the answer, on the same clock."""

    subject: str
    instance: int
    principal: bytes | None
    command_id: UUID | None
    at: datetime
    trace: str
    body: bytes
    ends: float
    began: float

    def left(self) -> float:
        """Seconds until nobody waits for the answer any more."""
        return self.ends - time.monotonic()


Handler = Callable[[Request], Awaitable[bytes | Reply]]
Begun = Callable[[Request], Callable[[str], None] | None]
"""Told of a request inside the task that serves it; what it returns, if anything, is told how that ended: answered, refused, …"""
StreamHandler = Callable[[Request], AsyncGenerator[bytes, None]]

_INTERNAL: Final = DomainError(Kind.UNAVAILABLE, "internal")


class ServerCounts(msgspec.Struct):
    """Since the start of this server. ``expired``: dropped unread; ``repeated``: already being worked on; ``unsent``: answer not sent;
    ``misdirected``: dropped, because the answer was to go to something else than an inbox."""

    answered: int = 0
    refused: int = 0
    failed: int = 0
    expired: int = 0
    repeated: int = 0
    overloaded: int = 0
    cancelled: int = 0
    unsent: int = 0
    misdirected: int = 0


class _Lane:
    """Requests of one kind that run at the same time."""

    __slots__ = ("cancellable", "limit", "running")

    def __init__(self, limit: int, *, cancellable: bool) -> None:
        self.limit = limit
        self.cancellable = cancellable
        self.running = 0


class _Route(msgspec.Struct, frozen=True):
    subject: str
    lane: _Lane
    serve: Callable[[Request, RequestEnvelope, str], Awaitable[bytes]]


class Server:
    """Replicas of a service share its requests through the queue group ``queue``. ``register`` everything, then ``start``. ``begun`` is
    told of every request, inside the task that serves it."""

    def __init__(
        self,
        connection: Connection,
        service: str,
        *,
        queue: str | None = None,
        commands_max: int = limits.COMMANDS_IN_FLIGHT_MAX,
        queries_max: int = limits.QUERIES_IN_FLIGHT_MAX,
        streams_max: int = limits.STREAMS_IN_FLIGHT_MAX,
        begun: Begun = lambda _: None,
    ) -> None:
        self._connection = connection
        self._service = subjects.token(service)
        self._queue = queue or service
        self._begun = begun
        self._lanes = {
            Call.COMMAND: _Lane(commands_max, cancellable=False),
            Call.QUERY: _Lane(queries_max, cancellable=True),
        }
        self._streams = _Lane(streams_max, cancellable=True)
        self._inbox = Inbox(connection)
        self._ages = Ages()
        self._routes: list[_Route] = []
        self._subscriptions: list[Subscription] = []
        self._control: Subscription | None = None
        self._running: dict[str, tuple[asyncio.Task[None], _Lane, float]] = {}
        self._sweep: asyncio.Task[None] | None = None
        self.counts = ServerCounts()

    def register(self, call: Call, name: str, handler: Handler) -> None:
        """Answers ``<call>.<service>.<name>`` with what ``handler`` returns (≤ ``BODY_MAX_BYTES``)."""
        route = _Route(subjects.request(call, self._service, name), self._lanes[call], partial(self._whole, handler))
        self._routes.append(route)

    def register_stream(self, name: str, handler: StreamHandler) -> None:
        """Answers the query ``qry.<service>.<name>`` with all that ``handler`` yields; pieces may have any size."""
        route = _Route(subjects.query(self._service, name), self._streams, partial(self._chunks, handler))
        self._routes.append(route)

    @property
    def in_flight(self) -> int:
        return len(self._running)

    async def start(self) -> None:
        await self._inbox.open()
        self._control = await self._connection.listen(subjects.cancel(self._service), self._on_cancel)
        for route in self._routes:
            deliver = partial(self._on_request, route)
            self._subscriptions.append(await self._connection.listen(route.subject, deliver, queue=self._queue))
        await self._connection.settle()
        self._sweep = asyncio.create_task(self._cancel_overdue(), name=f"bus-overdue-{self._service}")

    async def drain(self, within: float = limits.DRAIN_WITHIN_S) -> int:
        """Takes no more requests, finishes what came, at most ``within`` seconds; then cancels queries and returns how many commands
        are still running (they are left alone). The connection stays open."""
        if self._sweep is not None:
            self._sweep.cancel()
        for subscription in self._subscriptions:
            await self._connection.unlisten(subscription)
        self._subscriptions.clear()
        tasks = [task for task, _, _ in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=within)
        late = [task for task, lane, _ in self._running.values() if lane.cancellable]
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=within)
        if self._control is not None:
            await self._connection.unlisten(self._control)
            self._control = None
        await self._inbox.close()
        await self._connection.settle()
        if self._running:
            log.error("bus_drain_incomplete", service=self._service, running=len(self._running))
        return len(self._running)

    def _on_request(self, route: _Route, subject: str, reply: str, payload: bytes, _header: bytes) -> None:
        if reply and not subjects.is_inbox(reply):  # who sent this may want the answer to arrive where it may not write itself
            self.counts.misdirected += 1
            return
        if reply in self._running:
            self.counts.repeated += 1
            return
        try:
            asked = envelope.decode_request(payload)
        except DomainError as unknown:
            self._answer(reply, envelope.refused(unknown))
            return
        age = self._age_ms(reply, asked)
        left = asked.left_ms - age
        if left <= 0:
            self.counts.expired += 1
            return
        lane = route.lane
        if lane.running >= lane.limit:
            self.counts.overloaded += 1
            self._answer(reply, envelope.refused(unavailable("overloaded", limits.OVERLOADED_RETRY_AFTER_S)))
            return
        now = time.monotonic()
        ends = now + left / 1000
        began = now - (asked.waited_ms + age) / 1000
        request = Request(subject, asked.instance, asked.principal, asked.command_id, asked.at, asked.trace, asked.body, ends, began)
        lane.running += 1
        task = asyncio.get_running_loop().create_task(self._serve(route, request, asked, reply))
        self._running[reply] = (task, lane, ends)

    def _age_ms(self, reply: str, asked: RequestEnvelope) -> int:
        return self._ages.age_ms(
            reply.rpartition(".")[0],
            sent_ms=asked.sent_ms,
            sent_at_ms=asked.deadline_ms - asked.left_ms,
            now_ms=time.monotonic_ns() // 1_000_000,
            now_at_ms=time.time_ns() // 1_000_000,
        )

    async def _serve(self, route: _Route, request: Request, asked: RequestEnvelope, reply: str) -> None:
        ended, outcome = self._begun(request), "answered"
        try:
            payload = await route.serve(request, asked, reply)
            self.counts.answered += 1
        except DomainError as refused:
            self.counts.refused += 1
            outcome = refused.reason
            payload = envelope.refused(refused)
        except asyncio.CancelledError:
            self.counts.cancelled += 1
            outcome = "cancelled"
            return
        except Exception:
            self.counts.failed += 1
            outcome = "failed"
            log.exception("request_failed", subject=request.subject, instance=request.instance)
            payload = envelope.refused(_INTERNAL)
        finally:
            if ended is not None:
                ended(outcome)
            route.lane.running -= 1
            del self._running[reply]
        self._answer(reply, payload)

    async def _whole(self, handler: Handler, request: Request, _asked: RequestEnvelope, _reply: str) -> bytes:
        answer = await handler(request)
        if isinstance(answer, Reply):
            return envelope.whole(answer.body, answer.projection_behind)
        return envelope.whole(answer)

    async def _chunks(self, handler: StreamHandler, request: Request, asked: RequestEnvelope, reply: str) -> bytes:
        if asked.window < 1:
            raise DomainError(Kind.INVALID, "answer_is_a_stream")
        task = cast("asyncio.Task[None]", asyncio.current_task())
        patience = asked.left_ms / 1000
        outgoing = Outgoing(self._connection, reply, window=asked.window, patience=patience, stopped=task.cancel)
        outgoing.inbox = self._inbox.expect(outgoing.arrive)
        try:
            async with aclosing(handler(request)) as pieces:
                async for piece in pieces:
                    await outgoing.write(piece)
        finally:
            self._inbox.forget(outgoing.inbox)
        return envelope.end(outgoing.sent)

    def _answer(self, reply: str, payload: bytes) -> None:
        if not reply:
            return
        try:
            self._connection.send(reply, payload)
        except DomainError as problem:  # the client asks again; a command then meets its own outcome
            self.counts.unsent += 1
            log.warning("answer_not_sent", service=self._service, reason=problem.reason)

    def _on_cancel(self, _subject: str, _reply: str, payload: bytes, _header: bytes) -> None:
        running = self._running.get(payload.decode(errors="replace"))
        if running is not None and running[1].cancellable:
            running[0].cancel()

    async def _cancel_overdue(self) -> None:
        """Queries nobody waits for any more. Streams end by their own patience; commands are always finished."""
        queries = self._lanes[Call.QUERY]
        while True:
            await asyncio.sleep(limits.OVERDUE_SWEEP_EVERY_S)
            now = time.monotonic()
            for task, lane, ends in tuple(self._running.values()):
                if lane is queries and now > ends:
                    task.cancel()
