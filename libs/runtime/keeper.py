"""The keeper: sees to it that every log has its stream, and every instance an account with mirrors for downstream systems.

It acts with the operator's user, because services may not declare streams. It runs in the supervisor, or as a container of its own, and
remembers nothing: what there should be is looked up when it starts, when an instance is made, when a service asks, and after the bus was
gone. Two keepers at once do no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol
from urllib.parse import urlsplit, urlunsplit

import msgspec
import structlog

from libs.bus import accounts, subjects
from libs.bus.client import Client
from libs.bus.connection import Connection, connect
from libs.bus.inbox import Inbox
from libs.bus.jetstream import JetStream
from libs.bus.server import Request, Server
from libs.bus.streams import KEEPER, REMOVED, STREAM, LifeOf, LogOf, OwnStreams, Removal, RemovalOf, life_of
from libs.bus.subjects import Call
from libs.contracts.asks import ASKS
from libs.contracts.auth.commands import Instance, NoBody
from libs.contracts.auth.events import INSTALLATION, InstanceCreated
from libs.domain.errors import DomainError, conflict, not_found, unavailable
from libs.domain.ids import instance_token
from libs.domain.principal import system
from libs.runtime import logs
from libs.runtime.asking import Services
from libs.runtime.bus_key import BusKey
from libs.runtime.config import Settings
from libs.runtime.measures import Exposition, ProcessMeasures, Pulse
from libs.runtime.operations import Health, Operations, Waits
from libs.runtime.service import announce_ready, until_stopped

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 15.0
PAUSE_S: Final = 0.5  # after a failure; doubles up to LOOK_EVERY_S
SAID_AFTER_FAILURES: Final = 3
ASK_WITHIN_S: Final = 5.0
SILENT: Final = "jetstream_silent"
ADMIT_TRIES: Final = 10
ADMIT_PAUSE_S: Final = 0.1
ADMITTED_WITHIN_S: Final = 2.0  # a server that was told of an account lets its users in at once
CLOSE_WITHIN_S: Final = 0.5

NAME_SHOWN_CHARS: Final = 50
AUTH: Final = "auth"


class Bus(Protocol):
    """Where the keeper works. ``url_of``: the address for a user of an instance's account."""

    @property
    def url(self) -> str: ...

    def url_of(self, user: str) -> str: ...

    def admitted(self) -> Sequence[int]:
        """The instances that the server was last told of, as far as that is known here."""
        ...

    async def admit(self, instances: Sequence[int]) -> None:
        """Let the server have accounts for these instances; again if it did not take notice the first time."""
        ...


class ForeignBus:
    """A server that others configure, with what ``theke downstream config`` prints."""

    def __init__(self, url: str, key: BusKey) -> None:
        self.url = url
        self._key = key

    def url_of(self, user: str) -> str:
        return as_user(self.url, user, self._key.password(user))

    def admitted(self) -> Sequence[int]:
        return ()

    async def admit(self, _: Sequence[int]) -> None:
        """That is for whoever runs the server."""


def as_user(url: str, user: str, password: str) -> str:
    """The same server, or servers of a cluster with commas between them, for somebody else; without a user, for nobody."""
    login = f"{user}:{password}@" if user else ""
    servers = map(urlsplit, url.split(","))
    return ",".join(urlunsplit(parts._replace(netloc=login + parts.netloc.rpartition("@")[2])) for parts in servers)


