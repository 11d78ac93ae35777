"""A service as a process: its log, its batcher, its projector and relay, and what it answers on the bus.

Declared as data (``Service``), run by ``main``. Start: connect, migrate, answer commands, and answer queries once the tables have reached
the head that the log had. Stop: take no more requests, finish what came, close.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import msgspec
import structlog
import uvloop

from libs.bus.connection import Connection, connect
from libs.bus.live import EVERYBODY, REVIEW, SWITCHED, Live
from libs.bus.relay import Relay
from libs.bus.server import Request, Server
from libs.bus.subjects import Call, subject_name
from libs.contracts.auth.rights import DOWNSTREAM
from libs.domain.clock import SystemClock
from libs.domain.decider import CommandType
from libs.domain.errors import DomainError, Kind
from libs.domain.events import Recorded
from libs.domain.principal import Principal
from libs.eventstore.batcher import Batcher
from libs.eventstore.log import LOST, Log, LogUnreachable
from libs.eventstore.migrate import migrate
from libs.projections.declare import Projection
from libs.projections.projector import Projector
from libs.projections.skips import SKIP
from libs.projections.tables import Tables
from libs.runtime import databases, logs
from libs.runtime.config import Settings
from libs.runtime.dispatcher import Dispatcher, decoded, principal_of
from libs.runtime.lives import BEGIN_LIFE
from libs.runtime.log_reading import LogRequest, selected
from libs.runtime.lookups import Lookups
from libs.runtime.measures import Exposition, OpenWork, ProcessMeasures, Pulse, ServiceMeasures
from libs.runtime.operations import LAG_MAX_EVENTS, Health, Operations, Waits
from libs.runtime.processes import EVERY_INSTANCE, RETRY, Process, Processes, Retry
from libs.runtime.publishing import PublishedLog, rendered
from libs.runtime.spans import open_spans, trace_in

log = structlog.get_logger(__name__)

COMMANDS_REMEMBERED = timedelta(days=7)
REFUSALS_REMEMBERED = timedelta(minutes=15)  # an attempt at a command lives for seconds
HOUSEKEEPING_EVERY_S = 900.0
LEADER_LOOK_S = 0.25
LEADERS_STATUS = "leaders_status"  # answered by the replica that leads
READY_WITHIN_S = 60.0
DRAIN_WITHIN_S = 2.0
GC_THRESHOLDS = (20_000, 20, 20)  # allocations; a command makes a few hundred that die young
STREAM_PIECE_BYTES = 64 * 1024


class Ask(msgspec.Struct, frozen=True):
    """A query as its handler gets it."""

    principal: Principal
    body: Any
    tables: Tables

    @property
    def instance(self) -> int:
        return self.principal.instance


class Query(msgspec.Struct, frozen=True):
    """``qry.<service>.<name>``: answered once with whatever ``answer`` returns, or piece by piece if it is a stream."""

    name: str
    body: Any
    answer: Callable[[Ask], Any]
    permission: str = ""
    stream: bool = False


class Service(msgspec.Struct, frozen=True):
    """What a service is made of. ``extend`` adds what does not fit the pattern (auth's passwords) to the running host;
    ``doors``: the commands and queries it adds, each with the permission it needs (empty: none) and whether that is one for writing."""

    name: str
    commands: Sequence[CommandType] = ()
    projections: Sequence[Projection] = ()
    queries: Sequence[Query] = ()
    extend: Callable[[Host], Awaitable[None]] | None = None
    doors: Mapping[str, tuple[str, bool]] = msgspec.field(default_factory=dict)


class Host:
    """A running service. Its databases are the installation's two unless it is told others."""

    def __init__(self, service: Service, settings: Settings, *, log_dsn: str = "", read_dsn: str = "") -> None:
        self.service = service
        self.settings = settings
        self.log_dsn = log_dsn or databases.log_dsn(settings.postgres_dsn)
        self.read_dsn = read_dsn or databases.read_dsn(settings.postgres_dsn)
        self.log = Log(self.log_dsn, service.name)
        self.tables = Tables(self.read_dsn, service.name)
        self.batcher = Batcher(self.log)
        self.projector = Projector(self.read_dsn, service.name, service.projections, self.log, self._announce, self._switched)
        self._commands = (*service.commands, SKIP, BEGIN_LIFE)
        self.processes = Processes()
        self.dispatcher = Dispatcher(self._commands, self.batcher, self.projector, Lookups(self.tables, self.log), self._appended)
        self.connection: Connection
        self.server: Server
        self.live: Live
        self.relay: Relay
        self.works: dict[str, Callable[[], OpenWork]] = {}
        self.pulse = Pulse()
        self.operations: Operations
        self._tasks: list[asyncio.Task[None]] = []
        self._relaying = False
        self._verbose = settings.log_level == "debug"
        self.spans = open_spans(settings, service.name)
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Keeps ``work`` running until the service stops."""
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    def on_stop(self, close: Callable[[], Awaitable[None]]) -> None:
        self._closers.append(close)

    async def start(self) -> None:
        name = self.service.name
        await migrate(self.log_dsn, name)
        await self.log.open()
        await self.tables.open()
        self.connection = await connect(self.settings.nats_url, name=name)
        self.live = Live(self.connection)
        self.server = Server(self.connection, name, begun=self._follow)
        published, replicas = PublishedLog(name, self.log), self.settings.stream_replicas
        self.relay = Relay(self.connection, name, published, guard=published, replicas=replicas, kept=self.settings.streams_kept)
        self.batcher.start()
        self.projector.start()
        await self.live.on_poke(name, lambda poke: self._poked(poke.instance, poke.head))
        await self.live.subscribe(name, "projected", self._projected)
        await self.live.subscribe(name, REVIEW, lambda _: self.projector.review())
        await self.live.subscribe(name, RETRY, lambda payload: self.processes.retry(msgspec.msgpack.decode(payload, type=Retry)))
        await self.live.subscribe(EVERYBODY, SWITCHED, lambda _: self.tables.forget_revisions())
        async with asyncio.timeout(READY_WITHIN_S):
            await self.projector.ready.wait()
        for command in self._commands:
            self.server.register(Call.COMMAND, subject_name(command.name), partial(self.dispatcher.serve, command.name))
        for query in self.service.queries:
            if query.stream:
                self.server.register_stream(subject_name(query.name), partial(self._stream, query))
            else:
                self.server.register(Call.QUERY, subject_name(query.name), partial(self._answer, query))
        self.server.register(Call.QUERY, "status", self._status)
        self.server.register_stream("log", self._read_log)
        if self.service.extend is not None:
            await self.service.extend(self)
        await self.server.start()
        await self._tell_operators()
        self.run(self._relay_while_leading())
        self.run(self._keep_house())

    async def _tell_operators(self) -> None:
        self.pulse.start()
        measures = ServiceMeasures(self)
        exposition = Exposition(ProcessMeasures(self.service.name, self.pulse, self.connection), measures)
        self.operations = Operations(self.settings, exposition, Health(self.pulse, self._waits))
        await self.operations.start()
        self.run(measures.watch_postgres())

    async def stop(self) -> None:
        await self.operations.stop()
        await self.pulse.stop()
        if self.spans is not None:
            await self.spans.stop()
        await self.server.drain(DRAIN_WITHIN_S)
        await self.batcher.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.projector.stop()
        for close in self._closers:
            await close()
        await self.log.close()
        await self.tables.close()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(0.5):
                await self.connection.close()

    # between the parts

    def _appended(self, events: Sequence[Recorded]) -> None:
        instance, head = events[0].instance, events[-1].position
        self.relay.poke(instance)
        if not self.projector.leading:
            self.live.poke(self.service.name, instance, head)

    def _poked(self, instance: int, head: int) -> None:
        self.projector.poke(instance, head)
        if self.projector.leading:
            self.relay.poke(instance)

    async def _announce(self, positions: Mapping[int, int]) -> None:
        self.live.publish(self.service.name, "projected", msgspec.msgpack.encode(positions))

    def _switched(self) -> None:
        self.tables.forget_revisions()
        self.live.publish(EVERYBODY, SWITCHED, b"")

    def _projected(self, payload: bytes) -> None:
        self.projector.projected(msgspec.msgpack.decode(payload, type=dict[int, int]))

    async def _relay_while_leading(self) -> None:
        """Any number of relays would be correct; one is enough."""
        running: asyncio.Task[None] | None = None
        leads_always = not self.service.projections
        try:
            while True:
                leads = self._relaying = self.projector.leading or leads_always
                if running is not None and running.done():
                    log.error("relay ended", service=self.service.name, error=repr(running.exception()))
                    running = None
                if leads and running is None:
                    running = asyncio.get_running_loop().create_task(self._lead())
                elif not leads and running is not None:
                    running.cancel()
                    running = None
                await asyncio.sleep(LEADER_LOOK_S)
        finally:
            if running is not None:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def _lead(self) -> None:
        """What one of all replicas does: it relays, and knows how far relay and projections are."""
        doors = Server(self.connection, self.service.name)
        doors.register(Call.QUERY, LEADERS_STATUS, self._status)
        await doors.start()
        try:
            await self.relay.run()
        finally:
            await doors.drain(0.0)

    async def _keep_house(self) -> None:
        process = self.processes.add(Process("housekeeping"))
        while True:
            try:
                now = SystemClock().now()
                await self.log.forget_commands(now - COMMANDS_REMEMBERED)
                await self.log.forget_refusals(now - REFUSALS_REMEMBERED)
                process.reached(EVERY_INSTANCE)
            except (LogUnreachable, asyncpg.PostgresError) as error:
                log.warning("housekeeping postponed", service=self.service.name, error=str(error))
                process.stopped(EVERY_INSTANCE, str(error))
            process.came_round()
            await process.rest(HOUSEKEEPING_EVERY_S)

    # what operators see

    def _follow(self, request: Request) -> Callable[[str], None] | None:
        """A request's task is its own, so its trace need not be taken back."""
        logs.trace_id.set(trace_in(request.trace))
        if self._verbose:
            log.debug("request", subject=request.subject, instance=request.instance)
        end = self.spans.begin_carried(request.subject, request.trace) if self.spans is not None else None
        return None if end is None else lambda outcome: end({"theke.outcome": outcome, "theke.instance": request.instance})

    @property
    def relaying(self) -> bool:
        """Whether this process copies the logs to JetStream."""
        return self._relaying

    async def _waits(self) -> list[Waits]:
        name = self.service.name
        waits = [] if self.connection.is_connected else [Waits("nats", "not connected")]
        if not self.projector.ready.is_set():
            waits.append(Waits(name, "query tables have not caught up since the start"))
        return [*waits, *lagging(name, self.projector.heads(), self.projector.status())]

    # answers

    def _asked(self, query: Query, request: Request) -> Ask:
        principal = principal_of(request)
        if not principal.may(query.permission, write=False):
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": query.permission})
        return Ask(principal, decoded(request.body, query.body), self.tables)

    async def _answer(self, query: Query, request: Request) -> bytes:
        return msgspec.msgpack.encode(await query.answer(self._asked(query, request)))

    async def _stream(self, query: Query, request: Request) -> AsyncGenerator[bytes, None]:
        """Items of a stream, gathered into pieces: each is a msgpack array that fits one chunk of the bus."""
        piece: list[bytes] = []
        size = 0
        async for items in query.answer(self._asked(query, request)):
            for item in items:
                encoded = msgspec.msgpack.encode(item)
                if piece and size + len(encoded) > STREAM_PIECE_BYTES:
                    yield _array(piece)
                    piece, size = [], 0
                piece.append(encoded)
                size += len(encoded)
        if piece:
            yield _array(piece)

    async def _status(self, _: Request) -> bytes:
        """What ``theke status`` shows of this service; no instance's data."""
        heads = await self.log.heads()
        relayed = {instance: {"position": s.position, "lag": s.lag, "state": str(s.state)} for instance, s in self.relay.status().items()}
        return msgspec.msgpack.encode(
            {
                "service": self.service.name,
                "pid": os.getpid(),
                "leading": self.projector.leading,
                "heads": heads,
                "relay": relayed,
                "projections": self.projector.status(),
                "processes": self.processes.told(),
                "queued": self.batcher.queued,
                "appends": self.batcher.batches,
                "commands": self.batcher.commands,
            }
        )

    async def _read_log(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The one read of a log that every service offers: rendered events as JSON lines. An empty line says that there was none in what
        has been looked through. Theke itself reads any log whole; all others what their own instance published, with the right to."""
        principal, wanted = principal_of(request), decoded(request.body, LogRequest)
        if principal.level != "system":
            if not principal.may(DOWNSTREAM, write=False):
                raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": DOWNSTREAM})
            wanted = msgspec.structs.replace(wanted, instance=principal.instance, published=True)
        async for rows in selected(self.log, wanted):
            yield b"".join(one.payload + b"\n" for one in rendered(self.service.name, rows)) or b"\n"


def _array(items: Sequence[bytes]) -> bytes:
    return msgspec.msgpack.encode([msgspec.Raw(item) for item in items])


def lagging(service: str, heads: Mapping[int, int], places: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[Waits]:
    """Projections too far behind their log. What is held waits for an operator, and keeps nobody else from being served."""
    waits = []
    for projection, by_instance in places.items():
        for instance, head in heads.items():
            place = by_instance.get(instance, {"position": 0, "held": None})
            if place["held"] is None and (lag := head - place["position"]) > LAG_MAX_EVENTS:
                waits.append(Waits(service, f"{projection} lags {lag} events behind in i{instance}"))
    return waits


def settle_memory() -> None:
    """What is loaded now lives as long as the process: the collector need not look at it again, and need not come so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def announce_ready(operations: str = "") -> None:
    """Tells the supervisor, if there is one, and where this process tells operators about itself."""
    descriptor = os.environ.get("THEKE_READY_FD")
    if descriptor:
        with contextlib.suppress(OSError):
            os.write(int(descriptor), f"{operations}\nready\n".encode())
            os.close(int(descriptor))


async def until_stopped(connection: Connection) -> None:
    """Returns at SIGTERM or SIGINT, or when the bus was closed for good: then the supervisor starts this process anew."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    waits = [loop.create_task(stopped.wait()), loop.create_task(connection.closed.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _serve(service: Service, settings: Settings) -> None:
    host = Host(service, settings)
    await host.start()
    settle_memory()
    announce_ready(host.operations.address)
    log.info("ready", service=service.name, pid=os.getpid())
    await until_stopped(host.connection)
    await host.stop()


def main(service: Service) -> None:
    """``python -m services.<name>``"""
    settings = Settings.from_env(os.environ)
    logs.configure(service.name, settings.log_level)
    try:
        uvloop.run(_serve(service, settings))
    except (DomainError, *LOST) as error:
        log.error("cannot start", service=service.name, error=str(error) or type(error).__name__)
        raise SystemExit(1) from error
