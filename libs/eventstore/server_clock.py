"""The database server's clock, told from this process's own: refusals are noted by the one, attempts begin by the other."""

from __future__ import annotations

import time
from typing import Final

import asyncpg

from libs.eventstore.statements import sql

ASKED_EVERY_S: Final = 10.0
ASKED_AT_ONCE: Final = 3  # of which the fastest answer counts


class ServerClock:
    """As exact as half of a round trip, and as late to notice that the server's clock was set as ``ASKED_EVERY_S``."""

    def __init__(self) -> None:
        self._ahead = 0.0  # of the monotonic clock, in seconds
        self._asked = float("-inf")

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._asked >= ASKED_EVERY_S

    def forget(self) -> None:
        """It is another server now, perhaps."""
        self._asked = float("-inf")

    async def ask(self, connection: asyncpg.Connection, timeout: float) -> None:
        """Raises what the connection raises, or TimeoutError after ``timeout`` seconds."""
        statement, fastest = sql("what_time"), float("inf")
        for _ in range(ASKED_AT_ONCE):
            sent = time.monotonic()
            now = await connection.fetchval(statement, timeout=timeout)
            took = time.monotonic() - sent
            if took < fastest:
                fastest, self._ahead = took, now - sent - took / 2
        self._asked = time.monotonic()

    def at(self, monotonic: float) -> float:
        """A moment of this process's monotonic clock, in seconds since the epoch by the server's."""
        return monotonic + self._ahead
