"""Sending what services publish to the endpoints that want it, by the one process of auth that leads.

An endpoint has a task of its own: it reads the logs behind its place, sends one event after the other, and waits until there is more. What
is published is only a hint that there is; heads of logs are looked at now and then, so nothing depends on hints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Final
from uuid import uuid4

import structlog

from libs.bus import subjects
from libs.domain.decider import Command
from libs.domain.errors import DomainError
from libs.domain.principal import system
from libs.runtime.asking import Services
from libs.runtime.log_reading import LogRequest
from libs.runtime.publishing import CloudEvent
from libs.runtime.service import Host
from services.auth.webhooks.courier import Courier, Stopped
from services.auth.webhooks.endpoints import END, ENDPOINTS, STREAM, EndEndpoint, Endpoint, folded
from services.auth.webhooks.measures import FAILING_SECONDS
from services.auth.webhooks.places import Overtaken, Place, Places

log = structlog.get_logger(__name__)

READ_EVENTS: Final = 100  # of one service, before the next has its turn
PASSED_OVER_MAX: Final = 1_000  # positions without anything to send, before it is noted that they were looked at
LOOK_EVERY_S: Final = 10.0  # when no hint comes
LOOK_WITHIN_S: Final = 3.0
PAUSE_S: Final = 1.0  # after a failure of Theke's own, and while another process leads
END_WITHIN_S: Final = 10.0
SENDING_MAX: Final = 50  # requests under way at once

Key = tuple[int, str]  # instance, endpoint


class _Worker:
    """An endpoint as it was at its version. ``behind``: services in which there may be something to send; ``positions``: how far it is."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.behind = set(endpoint.services)
        self.positions: Mapping[str, int] = {}
        self.news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def hint(self, service: str) -> None:
        if service in self.endpoint.services:
            self.behind.add(service)
            self.news.set()


