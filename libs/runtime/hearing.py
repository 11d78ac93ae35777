"""Hearing what other services' logs say: every event of an instance once and in order, from the place where one stopped.

Published events are only a hint that there is something new; what is heard is read from the log itself, so nothing is missed and nothing
comes twice. The place is kept by whoever hears, in the append that holds what was made of an event: no rebuild of tables moves it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

import structlog

from libs.bus import subjects
from libs.bus.client import Client
from libs.domain.errors import DomainError
from libs.eventstore.log import LogUnreachable
from libs.runtime.asking import Services
from libs.runtime.log_reading import LogRequest
from libs.runtime.publishing import CloudEvent
from libs.runtime.service import Host

log = structlog.get_logger(__name__)

READ_EVENTS: Final = 100  # at once
LOOK_EVERY_S: Final = 15.0  # when no hint comes
LOOK_WITHIN_S: Final = 3.0
PAUSE_S: Final = 1.0  # after a failure

Feed = tuple[int, str]  # instance, source
Place = Callable[[int, str], Awaitable[int]]
Handle = Callable[[int, str, Sequence[CloudEvent]], Awaitable[None]]


class Hearing:
    """``place(instance, source)``: the position behind which to go on; ``handle(instance, source, events)``: what is made of the next
    events. What it raises stops that feed until the next look, and is tried again then; other feeds go on. One process of a service
    hears, the one that leads."""

    def __init__(self, host: Host, sources: Sequence[str], place: Place, handle: Handle) -> None:
        self._host = host
        self._sources = tuple(sources)
        self._place = place
        self._handle = handle
        self._client = Client(host.connection)
        self._services = Services(self._client)
        self._positions: dict[Feed, int] = {}
        self._behind: set[Feed] = set()
        self._wake = asyncio.Event()

    async def start(self) -> None:
        await self._client.open()
        self._host.on_stop(self._client.close)
        for source in self._sources:
            await self._host.connection.listen(subjects.published_of(source), self._hinted)
        self._host.run(self._for_ever())

    def _hinted(self, subject: str, _reply: str, _payload: bytes, _header: bytes) -> None:
        _, source, instance, *_ = subject.split(".")
        self._behind.add((int(instance[1:]), source))
        self._wake.set()

    async def _for_ever(self) -> None:
        leads = False
        while True:
            led, leads = leads, self._host.projector.leading
            if leads and not led:
                self._positions.clear()  # somebody else heard meanwhile
                await self._look()
            if leads:
                await self._catch_up()
            else:
                self._behind.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK_EVERY_S if leads else PAUSE_S)
                self._wake.clear()
            except TimeoutError:
                if leads:
                    await self._look()

    async def _look(self) -> None:
        """Finds what is behind without a hint."""
        await asyncio.gather(*map(self._look_at, self._sources))

    async def _look_at(self, source: str) -> None:
        try:
            heads = await self._services.heads(source, deadline=LOOK_WITHIN_S)
        except DomainError as error:
            log.warning("cannot hear", source=source, error=str(error))
            return
        self._behind |= {(instance, source) for instance, head in heads.items() if head > self._positions.get((instance, source), 0)}

    async def _catch_up(self) -> None:
        feeds, self._behind = sorted(self._behind), set()
        for instance, source in feeds:
            try:
                await self._follow(instance, source)
            except (DomainError, LogUnreachable) as error:
                log.warning("hearing postponed", instance=instance, source=source, error=str(error))
                self._positions.pop((instance, source), None)
            except Exception:
                log.exception("hearing stopped", instance=instance, source=source)
                self._positions.pop((instance, source), None)

    async def _follow(self, instance: int, source: str) -> None:
        position = self._positions.get((instance, source))
        if position is None:
            position = await self._place(instance, source)
        while events := await self._read(instance, source, position):
            await self._handle(instance, source, events)
            position = events[-1].position
            self._positions[instance, source] = position
        self._positions[instance, source] = position

    async def _read(self, instance: int, source: str, after: int) -> list[CloudEvent]:
        """The next events behind a position."""
        events: list[CloudEvent] = []
        async with aclosing(self._services.log(source, LogRequest(instance, after, READ_EVENTS))) as pieces:
            async for piece in pieces:
                events += piece
        return events
