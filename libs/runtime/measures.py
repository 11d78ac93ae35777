"""What a process measures of itself and of its service, gathered when somebody asks. Nothing is counted for it twice: it reads what the
parts keep anyway. Only numbers of instances that fit a bound become labels of their own; all others are in the sums.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec
import structlog
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.bus.client import ClientCounts
from libs.bus.connection import Connection
from libs.bus.relay import State
from libs.domain.errors import DomainError
from libs.domain.ids import instance_token
from libs.eventstore.log import LOST

if TYPE_CHECKING:
    from libs.runtime.service import Host

log = structlog.get_logger(__name__)

INSTANCES_SHOWN_MAX: Final = 50  # with series of their own, those with the lowest numbers
POSTGRES_EVERY_S: Final = 15.0
POSTGRES_WITHIN_S: Final = 5.0
BEAT_EVERY_S: Final = 0.25
BEATS_REMEMBERED_S: Final = 30.0
STANDSTILL_S: Final = 0.2  # so late a busy process seldom comes
WAKING_S: Final = 0.5  # so long after a standstill it may be reading what came meanwhile

OLDEST_SQL: Final = """select coalesce(extract(epoch from max(clock_timestamp() - xact_start)), 0)::float8 as oldest,
  (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8 as wal from pg_stat_activity where pid <> pg_backend_pid()"""
DEAD_SQL: Final = "select coalesce(sum(n_dead_tup), 0)::float8 from pg_stat_user_tables where schemaname = $1"

SERVICE: Final = ("service",)


class Family(msgspec.Struct, frozen=True):
    """A metric that is found when somebody asks; a counter if its name ends in ``_total``, else a gauge."""

    what: str
    labels: tuple[str, ...] = ()


FAMILIES: Final[Mapping[str, Family]] = {
    "theke_loop_late_seconds": Family("The longest standstill of the process's event loop in the last 30 s.", SERVICE),
    "theke_bus_connected": Family("1 while NATS is connected.", SERVICE),
    "theke_bus_reconnects_total": Family("Times NATS was connected anew.", SERVICE),
    "theke_bus_asked_total": Family("Requests to services, by what happened on the way.", ("service", "what")),
    "theke_append_queue_commands": Family("Commands waiting for the next append.", SERVICE),
    "theke_log_instances": Family("Instances that have events in this service's log.", SERVICE),
    "theke_log_events": Family("Events in the logs of all instances.", SERVICE),
    "theke_log_head_position": Family(f"The newest position of a log, for the first {INSTANCES_SHOWN_MAX}.", ("service", "instance")),
    "theke_relay_leader": Family("1 in the process that copies the logs to JetStream.", SERVICE),
    "theke_relay_lag_events": Family("Events that are not in JetStream yet, of all instances.", SERVICE),
    "theke_relay_lag_seconds": Family("How long the oldest of them has waited.", SERVICE),
    "theke_relay_copies": Family("Copies in JetStream by their state.", ("service", "state")),
    "theke_relay_published_total": Family("Events published to JetStream.", SERVICE),
    "theke_relay_windows_total": Family("Windows of events that were acknowledged.", SERVICE),
    "theke_relay_conflicts_total": Family("Windows refused: another relay was there first.", SERVICE),
    "theke_relay_resyncs_total": Family("Times a stream had to be looked at again.", SERVICE),
    "theke_relay_tail_regressions_total": Family("Times a stream was found to have lost its tail.", SERVICE),
    "theke_projector_leader": Family("1 in the process that writes the query tables.", SERVICE),
    "theke_projection_position_events": Family("Events that are in the tables, of all instances.", ("service", "projection")),
    "theke_projection_lag_events": Family("Events not in the tables, of the instance furthest behind.", ("service", "projection")),
    "theke_projection_held_instances": Family("Instances held by an event that cannot be projected.", ("service", "projection")),
    "theke_rebuild_folded_events": Family("Events folded so far into tables that are being rebuilt.", ("service", "tables")),
    "theke_requests_open": Family("Requests from the bus being worked on.", SERVICE),
    "theke_requests_total": Family("Requests from the bus, by what became of them.", ("service", "outcome")),
    "theke_processes_open": Family("What a process of the trade began and did not end.", ("service", "process")),
    "theke_processes_oldest_open_seconds": Family("Age of the oldest of them.", ("service", "process")),
    "theke_processes_retries_total": Family("Steps that had to be tried again.", ("service", "process")),
    "theke_processes_overdue": Family("Those that should have been over.", ("service", "process")),
    "theke_postgres_oldest_transaction_seconds": Family("Age of the oldest transaction that this service's user can see.", SERVICE),
    "theke_postgres_wal_bytes_total": Family("Write-ahead log of the whole server since it was made.", SERVICE),
    "theke_postgres_dead_rows": Family("Dead rows in this service's tables.", ("service", "database")),
}


class Pulse:
    """Whether the event loop turns: a timer that notes how late it comes."""

    def __init__(self) -> None:
        self._beat = time.monotonic()
        self._worst = 0.0
        self._worst_at = 0.0
        self._woke = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._beat = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="pulse")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(BEAT_EVERY_S)
            self._note(time.monotonic())

    def _note(self, now: float) -> None:
        late = max(0.0, now - self._beat - BEAT_EVERY_S)
        if late >= self._worst or now - self._worst_at > BEATS_REMEMBERED_S:
            self._worst, self._worst_at = late, now
        if late >= STANDSTILL_S:
            self._woke = now
        self._beat = now

    def late_s(self) -> float:
        """How long ago the loop should have turned, in seconds; the process was stopped or something blocked it."""
        return max(0.0, time.monotonic() - self._beat - BEAT_EVERY_S)

    @property
    def woke_lately(self) -> bool:
        """Whether what is read now may have lain unread, because the process stood still."""
        return self.late_s() >= STANDSTILL_S or time.monotonic() - self._woke < WAKING_S

    def worst_s(self) -> float:
        """The longest standstill of the last BEATS_REMEMBERED_S."""
        recent = self._worst if time.monotonic() - self._worst_at <= BEATS_REMEMBERED_S else 0.0
        return max(recent, self.late_s())


class OpenWork(msgspec.Struct, frozen=True):
    """What a process (of the trade, not of the machine) has begun and not ended. ``oldest_s``: age in seconds of the oldest;
    ``retries``: since the start; ``overdue``: those that should have been over."""

    open: int = 0
    oldest_s: float = 0.0
    retries: int = 0
    overdue: int = 0


class PostgresSample(msgspec.Struct, frozen=True):
    oldest_transaction_s: float
    wal_bytes: float
    dead_log: float
    dead_read: float


class ProcessMeasures(Collector):
    """What every process has: a loop, a connection to the bus, clients on it."""

    def __init__(self, name: str, pulse: Pulse, connection: Connection, clients: Iterable[ClientCounts] = ()) -> None:
        self._name = name
        self._pulse = pulse
        self._connection = connection
        self._clients = tuple(clients)

    def collect(self) -> Iterator[Metric]:
        yield _one("theke_loop_late_seconds", self._name, self._pulse.worst_s())
        yield _one("theke_bus_connected", self._name, self._connection.is_connected)
        yield _one("theke_bus_reconnects_total", self._name, self._connection.stats["reconnects"])
        asked = {field: sum(getattr(client, field) for client in self._clients) for field in ClientCounts.__struct_fields__}
        yield _many("theke_bus_asked_total", self._name, asked)


class ServiceMeasures(Collector):
    """What a service's process keeps of its log, relay, projector and requests."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._name = host.service.name
        self.postgres: PostgresSample | None = None

    def collect(self) -> Iterator[Metric]:
        yield from self._log()
        yield from self._relay()
        yield from self._projector()
        yield from self._requests()
        yield from self._work()
        yield from self._postgres()

    def _log(self) -> Iterator[Metric]:
        heads = self._host.projector.heads() or {i: copy.position + copy.lag for i, copy in self._host.relay.status().items()}
        yield _one("theke_append_queue_commands", self._name, self._host.batcher.queued)
        yield _one("theke_log_instances", self._name, len(heads))
        yield _one("theke_log_events", self._name, sum(heads.values()))
        shown = sorted(heads)[:INSTANCES_SHOWN_MAX]
        yield _many("theke_log_head_position", self._name, {instance_token(instance): heads[instance] for instance in shown})

    def _relay(self) -> Iterator[Metric]:
        relay, leads = self._host.relay, self._host.relaying
        copies = relay.status().values() if leads else ()
        yield _one("theke_relay_leader", self._name, leads)
        yield _one("theke_relay_lag_events", self._name, sum(copy.lag for copy in copies))
        yield _one("theke_relay_lag_seconds", self._name, relay.late_s() if leads else 0.0)
        yield _many("theke_relay_copies", self._name, {str(state): sum(copy.state is state for copy in copies) for state in State})
        yield _one("theke_relay_published_total", self._name, relay.counts.published)
        yield _one("theke_relay_windows_total", self._name, relay.counts.windows)
        yield _one("theke_relay_conflicts_total", self._name, relay.counts.conflicts)
        yield _one("theke_relay_resyncs_total", self._name, relay.counts.resyncs)
        yield _one("theke_relay_tail_regressions_total", self._name, relay.counts.regressions)

    def _projector(self) -> Iterator[Metric]:
        projector = self._host.projector
        position, lag, held = dict[str, float](), dict[str, float](), dict[str, float]()
        for name, places in projector.status().items():
            at = {instance: _number(place["position"]) for instance, place in places.items()}
            is_held = {instance for instance, place in places.items() if place["held"] is not None}
            behind = (head - at.get(instance, 0) for instance, head in projector.heads().items() if instance not in is_held)
            position[name] = sum(at.values())
            lag[name] = max(0, max(behind, default=0))
            held[name] = len(is_held)
        yield _one("theke_projector_leader", self._name, projector.leading)
        yield _many("theke_projection_position_events", self._name, position)
        yield _many("theke_projection_lag_events", self._name, lag)
        yield _many("theke_projection_held_instances", self._name, held)
        yield _many("theke_rebuild_folded_events", self._name, projector.filling())

    def _requests(self) -> Iterator[Metric]:
        server = self._host.server
        yield _one("theke_requests_open", self._name, server.in_flight)
        yield _many("theke_requests_total", self._name, msgspec.structs.asdict(server.counts))

    def _work(self) -> Iterator[Metric]:
        work = {process: look() for process, look in self._host.works.items()}
        yield _many("theke_processes_open", self._name, {process: found.open for process, found in work.items()})
        yield _many("theke_processes_oldest_open_seconds", self._name, {process: found.oldest_s for process, found in work.items()})
        yield _many("theke_processes_retries_total", self._name, {process: found.retries for process, found in work.items()})
        yield _many("theke_processes_overdue", self._name, {process: found.overdue for process, found in work.items()})

    def _postgres(self) -> Iterator[Metric]:
        sample = self.postgres
        if sample is not None:
            yield _one("theke_postgres_oldest_transaction_seconds", self._name, sample.oldest_transaction_s)
            yield _one("theke_postgres_wal_bytes_total", self._name, sample.wal_bytes)
            yield _many("theke_postgres_dead_rows", self._name, {"log": sample.dead_log, "read": sample.dead_read})

    async def watch_postgres(self) -> None:
        """Looks at the server now and then; while it is away there is nothing to show."""
        while True:
            try:
                async with asyncio.timeout(POSTGRES_WITHIN_S):
                    self.postgres = await self._looked()
            except (DomainError, asyncpg.PostgresError, *LOST) as error:
                log.warning("postgres is not measured", error=str(error) or type(error).__name__)
                self.postgres = None
            await asyncio.sleep(POSTGRES_EVERY_S)

    async def _looked(self) -> PostgresSample:
        [(oldest, wal)] = await self._host.log.ask(OLDEST_SQL)
        [(dead_log,)] = await self._host.log.ask(DEAD_SQL, self._name)
        async with self._host.tables.lent() as connection:
            dead_read = await connection.fetchval(DEAD_SQL, self._name)
        return PostgresSample(oldest, wal, dead_log, dead_read)


class Exposition:
    """``/metrics`` of one process: what its parts count, and what these collectors find when they are asked."""

    def __init__(self, *collectors: Collector) -> None:
        self._own = CollectorRegistry(auto_describe=False)
        for collector in collectors:
            self._own.register(collector)

    def text(self) -> bytes:
        return generate_latest(REGISTRY) + generate_latest(self._own)


def _number(value: int | str | None) -> int:
    return value if isinstance(value, int) else 0


def sampled(name: str, families: Mapping[str, Family], values: Mapping[tuple[str, ...], float]) -> Metric:
    """A metric of ``families`` with these values, by its labels."""
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    family = kind(name, families[name].what, labels=families[name].labels)
    for labels, value in values.items():
        family.add_metric(labels, float(value))
    return family


def _one(name: str, service: str, value: float) -> Metric:
    return sampled(name, FAMILIES, {(service,): value})


def _many(name: str, service: str, values: Mapping[str, float]) -> Metric:
    return sampled(name, FAMILIES, {(service, label): value for label, value in values.items()})
