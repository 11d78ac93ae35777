"""Processes: what a service does by itself, beside answering: hearing what other logs say, finishing what was left behind, sweeping.

Each says how far it is and what stops it, so that nobody has to guess why something was not done. What stops one instance's work stops
nobody else's. A process tries again by itself after a while, or at once when an operator says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

WHY_MAX_CHARS: Final = 300
TRIED_AGAIN_AFTER_S: Final = 1.0  # what is stopped, the first time; twice as long each time
DOUBLED_MAX: Final = 20  # times
FEEDS_TOLD_MAX: Final = 2_000  # of a service; those that are stopped come first

EVERY_INSTANCE: Final = 0  # what stops all of them at once
RETRY: Final = "retry"  # kind of the hint


class Feed(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a process is with one instance. ``source``: the log that it hears, with the ``position`` up to which it has; empty for what
    looks at tables. ``stopped_since``, ``why``, ``tries``: what stops it; absent if nothing does."""

    process: str
    instance: int
    source: str = ""
    position: int = 0
    stopped_since: datetime | None = None
    why: str = ""
    tries: int = 0


class Told(msgspec.Struct, frozen=True):
    """What a service's processes are: ``feeds`` of those that keep a place or are stopped, ``looked``: when each last came round."""

    feeds: Sequence[Feed]
    looked: dict[str, datetime]


class Retry(msgspec.Struct, frozen=True):
    """``process`` empty: all of them; ``instance`` None: all of them."""

    process: str = ""
    instance: int | None = None


Key = tuple[int, str]  # instance, source


class Process:
    """One kind of work. ``again(instance)``: what makes it try an instance at once (None: all); without it, it looks at everything."""

    def __init__(self, name: str, again: Callable[[int | None], None] | None = None) -> None:
        self.name = name
        self.looked: datetime | None = None
        self._again = again
        self._feeds: dict[Key, Feed] = {}
        self._wake = asyncio.Event()

    def reached(self, instance: int, source: str = "", position: int = 0) -> None:
        """This far, and nothing stops it."""
        if source:
            self._feeds[instance, source] = Feed(self.name, instance, source, position)
        else:
            self._feeds.pop((instance, source), None)

    def stopped(self, instance: int, why: str, source: str = "") -> None:
        """It could not go on; it is tried again later."""
        before = self._feeds.get((instance, source)) or Feed(self.name, instance, source)
        since = before.stopped_since or datetime.now(UTC)
        self._feeds[instance, source] = msgspec.structs.replace(
            before, stopped_since=since, why=why[:WHY_MAX_CHARS], tries=before.tries + 1
        )

    def came_round(self) -> None:
        self.looked = datetime.now(UTC)

    def forget(self) -> None:
        """Somebody else does it now."""
        self._feeds.clear()

    def retry(self, instance: int | None) -> None:
        if self._again is not None:
            self._again(instance)
        self._wake.set()

    async def rest(self, seconds: float) -> None:
        """Until somebody says to try again, at most so long; less if something is stopped, most of all if it only just is: another service
        may be starting still."""
        tries = min((feed.tries for feed in self._feeds.values() if feed.stopped_since is not None), default=0)
        if tries:
            seconds = min(seconds, TRIED_AGAIN_AFTER_S * 2 ** min(tries - 1, DOUBLED_MAX))
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    @property
    def feeds(self) -> Sequence[Feed]:
        return list(self._feeds.values())


class Processes:
    """Those of a running service. One replica does the work, the one that leads: its status says how things are."""

    def __init__(self) -> None:
        self._mine: dict[str, Process] = {}

    def add(self, process: Process) -> Process:
        """One that is started again takes the place of the one before."""
        self._mine[process.name] = process
        return process

    def __iter__(self) -> Iterator[Process]:
        return iter(self._mine.values())

    def retry(self, wanted: Retry) -> None:
        for process in self:
            if wanted.process in ("", process.name):
                process.retry(wanted.instance)

    def told(self) -> Told:
        feeds = sorted((feed for process in self for feed in process.feeds), key=lambda feed: (feed.stopped_since is None, feed.instance))
        return Told(feeds[:FEEDS_TOLD_MAX], {process.name: process.looked for process in self if process.looked is not None})
