"""Asking: ``request`` for an answer in one message, ``stream`` for one of any length.

A request is sent again, under the same command id and to the same inbox, when nobody listens, when the answer is ``unavailable`` with a
retry-after, when the connection breaks, and after ``REPEAT_AFTER_S`` of silence; all within its deadline. A server that is still at it
ignores the repeat. ``unavailable`` without a retry-after is final.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from datetime import datetime
from uuid import UUID

import msgspec

from libs.bus import envelope, limits, subjects
from libs.bus.chunks import Incoming
from libs.bus.connection import Connection
from libs.bus.envelope import RequestEnvelope
from libs.bus.inbox import Arrive, Inbox
from libs.domain.clock import Clock, SystemClock
from libs.domain.errors import DomainError, Kind, unavailable


class Reply(msgspec.Struct, frozen=True, gc=False):
    """``projection_behind``: the write stands, but query tables do not show it yet."""

    body: bytes
    projection_behind: bool = False


class ClientCounts(msgspec.Struct):
    """Since the start of this client."""

    asked: int = 0
    repeated: int = 0
    timed_out: int = 0
    turned_away: int = 0


class _Question(msgspec.Struct, frozen=True, gc=False):
    """What stays the same however often it is sent."""

    subject: str
    body: bytes
    instance: int
    principal: bytes | None
    command_id: UUID | None
    at: datetime
    trace: str
    ends: float
    began: float
    window: int = 0

    def left(self) -> float:
        return self.ends - time.monotonic()

    def encode(self, left: float) -> bytes:
        left_ms = int(left * 1000)
        now_ms = time.monotonic_ns() // 1_000_000
        return envelope.encode(
            RequestEnvelope(
                version=envelope.VERSION,
                trace=self.trace,
                deadline_ms=time.time_ns() // 1_000_000 + left_ms,
                left_ms=left_ms,
                sent_ms=now_ms,
                instance=self.instance,
                principal=self.principal,
                command_id=self.command_id,
                at=self.at,
                body=self.body,
                window=self.window,
                waited_ms=max(0, now_ms - int(self.began * 1000)),
            )
        )


class _Call:
    """One waiting request: what comes next, an answer or an error that stands for one, or None after a time."""

    __slots__ = ("_loop", "_next")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Future[bytes | DomainError | None] = self._loop.create_future()

    def arrive(self, outcome: bytes | DomainError | None, _reply: str) -> None:
        if not self._next.done():
            self._next.set_result(outcome)

    async def next(self, timeout: float) -> bytes | DomainError | None:
        if self._next.done():
            self._next = self._loop.create_future()
        timer = self._loop.call_later(timeout, self.arrive, None, "")
        try:
            return await self._next
        finally:
            timer.cancel()


class Client:
    """Asks services over one connection. ``open`` before use; ``CLIENT_IN_FLIGHT_MAX`` requests and streams at once."""

    def __init__(self, connection: Connection, *, in_flight_max: int = limits.CLIENT_IN_FLIGHT_MAX, clock: Clock | None = None) -> None:
        self._connection = connection
        self._inbox = Inbox(connection)
        self._clock = clock or SystemClock()
        self._in_flight_max = in_flight_max
        self.in_flight = 0
        self.counts = ClientCounts()

    @property
    def connection(self) -> Connection:
        """The one it asks over."""
        return self._connection

    async def open(self) -> None:
        await self._inbox.open()

    async def close(self) -> None:
        await self._inbox.close()

    async def request(
        self,
        subject: str,
        body: bytes,
        *,
        instance: int,
        principal: bytes | None = None,
        command_id: UUID | None = None,
        deadline: float,
        trace: str,
        at: datetime | None = None,
        began: float | None = None,
    ) -> Reply:
        """The answer within ``deadline`` seconds. ``at``: the command's stamp, else now. ``began``: since when somebody waits for it, on
        the monotonic clock, else now.

        Raises the service's DomainError unchanged; too_large/request_too_large; unavailable/timeout, /no_responders, /connection_lost,
        /bus_disconnected, /too_many_requests. Cancelling the caller cancels a query at the service; a command is finished there."""
        question = self._question(subject, body, instance, principal, command_id, at, trace, deadline, began=began)
        call = _Call()
        inbox = self._enter(call.arrive)
        try:
            return await self._ask(question, call, inbox)
        except asyncio.CancelledError:
            self._give_up(subject, inbox)
            raise
        finally:
            self._leave(inbox)

    async def stream(
        self,
        subject: str,
        body: bytes,
        *,
        instance: int,
        principal: bytes | None = None,
        deadline: float,
        trace: str,
        window: int = limits.STREAM_WINDOW_CHUNKS,
    ) -> AsyncGenerator[bytes, None]:
        """The chunks (≤ ``BODY_MAX_BYTES`` each) of a query's large answer. ``deadline``: the longest silence, in seconds, that either
        side bears; ``window``: chunks that may be under way, so at most that many are held here.

        Raises the service's DomainError; unavailable/timeout, /stream_broken (a gap), /connection_lost. Close it early
        (``contextlib.aclosing``) and the service stops."""
        question = self._question(subject, body, instance, principal, None, None, trace, deadline, window=window)
        incoming = Incoming(self._connection, window)
        inbox = self._enter(incoming.arrive)
        try:
            first = await self._begin(question, incoming, inbox)
            while first is not None:
                yield first
                first = await incoming.next(deadline)
        finally:
            if not incoming.ended and not incoming.stop():
                self._give_up(subject, inbox)
            self._leave(inbox)

    def _question(
        self,
        subject: str,
        body: bytes,
        instance: int,
        principal: bytes | None,
        command_id: UUID | None,
        at: datetime | None,
        trace: str,
        deadline: float,
        *,
        began: float | None = None,
        window: int = 0,
    ) -> _Question:
        if len(body) > limits.BODY_MAX_BYTES:
            raise DomainError(Kind.TOO_LARGE, "request_too_large", {"max_bytes": limits.BODY_MAX_BYTES})
        stamp, now = at or self._clock.now(), time.monotonic()
        since = now if began is None else began
        return _Question(subject, body, instance, principal, command_id, stamp, trace, now + deadline, since, window)

    def _enter(self, arrive: Arrive) -> str:
        if self.in_flight >= self._in_flight_max:
            self.counts.turned_away += 1
            raise unavailable("too_many_requests", limits.OVERLOADED_RETRY_AFTER_S)
        self.in_flight += 1
        self.counts.asked += 1
        return self._inbox.expect(arrive)

    def _leave(self, inbox: str) -> None:
        self._inbox.forget(inbox)
        self.in_flight -= 1

    async def _ask(self, question: _Question, call: _Call, inbox: str) -> Reply:
        patience, pauses = limits.REPEAT_AFTER_S, _Pauses()
        while True:
            outcome = await self._send_once(question, call, inbox, patience)
            if outcome is None:
                patience *= 2
            while outcome is not None:
                if isinstance(outcome, bytes):
                    answer = envelope.decode_reply(outcome)
                    if answer.refusal is None:
                        return Reply(answer.body, answer.projection_behind)
                    outcome = envelope.error_of(answer.refusal)
                pause = pauses.after(outcome)
                if pause is None or pause >= question.left():
                    raise outcome
                outcome = await call.next(pause)
            self.counts.repeated += 1

    async def _send_once(self, question: _Question, call: _Call, inbox: str, patience: float) -> bytes | DomainError | None:
        left = question.left()
        if left <= 0:
            self.counts.timed_out += 1
            raise unavailable("timeout")
        try:
            self._connection.send(question.subject, question.encode(left), inbox)
        except DomainError as refused:
            return refused
        return await call.next(min(left, patience))

    async def _begin(self, question: _Question, incoming: Incoming, inbox: str) -> bytes | None:
        """The first chunk, or None if the answer is empty; repeats what may be repeated, as nothing was handed out yet."""
        pauses = _Pauses()
        while True:
            try:
                self._connection.send(question.subject, question.encode(question.left()), inbox)
                return await incoming.next(question.left())
            except DomainError as refused:
                pause = pauses.after(refused) if incoming.received == 0 else None
                if pause is None or pause >= question.left():
                    raise
            await asyncio.sleep(pause)
            incoming.begin_again()
            self.counts.repeated += 1

    def _give_up(self, subject: str, inbox: str) -> None:
        if not subjects.is_query(subject):
            return
        try:
            self._connection.send(subjects.cancel(subjects.service_of(subject)), inbox.encode())
        except DomainError:
            return  # the service sees the deadline pass by itself


class _Pauses:
    """Growing pauses with jitter between attempts, never shorter than the retry-after of a refusal."""

    __slots__ = ("_longest",)

    def __init__(self) -> None:
        self._longest = limits.RETRY_PAUSE_MIN_S

    def after(self, refused: DomainError) -> float | None:
        """Seconds to wait, or None if there is no point in asking again."""
        if refused.kind is not Kind.UNAVAILABLE or refused.retry_after_s is None:
            return None
        self._longest = min(self._longest * 2, limits.RETRY_PAUSE_MAX_S)
        return max(refused.retry_after_s, random.uniform(self._longest / 2, self._longest))  # noqa: S311
