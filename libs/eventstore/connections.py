"""A few connections to one database, each lent to one caller at a time.

What asyncpg's pool does, without the task, the timers and the proxy that it makes for every loan: for statements that take less time
than these, they were an eighth of what a service does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

import asyncpg

from libs.eventstore.arrays import know_arrays_by_type

IDLE_MAX_S: Final = 30.0

know_arrays_by_type()


class Connections:
    """``async with connections.lend() as connection:``. At most ``most`` are open; they are made when they are needed, and one that was
    lost is made anew. One that nobody wanted for ``idle`` seconds is ended, unless it is the only one: at the server each is a process
    with its own memory. Raises what ``asyncpg.connect`` raises, and TimeoutError if none is free within ``timeout`` seconds.

    ``begun`` is told of every connection made. Nobody may leave a session's settings behind; who leaves a transaction open loses it."""

    def __init__(
        self,
        dsn: str,
        *,
        most: int,
        timeout: float,
        idle: float = IDLE_MAX_S,
        begun: Callable[[], None] | None = None,
        **settings: Any,
    ) -> None:
        self._dsn = dsn
        self._most = most
        self._timeout = timeout
        self._idle_max = idle
        self._begun = begun
        self._settings = settings
        self._idle: list[tuple[asyncpg.Connection, float]] = []  # each with the time since when it is, longest first
        self._sweep: asyncio.TimerHandle | None = None
        self._lent: set[asyncpg.Connection] = set()
        self._making = 0
        self._waiting: deque[asyncio.Future[asyncpg.Connection | None]] = deque()
        self._closed = False

    async def open(self) -> None:
        """Makes the first one."""
        self._closed = False
        self._give(await self._take())

    async def fetch(self, text: str, *arguments: Any) -> list[Any]:
        """All rows of one statement."""
        async with self.lend() as connection:
            rows: list[Any] = await connection.fetch(text, *arguments)
            return rows

    def close(self) -> None:
        """Ends all of them at once, also those that are lent."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in (*(idle for idle, _ in self._idle), *self._lent):
            connection.terminate()
        self._idle.clear()
        while self._waiting:
            self._make_room()

    def lend(self) -> Loan:
        return Loan(self)

    async def _take(self) -> asyncpg.Connection:
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                self._lent.add(connection)
                return connection
        if len(self._lent) + self._making >= self._most:
            given = await self._turn()
            if given is not None:
                return given
        else:
            self._making += 1
        return await self._make()

    async def _make(self) -> asyncpg.Connection:
        """In the place that ``_making`` counts."""
        try:
            connection = await asyncpg.connect(self._dsn, timeout=self._timeout, **self._settings)
            if self._closed:
                connection.terminate()
                raise asyncpg.InterfaceError("the connections are closed")
        except BaseException:
            self._making -= 1
            self._make_room()
            raise
        self._making -= 1
        self._lent.add(connection)
        if self._begun is not None:
            self._begun()
        return connection

    async def _turn(self) -> asyncpg.Connection | None:
        """A connection that somebody gave back, or None and the place to make one."""
        turn: asyncio.Future[asyncpg.Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._timeout):
                return await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # given, and nobody there any more
                given = turn.result()
                if given is not None:
                    self._give(given)
                else:
                    self._making -= 1
                    self._make_room()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def _give(self, connection: asyncpg.Connection) -> None:
        if connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
            self._lent.discard(connection)
            self._make_room()
        elif not self._wake(connection):
            self._lent.discard(connection)
            self._rest(connection)

    def _rest(self, connection: asyncpg.Connection) -> None:
        loop = asyncio.get_running_loop()
        self._idle.append((connection, loop.time()))
        if self._sweep is None and len(self._idle) > 1:
            self._sweep = loop.call_later(self._idle_max, self._end_idle)

    def _end_idle(self) -> None:
        """Those at the bottom, since the last one given back is lent first. Looks again only while there is more than one."""
        loop, self._sweep = asyncio.get_running_loop(), None
        while len(self._idle) > 1 and (left := self._idle[0][1] + self._idle_max - loop.time()) <= 0:
            self._idle.pop(0)[0].terminate()
        if len(self._idle) > 1:
            self._sweep = loop.call_later(left, self._end_idle)

    def _make_room(self) -> None:
        """There is one less: who waits longest may make one."""
        if self._wake(None):
            self._making += 1

    def _wake(self, given: asyncpg.Connection | None) -> bool:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(given)
                return True
        return False


class Loan:
    """One connection for as long as the block takes."""

    __slots__ = ("_connection", "_connections")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def __aenter__(self) -> asyncpg.Connection:
        self._connection = await self._connections._take()
        return self._connection

    async def __aexit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if isinstance(error, asyncpg.InternalClientError | OSError):  # lost, though the end of it may not have been read yet
            self._connection.terminate()
        self._connections._give(self._connection)
