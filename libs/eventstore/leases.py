"""IDs before there is an event: leased from the log's database in blocks, so that drawing one rarely takes a round trip."""

from __future__ import annotations

import asyncio
from typing import Final

from libs.eventstore.log import Log

BLOCK: Final = 20
SERIES_KNOWN_MAX: Final = 10_000


class Leases:
    """Draws are unique among all processes of a service; those of a process that ends are not given out again."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._left: dict[tuple[int, str], range] = {}
        self._lock = asyncio.Lock()

    async def draw(self, name: str, instance: int) -> int:
        """The next of a series, from 1 on. Raises LogUnreachable."""
        left = self._left.get((instance, name))
        if not left:
            async with self._lock:
                left = self._left.get((instance, name))  # somebody else may have leased meanwhile
                if not left:
                    last = await self._log.lease(instance, name, BLOCK)
                    left = range(last - BLOCK + 1, last + 1)
        if len(self._left) >= SERIES_KNOWN_MAX:
            self._left.clear()
        self._left[instance, name] = left[1:]
        return left[0]
