"""One connection to NATS that comes back by itself within a second of the server.

nats-py does the protocol. Five of its habits are changed here, and only here, because each lost messages or time in tests:

- Its callbacks run one after the other behind a queue that drops what does not fit. ``listen`` hands a message over at once, inside the
  read loop; the callee must not block and starts a task for anything that takes time.
- Its ``publish`` may wait without end for a stuck socket, swallows a cancellation there, keeps messages over a disconnection to send
  them stale, and checks the body against ``max_payload`` where the server also counts the headers, which closes the connection with all
  that is in flight on it. ``send`` never waits and refuses with a typed error; what was not sent when a connection is lost is dropped.
- Its ``flush`` writes the ping before what is still queued, so it proves nothing about a subscription just made. ``settle`` does.
- It closes a lost connection politely, flushing first, which never ends when the peer has stopped reading. Here it is aborted.
- Its task that reconnects may miss a cancellation that comes in the very turn in which a server refuses, and then tries for ever: a
  process could not end. Here it looks before each attempt. A ``connect`` that is cancelled leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from nats.aio.client import Client as NatsClient
from nats.aio.client import Server as NatsServer
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from libs.bus import limits
from libs.domain.errors import DomainError, Kind, unavailable

log = structlog.get_logger("bus")

REFUSED: Final = "permissions violation"
Deliver = Callable[[str, str, bytes, bytes], None]
"""Takes subject, reply subject (or ``""``), payload and header block (or ``b""``)."""


class Connection(NatsClient):
    """Made by ``connect``. ``closed`` is set when nats-py gave up for good; a process whose connection is closed should end.
    ``refused``: how often it wanted to say or hear what its user may not."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.closed = asyncio.Event()
        self._deliver: dict[int, Deliver] = {}
        self._when_lost: list[Callable[[], None]] = []
        self._kick: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._kick.set_result(None)
        self._error_logged_at = 0.0
        self.refused = 0

    async def open(self, url: str, within: float) -> None:
        """Connects, trying for ``within`` seconds. Raises unavailable/bus_unreachable."""
        try:
            async with asyncio.timeout(within):
                await self.connect(
                    url.split(","),
                    name=self.name,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    reconnected_cb=self._on_reconnected,
                    closed_cb=self._on_closed,
                    max_reconnect_attempts=-1,
                    reconnect_to_server_handler=_next_attempt,
                    connect_timeout=limits.CONNECT_ATTEMPT_S,
                    ping_interval=limits.PING_EVERY_S,
                    max_outstanding_pings=limits.PINGS_UNANSWERED_MAX,
                    pending_size=limits.OUTBOUND_MAX_BYTES,
                    reconnect_time_wait=limits.CONNECT_ATTEMPT_S,
                )
        except BaseException as problem:
            self._abort()
            await self._close(NatsClient.CLOSED, do_cbs=False)
            if isinstance(problem, TimeoutError | OSError | NatsError):
                raise unavailable("bus_unreachable", limits.RECONNECT_WAIT_MAX_S) from problem
            raise

    def when_lost(self, react: Callable[[], None]) -> None:
        """``react`` is called each time the connection is lost: whatever was awaited on it will not come."""
        self._when_lost.append(react)

    def no_longer_when_lost(self, react: Callable[[], None]) -> None:
        self._when_lost.remove(react)

    async def listen(self, subject: str, deliver: Deliver, *, queue: str = "") -> Subscription:
        """Subscribes; ``deliver`` runs in the read loop, in order of arrival, and must not block. Survives reconnects."""
        sid = self._sid + 1
        self._deliver[sid] = deliver
        subscription = await self.subscribe(subject, queue=queue)
        assert subscription._id == sid, "nats-py numbers subscriptions one by one"
        return subscription

    async def unlisten(self, subscription: Subscription) -> None:
        """Ends a subscription after everything the server had already sent on it was delivered."""
        if not self.is_closed:
            await subscription.unsubscribe()
            await self.settle()
        self._deliver.pop(subscription._id, None)

    async def settle(self) -> None:
        """A round trip to the server, or ``FLUSH_WITHIN_S`` without one."""
        if not self.is_connected or self._transport is None:
            return
        self._transport.writelines(self._pending[:])
        self._pending.clear()
        self._pending_data_size = 0
        try:
            await self.flush(limits.FLUSH_WITHIN_S)
        except NatsError as problem:
            log.warning("bus_flush_failed", connection=self.name, error=repr(problem))

    def send(self, subject: str, payload: bytes, reply: str = "", header: bytes = b"") -> None:
        """Queues a message for the socket. Subjects are trusted (``subjects`` makes them).

        Raises unavailable/bus_disconnected, unavailable/bus_congested, too_large/message_too_large; then nothing was sent."""
        if not self.is_connected:
            raise unavailable("bus_disconnected", limits.RECONNECT_WAIT_MIN_S)
        size = len(payload) + len(header)
        if size > self._max_payload:
            raise DomainError(Kind.TOO_LARGE, "message_too_large", {"max_bytes": self._max_payload})
        if self._pending_data_size + size > limits.OUTBOUND_MAX_BYTES:
            raise unavailable("bus_congested", limits.OVERLOADED_RETRY_AFTER_S)
        if header:
            line = f"HPUB {subject} {reply} {len(header)} {size}\r\n".encode() + header
        else:
            line = f"PUB {subject} {reply} {size}\r\n".encode()
        self._pending.append(line + payload + b"\r\n")
        self._pending_data_size += size + len(line)
        if self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(self._kick)

    def send_window(self, messages: Sequence[tuple[str, bytes]], reply: str, header: bytes, first: int) -> None:
        """Queues messages (subject, payload) together, each with ``header`` in which ``%d`` is the number of the message before it, the
        last with ``reply``. Raises what ``send`` raises; then nothing was sent."""
        if not self.is_connected:
            raise unavailable("bus_disconnected", limits.RECONNECT_WAIT_MIN_S)
        pieces: list[bytes] = []
        last = len(messages) - 1
        for ix, (subject, payload) in enumerate(messages):
            head = header % (first + ix)
            size = len(head) + len(payload)
            if size > self._max_payload:
                raise DomainError(Kind.TOO_LARGE, "message_too_large", {"max_bytes": self._max_payload})
            pieces += (f"HPUB {subject} {reply if ix == last else ''} {len(head)} {size}\r\n".encode(), head, payload, b"\r\n")
        whole = b"".join(pieces)
        if self._pending_data_size + len(whole) > limits.OUTBOUND_MAX_BYTES:
            raise unavailable("bus_congested", limits.OVERLOADED_RETRY_AFTER_S)
        self._pending.append(whole)
        self._pending_data_size += len(whole)
        if self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(self._kick)

    async def room(self, timeout: float) -> None:
        """Waits until the socket has taken most of what was sent. Raises unavailable/bus_congested after ``timeout`` seconds."""
        ends = time.monotonic() + timeout
        while self._pending_data_size > limits.OUTBOUND_EASY_BYTES:
            if time.monotonic() >= ends:
                raise unavailable("bus_congested", limits.OVERLOADED_RETRY_AFTER_S)
            await asyncio.sleep(limits.OUTBOUND_LOOK_EVERY_S)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        deliver = self._deliver.get(sid)
        if deliver is None:
            await super()._process_msg(sid, subject, reply, data, headers or b"")
            return
        try:
            deliver(subject.decode(), reply.decode(), data, headers or b"")
        except Exception:  # anything else would end the read loop without a word
            log.exception("bus_delivery_failed", connection=self.name, subject=subject.decode())

    def _abort(self) -> None:
        writer: Any = getattr(self._transport, "_bare_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    async def _attempt_reconnect(self) -> None:
        self._abort()
        await super()._attempt_reconnect()

    async def _on_disconnected(self) -> None:
        self._pending.clear()
        self._pending_data_size = 0
        if not self.is_closed:
            log.warning("bus_disconnected", connection=self.name)
        for react in tuple(self._when_lost):
            react()

    async def _on_reconnected(self) -> None:
        self._error_logged_at = 0.0
        log.info("bus_reconnected", connection=self.name, reconnects=self.stats["reconnects"])

    async def _on_closed(self) -> None:
        self.closed.set()
        log.info("bus_closed", connection=self.name, error=repr(self.last_error) if self.last_error else None)

    async def _on_error(self, problem: Exception) -> None:
        if REFUSED in str(problem).lower():
            self.refused += 1
        now = time.monotonic()
        if now - self._error_logged_at >= limits.ERROR_LOG_EVERY_S:
            self._error_logged_at = now
            log.error("bus_error", connection=self.name, error=repr(problem))


def _next_attempt(servers: list[NatsServer], _info: dict[str, Any]) -> tuple[NatsServer, float]:
    """The next server to try and the seconds to wait before, with jitter, so that a cell does not return as one wave."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    server = min(servers, key=lambda known: known.reconnects)
    if server.reconnects == 0:
        return server, random.uniform(0, limits.RECONNECT_FIRST_WAIT_MAX_S)  # noqa: S311
    return server, random.uniform(limits.RECONNECT_WAIT_MIN_S, limits.RECONNECT_WAIT_MAX_S)  # noqa: S311


async def connect(url: str, *, name: str, within: float | None = None) -> Connection:
    """A connection to ``nats://user:password@host:port``, or to one of several of a cluster with commas between them;
    ``name`` shows in the server's monitoring.

    Raises unavailable/bus_unreachable if no server answers within ``within`` seconds (``CONNECT_WITHIN_S``); afterwards it reconnects
    for ever."""
    connection = Connection(name)
    await connection.open(url, limits.CONNECT_WITHIN_S if within is None else within)
    return connection