class Keeper:
    """``run`` until cancelled. ``mirrored``: the instances whose mirrors are known to be there."""

    def __init__(self, bus: Bus, *, replicas: int = 1) -> None:
        """``replicas``: servers of a cluster that hold each stream."""
        self._bus = bus
        self._replicas = replicas
        self._instances: frozenset[int] = frozenset()  # that have an account
        self._known: frozenset[int] = frozenset()  # when they were listed last
        self._removed: frozenset[int] = frozenset()  # neither name nor id is given again
        self._declared: set[tuple[str, int]] = set()
        self.mirrored: frozenset[int] = frozenset()
        self._era = 0
        self._wake = asyncio.Event()
        self._failures = 0
        self._services: Services
        self._streams: OwnStreams

    async def run(self) -> None:
        """Over one connection after the other, should one be given up for good."""
        while True:
            async with self.serving() as connection:
                await connection.closed.wait()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Connection]:
        """It works, and answers services, over this connection."""
        connection = await self._connected()
        server = Server(connection, KEEPER)
        work: asyncio.Task[None] | None = None
        try:
            await self._answer_over(connection, server)
            work = asyncio.create_task(self._for_ever())
            yield connection
        finally:
            if work is not None:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
            with contextlib.suppress(Exception):
                await server.drain(CLOSE_WITHIN_S)
            await _left(connection)

    async def _answer_over(self, connection: Connection, server: Server) -> None:
        client, inbox = Client(connection), Inbox(connection)
        await client.open()
        await inbox.open()
        self._services, self._streams = Services(client), OwnStreams(JetStream(connection, inbox), self._replicas)
        self._instances |= frozenset(self._bus.admitted())
        self._forget()
        connection.when_lost(self._forget)
        created = subjects.published(AUTH, INSTALLATION, *InstanceCreated.TYPE.split("."))
        await connection.listen(created, lambda *_: self._wake.set())
        server.register(Call.QUERY, STREAM, self._stream)
        server.register(Call.QUERY, REMOVED, self._removal)
        for service in ASKS:
            server.register(Call.QUERY, life_of(service), partial(self._life, service))
        await server.start()

    async def _connected(self) -> Connection:
        while True:
            try:
                return await connect(self._bus.url, name=KEEPER)
            except DomainError as absence:
                self._fails(absence)

    def _forget(self) -> None:
        """The server that answers next may have lost everything."""
        self._era += 1
        self._declared.clear()
        self.mirrored = frozenset()
        self._wake.set()

    async def _for_ever(self) -> None:
        pause = PAUSE_S
        while True:
            self._wake.clear()
            try:
                await self.look()
                self._failures, pause = 0, LOOK_EVERY_S
            except Exception as error:  # whatever it is, tills go on, and so does the next look
                pause = min(pause * 2, LOOK_EVERY_S) if self._failures else PAUSE_S
                self._fails(error)
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _fails(self, error: Exception) -> None:
        """Said once, and not when a start or a new instance takes its moment."""
        self._failures += 1
        if self._failures == SAID_AFTER_FAILURES:
            log.warning("keeper_waits", error=str(error) or repr(error))

    async def _stream(self, request: Request) -> bytes:
        """Where the stream of a log ends, as a relay asks. Raises ``not_found`` for a log that there cannot be."""
        asked = msgspec.msgpack.decode(request.body, type=LogOf)
        known = asked.instance == INSTALLATION or asked.instance in self._known or asked.instance in await self._listed()
        if asked.service not in ASKS or not known:
            raise not_found("instance_not_found", id=f"{asked.service[:NAME_SHOWN_CHARS]} {instance_token(asked.instance)}")
        end = await self._streams.declared(asked.service, asked.instance)
        self._declared.add((asked.service, asked.instance))
        return msgspec.msgpack.encode(end)

    async def _life(self, service: str, request: Request) -> bytes:
        """Replaces the stream of a log, and the mirror with it: what that holds of the life before must not pass for what follows. Its
        consumers end, and downstream systems begin anew where the event ``log.life_began`` says."""
        asked = msgspec.msgpack.decode(request.body, type=LifeOf)
        await self._streams.begun(service, asked.instance, asked.life)
        if asked.instance in self._instances:  # it has an account
            async with self._within(asked.instance) as jetstream:
                await jetstream.delete(accounts.mirror_of(service))
            self.mirrored -= {asked.instance}
            self._wake.set()
        return b""

    async def _removal(self, request: Request) -> bytes:
        """Removes the mirrors of an instance that was removed, then its account. Asked again, it finds nothing. Raises ``instance_open``
        for one that is still there."""
        instance = msgspec.msgpack.decode(request.body, type=RemovalOf).instance
        if instance == INSTALLATION or instance in await self._listed():
            raise conflict("instance_open", id=instance_token(instance))
        self._removed |= {instance}
        if instance not in self._instances:  # what there was before may have been left lying
            await self._bus.admit(sorted(self._instances | {instance}))
        mirrors = await self._unmirrored(instance)
        self._instances -= {instance}
        await self._bus.admit(sorted(self._instances))
        return msgspec.msgpack.encode(Removal(mirrors))

    async def _unmirrored(self, instance: int) -> int:
        """How many mirrors of an instance there were. An account that is merely dropped leaves them on the server's disk, as it must: an
        instance that is not listed for a moment, since a table is made anew, has not been removed."""
        async with self._within(instance) as jetstream:
            there = [service for service in ASKS if await jetstream.info(accounts.mirror_of(service)) is not None]
            for service in there:
                await jetstream.delete(accounts.mirror_of(service))
        self.mirrored -= {instance}
        log.info("downstream_removed", instance=instance, mirrors=len(there))
        return len(there)

    @asynccontextmanager
    async def _within(self, instance: int) -> AsyncIterator[JetStream]:
        """JetStream of an instance's account."""
        connection = await connect(self._bus.url_of(accounts.keeper(instance).name), name=KEEPER, within=ADMITTED_WITHIN_S)
        try:
            inbox = Inbox(connection)
            await inbox.open()
            yield JetStream(connection, inbox)
        finally:
            await _left(connection)

    async def _listed(self) -> frozenset[int]:
        asker = system(INSTALLATION, KEEPER)
        found = await self._services.query(AUTH, "instance.list", NoBody(), list[Instance], principal=asker, deadline=ASK_WITHIN_S)
        self._known = frozenset(instance.id for instance in found)
        return self._known

    async def wanted(self) -> frozenset[int]:
        """The instances that shall have an account."""
        return await self._listed()

    async def look(self) -> None:
        """Makes what is missing. Raises DomainError if it cannot."""
        era = self._era
        instances = await self.wanted() - self._removed
        if instances != self._instances:
            await self._bus.admit(sorted(instances))
            self._instances = instances
        for log_ in [(AUTH, INSTALLATION), *((service, instance) for instance in sorted(instances) for service in ASKS)]:
            if era == self._era and log_ not in self._declared:
                await self._streams.declared(*log_)
                self._declared.add(log_)
        for instance in sorted(instances - self.mirrored):
            await self._mirror(instance)
            if era != self._era:  # the bus was gone meanwhile: what was found before may be lost
                raise unavailable("connection_lost")
            self.mirrored |= {instance}

    async def _mirror(self, instance: int) -> None:
        async with self._within(instance) as jetstream:
            await self._imported(jetstream, instance)
            for service in ASKS:
                await jetstream.declare(accounts.mirror_config(service, instance, replicas=self._replicas))
        log.info("downstream_ready", instance=instance)

    async def _imported(self, jetstream: JetStream, instance: int) -> None:
        """Waits until the account reaches the log's streams. A server that is told of a new account while it runs takes it in at once, but
        what the account imports only when it is told once more. One that is merely busy, as after a restart with many streams, is not told
        again: that would give it more to do. Raises ``unavailable``."""
        needed = ("$JS.API.STREAM.NAMES", *(accounts.origin_info(service, instance) for service in ASKS))
        for tried in range(1, ADMIT_TRIES + 1):
            lacking = await self._lacking(jetstream, needed)
            if not lacking:
                return
            if lacking != SILENT or tried == ADMIT_TRIES // 2:
                await self._bus.admit(sorted(self._instances))
            await asyncio.sleep(ADMIT_PAUSE_S)
        raise unavailable(SILENT)

    async def _lacking(self, jetstream: JetStream, needed: Sequence[str]) -> str:
        """Why one of these is not answered, the first that is not; empty if all are."""
        for subject in needed:
            if why := await jetstream.unreached(subject):
                return why
        return ""


async def _left(connection: Connection) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await connection.close()


def main() -> None:
    """``python -m libs.runtime.keeper``: where the servers are one's own, beside the services."""
    settings = Settings.from_env(os.environ)
    logs.configure(KEEPER, settings.log_level)
    bus = ForeignBus(settings.nats_url, BusKey.kept_in(settings.bus_key))
    asyncio.run(_serve(Keeper(bus, replicas=settings.stream_replicas), settings))


async def _serve(keeper: Keeper, settings: Settings) -> None:
    pulse = Pulse()
    async with keeper.serving() as connection:
        pulse.start()

        async def waits() -> list[Waits]:
            return [] if connection.is_connected else [Waits("nats", "not connected")]

        operations = Operations(settings, Exposition(ProcessMeasures(KEEPER, pulse, connection)), Health(pulse, waits))
        await operations.start()
        announce_ready(operations.address)
        await until_stopped(connection)
        await operations.stop()
        await pulse.stop()


if __name__ == "__main__":
    main()