class Deliveries:
    """``sources``: the services whose events may be sent."""

    def __init__(self, host: Host, services: Services, places: Places, courier: Courier, sources: Sequence[str]) -> None:
        self._host = host
        self._services = services
        self._places = places
        self._courier = courier
        self._sources = tuple(sources)
        self._workers: dict[int, dict[str, _Worker]] = {}
        self._wake = asyncio.Event()

    async def start(self) -> None:
        FAILING_SECONDS.set_function(self._courier.failing_s)
        for source in self._sources:
            await self._host.connection.listen(subjects.published_of(source), self._published)
        await self._host.connection.listen(subjects.internal_of(self._host.service.name, ENDPOINTS.name), lambda *_: self._wake.set())
        self._host.run(self._until_stopped())

    def _published(self, subject: str, _reply: str, _payload: bytes, _header: bytes) -> None:
        _, source, instance, *_ = subject.split(".")
        for worker in self._workers.get(int(instance[1:]), {}).values():
            worker.hint(source)

    # which endpoints there are

    async def _until_stopped(self) -> None:
        try:
            await self._for_ever()
        finally:
            await self._stop()

    async def _for_ever(self) -> None:
        leads = False
        while True:
            self._wake.clear()
            led, leads = leads, self._host.projector.leading
            try:
                if leads:
                    await self._review(first=not led)
                elif led:
                    await self._stop()
            except DomainError as error:
                log.warning("webhooks cannot be looked at", error=str(error))
            except Exception:  # a newer process wrote what this one does not know: what runs goes on as it is
                log.exception("webhooks cannot be looked at")
            try:
                async with asyncio.timeout(LOOK_EVERY_S if leads else PAUSE_S):
                    await self._wake.wait()
            except TimeoutError:
                if leads:
                    await asyncio.gather(*map(self._look_at, self._sources))

    async def _review(self, *, first: bool) -> None:
        """A task for every endpoint that is active, as it is now; none for the others."""
        known = folded(await self._host.log.read_stream_everywhere(STREAM))
        there = {(instance, key): one for instance, endpoints in known.items() for key, one in endpoints.items()}
        running = {(instance, key): worker for instance, workers in self._workers.items() for key, worker in workers.items()}
        await self._end(key for key, worker in running.items() if key not in there or there[key].version != worker.endpoint.version)
        for key in {*running, *(await self._places.known() if first else ())} - there.keys():
            await self._places.forget(*key)
        for (instance, key), endpoint in there.items():
            workers = self._workers.setdefault(instance, {})
            if endpoint.active and key not in workers:
                worker = workers[key] = _Worker(endpoint)
                worker.task = asyncio.get_running_loop().create_task(self._work(instance, worker))

    async def _end(self, keys: Iterable[Key]) -> None:
        ending = tuple(keys)
        tasks = [task for instance, key in ending if (task := self._workers[instance].pop(key).task) is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for instance, key in ending:
            self._courier.forget(instance, key)

    async def _stop(self) -> None:
        await self._end([(instance, key) for instance, workers in self._workers.items() for key in workers])

    async def _look_at(self, source: str) -> None:
        """Finds what is behind without a hint."""
        if not any(self._workers.values()):
            return
        try:
            heads = await self._services.heads(source, deadline=LOOK_WITHIN_S)
        except DomainError as error:
            log.warning("cannot look for what is to be sent", source=source, error=str(error))
            return
        for instance, workers in self._workers.items():
            for worker in workers.values():
                if heads.get(instance, 0) > worker.positions.get(source, 0):
                    worker.hint(source)

    # one endpoint

    async def _work(self, instance: int, worker: _Worker) -> None:
        endpoint = worker.endpoint
        told = {"instance": instance, "webhook": endpoint.key}
        while True:
            try:
                place = await self._places.begin(instance, endpoint)
                worker.behind.update(endpoint.services)
                while True:
                    worker.news.clear()
                    place = await self._send_all(instance, worker, place)
                    await worker.news.wait()
            except Stopped as stopped:
                log.warning("webhook ended", reason=stopped.reason, **told)
                if await self._ended(instance, endpoint, stopped):
                    return
            except Overtaken:
                log.info("another process sends to this webhook", **told)
            except DomainError as error:
                log.warning("webhook postponed", error=str(error), **told)
            except Exception:
                log.exception("webhook postponed", **told)
            await asyncio.sleep(PAUSE_S)

    async def _ended(self, instance: int, endpoint: Endpoint, stopped: Stopped) -> bool:
        """Whether it could be written down; an endpoint that was changed meanwhile gets another task."""
        body = EndEndpoint(key=endpoint.key, reason=stopped.reason, version=endpoint.version)
        command = Command(uuid4(), self._courier.now(), system(instance, self._host.service.name), body)
        try:
            await self._host.dispatcher.execute(END, command, timeout=END_WITHIN_S)
        except DomainError as error:
            log.warning("webhook could not be ended", instance=instance, webhook=endpoint.key, error=str(error))
            return False
        self._wake.set()
        return True

    async def _send_all(self, instance: int, worker: _Worker, place: Place) -> Place:
        """Everything there is to send, a batch of each service in turn."""
        while worker.behind:
            for service in sorted(worker.behind):
                worker.behind.discard(service)
                place, more = await self._send_some(instance, worker.endpoint, place, service)
                worker.positions = {of: start.after for of, start in place.starts.items()}
                if more:
                    worker.behind.add(service)
        return place

    async def _send_some(self, instance: int, endpoint: Endpoint, place: Place, service: str) -> tuple[Place, bool]:
        """A batch of one service, and whether there may be more."""
        after = place.position_of(service)
        head = (await self._services.heads(service, deadline=LOOK_WITHIN_S)).get(instance, 0)
        if head < after:
            log.error(
                "a log ends before what was sent of it", instance=instance, webhook=endpoint.key, service=service, sent=after, head=head
            )
        if head <= after:
            return place, False
        events = await self._read(LogRequest(instance, after, READ_EVENTS, head, endpoint.types, published=True), service)
        for event in events:
            if not self._host.projector.leading:
                raise Overtaken
            place = await self._courier.deliver(instance, endpoint, place, service, event)
        if len(events) == READ_EVENTS:
            return place, True
        place = place.passed(service, head)
        if place.unnoted >= PASSED_OVER_MAX:
            place = await self._places.pass_over(instance, endpoint.key, place)
        return place, False

    async def _read(self, wanted: LogRequest, service: str) -> list[CloudEvent]:
        events: list[CloudEvent] = []
        async with aclosing(self._services.log(service, wanted)) as pieces:
            async for piece in pieces:
                events += piece
        return events
