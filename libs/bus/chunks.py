"""Large answers, both ends. The reader grants credits; the writer sends a chunk per credit and then waits. So at most a window of chunks
exists between a fast writer and a slow reader, wherever they are. Chunks are numbered; the end names their count; a gap breaks the stream.

Credits go to an inbox of the writing replica, which every chunk names as its reply subject: a positive number grants, 0 stops.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from libs.bus import envelope, limits, subjects
from libs.bus.connection import Connection
from libs.bus.envelope import Part, ReplyEnvelope
from libs.domain.errors import DomainError, Kind, unavailable

STOP: Final = b"0"


class Incoming:
    """The reader's end."""

    def __init__(self, connection: Connection, window: int) -> None:
        if not 1 <= window <= limits.STREAM_WINDOW_CHUNKS:
            raise ValueError(f"a window is 1 to {limits.STREAM_WINDOW_CHUNKS} chunks")
        self._connection = connection
        self._window = window
        self._waiting: deque[bytes | DomainError | None] = deque()  # chunks, then an error or None for the end
        self._something = asyncio.Event()
        self._writer = ""
        self._consumed = 0
        self.received = 0
        self.ended = False

    def begin_again(self) -> None:
        """Forgets a start that was refused."""
        self._waiting.clear()
        self._something.clear()
        self.ended = False

    def arrive(self, outcome: bytes | DomainError, reply: str) -> None:
        if self.ended:
            return
        item = outcome if isinstance(outcome, DomainError) else self._take(outcome)
        self._writer = reply if subjects.is_inbox(reply) else self._writer
        self.ended = not isinstance(item, bytes)
        self._waiting.append(item)
        self._something.set()

    def _take(self, payload: bytes) -> bytes | DomainError | None:
        try:
            reply = envelope.decode_reply(payload)
        except DomainError as unknown:
            return unknown
        if reply.refusal is not None:
            return envelope.error_of(reply.refusal)
        return self._in_order(reply)

    def _in_order(self, reply: ReplyEnvelope) -> bytes | DomainError | None:
        if reply.part is Part.END and reply.sequence == self.received:
            return None
        if reply.part is Part.CHUNK and reply.sequence == self.received + 1 and len(self._waiting) < self._window:
            self.received += 1
            return reply.body
        return DomainError(Kind.UNAVAILABLE, "stream_broken")

    async def next(self, timeout: float) -> bytes | None:
        """The next chunk, None at the end. Raises what the writer refused with; unavailable/timeout after ``timeout`` s of silence."""
        try:
            async with asyncio.timeout(timeout):
                while not self._waiting:
                    self._something.clear()
                    await self._something.wait()
        except TimeoutError:
            raise unavailable("timeout") from None
        item = self._waiting.popleft()
        if isinstance(item, DomainError):
            raise item
        if item is not None:
            self._regrant()
        return item

    def _regrant(self) -> None:
        self._consumed += 1
        if self._consumed * 2 >= self._window and not self.ended:
            self._connection.send(self._writer, str(self._consumed).encode())
            self._consumed = 0

    def stop(self) -> bool:
        """Tells the writer to stop; False if it is not known yet or cannot be told."""
        self.ended = True
        self._waiting.clear()
        if not self._writer:
            return False
        try:
            self._connection.send(self._writer, STOP)
        except DomainError:
            return False
        return True


class Outgoing:
    """The writer's end. ``stopped`` is called when the reader wants no more."""

    def __init__(self, connection: Connection, reader: str, *, window: int, patience: float, stopped: Callable[[], object]) -> None:
        self._connection = connection
        self._reader = reader
        self._patience = patience
        self._stopped = stopped
        self._window = self._credits = min(window, limits.STREAM_WINDOW_CHUNKS)
        self._granted = asyncio.Event()
        self.inbox = ""
        self.sent = 0

    def arrive(self, outcome: bytes | DomainError, _reply: str) -> None:
        if isinstance(outcome, DomainError) or not outcome.isdigit() or outcome == STOP:
            self._stopped()
            return
        self._credits = min(self._credits + int(outcome), self._window)
        self._granted.set()

    async def write(self, piece: bytes) -> None:
        """Sends ``piece`` in chunks. Raises unavailable/reader_stopped if no credit comes within the patience."""
        for start in range(0, len(piece), limits.BODY_MAX_BYTES):
            await self._credit()
            await self._connection.room(self._patience)
            self._credits -= 1
            self.sent += 1
            part = piece[start : start + limits.BODY_MAX_BYTES]
            self._connection.send(self._reader, envelope.chunk(part, self.sent), self.inbox)

    async def _credit(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                while self._credits == 0:
                    self._granted.clear()
                    await self._granted.wait()
        except TimeoutError:
            raise unavailable("reader_stopped") from None

    def end(self) -> None:
        self._connection.send(self._reader, envelope.end(self.sent))
