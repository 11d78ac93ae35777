"""Hearing what other services' logs say: every event of an instance once and in order, from the place where one stopped.

Published events are only a hint that there is something new; what is heard is read from the log itself, so nothing is missed and nothing
comes twice. The place is kept by whoever hears, in the append that holds what was made of an event: no rebuild of tables moves it back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

import msgspec
import structlog

from libs.bus import subjects
from libs.bus.client import Client
from libs.contracts.lives import LIFE_BEGAN, LifeBegan
from libs.domain.errors import DomainError
from libs.runtime import lives
from libs.runtime.asking import Services
from libs.runtime.log_reading import LogRequest
from libs.runtime.measures import OpenWork
from libs.runtime.processes import EVERY_INSTANCE, Process
from libs.runtime.publishing import CloudEvent
from libs.runtime.service import Host

log = structlog.get_logger(__name__)

READ_EVENTS: Final = 100  # at once
LOOK_EVERY_S: Final = 15.0  # when no hint comes
LOOK_WITHIN_S: Final = 3.0
PAUSE_S: Final = 1.0  # after a failure

Feed = tuple[int, str]  # instance, source


class Heard(msgspec.Struct, frozen=True):
    """How far a log was heard, in which of its lives (``libs/contracts/lives.py``; empty: its first)."""

    position: int = 0
    life: str = ""


Place = Callable[[int, str], Awaitable[Heard]]
Handle = Callable[[int, str, str, Sequence[CloudEvent]], Awaitable[None]]


class Hearing:
    """``place(instance, source)``: behind what to go on; ``handle(instance, source, life, events)``: what is made of the next events.
    What it raises stops that feed until the next look, and is tried again then; other feeds go on. One process of a service hears, the
    one that leads. ``name``: what the process is called."""

    def __init__(self, host: Host, name: str, sources: Sequence[str], place: Place, handle: Handle) -> None:
        self._host = host
        self._sources = tuple(sources)
        self._place = place
        self._handle = handle
        self._client = Client(host.connection)
        self._services = Services(self._client)
        self._positions: dict[Feed, Heard] = {}
        self._lives: dict[Feed, frozenset[str]] = {}  # that are known of a log
        self._behind: set[Feed] = set()
        self._wake = asyncio.Event()
        self._process = Process(name, self._again)
        self._retries = 0
        self._failed: dict[Feed, float] = {}  # since when, by the monotonic clock

    def work(self) -> OpenWork:
        """Feeds that are behind; those that failed are overdue."""
        oldest = max((time.monotonic() - since for since in self._failed.values()), default=0.0)
        return OpenWork(len(self._behind | self._failed.keys()), oldest, self._retries, len(self._failed))

    async def start(self) -> None:
        await self._client.open()
        self._host.on_stop(self._client.close)
        self._host.processes.add(self._process)
        for source in self._sources:
            await self._host.connection.listen(subjects.published_of(source), self._hinted)
        self._host.works["hearing"] = self.work
        self._host.run(self._for_ever())

    def _hinted(self, subject: str, _reply: str, _payload: bytes, _header: bytes) -> None:
        _, source, instance, *what = subject.split(".")
        feed = int(instance[1:]), source
        if ".".join(what) == LIFE_BEGAN:  # what was heard may be no more
            self._positions.pop(feed, None)
        self._behind.add(feed)
        self._wake.set()

    def _again(self, instance: int | None) -> None:
        """An operator wants what is stopped to be tried now."""
        stopped = (feed for feed in self._process.feeds if feed.stopped_since is not None)
        self._behind |= {(feed.instance, feed.source) for feed in stopped if instance in (None, feed.instance)}
        self._wake.set()

    async def _for_ever(self) -> None:
        leads = False
        while True:
            led, leads = leads, self._host.projector.leading
            if leads and not led:
                self._positions.clear()  # somebody else heard meanwhile
                self._process.forget()
                await self._look()
            if leads:
                await self._catch_up()
                self._process.came_round()
            else:
                self._behind.clear()
                self._failed.clear()
            try:
                async with asyncio.timeout(LOOK_EVERY_S if leads else PAUSE_S):
                    await self._wake.wait()
                self._wake.clear()
            except TimeoutError:
                if leads:
                    await self._look()

    async def _look(self) -> None:
        """Finds what is behind without a hint."""
        silent = list(filter(None, await asyncio.gather(*map(self._look_at, self._sources))))
        if silent:
            self._process.stopped(EVERY_INSTANCE, "; ".join(silent))
        else:
            self._process.reached(EVERY_INSTANCE)

    async def _look_at(self, source: str) -> str:
        """Why the source cannot be heard, or nothing."""
        try:
            heads = await self._services.heads(source, deadline=LOOK_WITHIN_S)
        except DomainError as error:
            log.warning("cannot hear", source=source, error=str(error))
            return f"{source}: {error}"
        for instance, head in heads.items():
            known = self._positions.get((instance, source), Heard()).position
            if head < known:  # it lost its tail
                self._positions.pop((instance, source))
            if head != known:
                self._behind.add((instance, source))
        return ""

    async def _catch_up(self) -> None:
        feeds, self._behind = sorted(self._behind), set()
        for instance, source in feeds:
            try:
                await self._follow(instance, source)
                self._failed.pop((instance, source), None)
            except Exception as error:
                if isinstance(error, DomainError):
                    log.warning("hearing postponed", instance=instance, source=source, error=str(error))
                else:
                    log.exception("hearing stopped", instance=instance, source=source)
                self._give_up((instance, source), str(error) or repr(error))

    def _give_up(self, feed: Feed, why: str) -> None:
        """Until the next look."""
        self._positions.pop(feed, None)
        self._retries += 1
        self._failed.setdefault(feed, time.monotonic())
        self._process.stopped(feed[0], why, feed[1])

    async def _follow(self, instance: int, source: str) -> None:
        heard = self._positions.get((instance, source)) or await self._resumed(instance, source)
        while events := await self._read(instance, source, heard.position):
            if any(self._begins_a_life(one, instance, source) for one in events):
                heard = await self._resumed(instance, source)
                continue
            await self._handle(instance, source, heard.life, events)
            heard = Heard(events[-1].position, heard.life)
            self._keep(instance, source, heard)
        self._keep(instance, source, heard)

    def _keep(self, instance: int, source: str, heard: Heard) -> None:
        self._positions[instance, source] = heard
        self._process.reached(instance, source, heard.position)

    async def _resumed(self, instance: int, source: str) -> Heard:
        """Where one stopped, unless the log began a new life behind that: then where that began."""
        heard = await self._place(instance, source)
        stream = lives.stream(source, instance)
        began = [msgspec.json.decode(one.data, type=LifeBegan) for one in await self._read(instance, source, 0, stream)]
        known = [one.life for one in began]
        self._lives[instance, source] = frozenset(known)
        later = began[known.index(heard.life) + 1 :] if heard.life in known else began
        return Heard(min([heard.position, *(one.behind for one in later)]), known[-1] if known else "")

    async def _read(self, instance: int, source: str, after: int, stream: str = "") -> list[CloudEvent]:
        """The next events behind a position."""
        events: list[CloudEvent] = []
        async with aclosing(self._services.log(source, LogRequest(instance, after, READ_EVENTS, stream=stream))) as pieces:
            async for piece in pieces:
                events += piece
        return events

    def _begins_a_life(self, one: CloudEvent, instance: int, source: str) -> bool:
        """Of this log (that of the installation notes the lives of others too), and one that was not known when it was resumed."""
        if one.type != LIFE_BEGAN or one.stream != lives.stream(source, instance):
            return False
        return msgspec.json.decode(one.data, type=LifeBegan).life not in self._lives.get((instance, source), ())
