"""The log of one service, as its own process uses it. Errors of the driver do not leave this module's callers guessing:
``LogUnreachable`` means that the connection went away (what was sent may or may not be stored; repeat with the same ids)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import structlog

from libs.domain.errors import RETRY_AFTER_S, DomainError, Kind
from libs.domain.events import Recorded
from libs.eventstore.codec import recorded
from libs.eventstore.connections import Connections
from libs.eventstore.server_clock import ServerClock
from libs.eventstore.statements import sql

logger = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_MS = 10_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000
APPEND_TIMEOUT_S = 8.0
READ_TIMEOUT_S = 12.0  # a server that fell silent; a slow statement ends earlier, by STATEMENT_TIMEOUT_MS
READ_MAX_ROWS = 5_000
READERS_MAX = 2  # connections
CLOSED = "closed"  # for good

# a killed connection surfaces as any of these, InternalClientError being no subclass of the others; and so does a server without room:
# a full disk, too many connections
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    ConnectionError,
    OSError,
    TimeoutError,
)
# a lock was not to be had in time, or the statement took too long: nothing was stored
BUSY = (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)


class LogUnreachable(DomainError):
    """The log's database cannot be reached, or its connection was lost in mid-statement. Whoever asked is told to repeat; ``why`` is for
    the service's own lines only."""

    def __init__(self, why: str) -> None:
        super().__init__(Kind.UNAVAILABLE, "log_unreachable", retry_after_s=RETRY_AFTER_S)
        self.why = why

    def __str__(self) -> str:
        return self.why or self.reason


class LogBusy(LogUnreachable):
    """Another process held the log's lock too long, or the statement took too long; nothing was stored."""


class Loaded:
    """A stream as loaded: its newest version and the events behind the version asked for (or behind its last rest)."""

    __slots__ = ("events", "head")

    def __init__(self, head: int, events: list[Recorded]) -> None:
        self.head = head
        self.events = events


class Known:
    """A command the log remembers."""

    __slots__ = ("fingerprint", "first", "last")

    def __init__(self, fingerprint: bytes, first: int, last: int) -> None:
        self.fingerprint = fingerprint
        self.first = first
        self.last = last


class Outcome:
    """What became of one command of a batch. ``waited``: seconds that the batch waited for the log's lock."""

    __slots__ = ("at", "first", "last", "numbers", "outcome", "waited")

    def __init__(self, outcome: str, first: int, last: int, numbers: list[int], at: datetime, waited: float = 0.0) -> None:
        self.outcome = outcome
        self.first = first
        self.last = last
        self.numbers = numbers
        self.at = at
        self.waited = waited


class NewLife(msgspec.Struct, frozen=True):
    """The copy of a log begins anew behind a position; the one before went up to ``lost``."""

    id: UUID
    behind: int
    lost: int


class Log:
    """One writer connection and a small pool of readers on a service's schema."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn = dsn
        self.schema = schema
        self._writer: asyncpg.Connection | None = None
        self._readers: Connections | None = None
        self._append: Any = None
        self._clock = ServerClock()
        self._renewed = False

    async def open(self) -> None:
        self._readers = Connections(
            self._dsn,
            most=READERS_MAX,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=READ_TIMEOUT_S,
            server_settings=self._settings(),
        )
        await self._readers.open()
        await self._connected()

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.terminate()
            self._writer = None
        if self._readers is not None:
            self._readers.close()
            self._readers = None

    def _settings(self) -> dict[str, str]:
        return {
            "search_path": self.schema,
            "application_name": f"theke {self.schema} log",
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
            "jit": "off",
        }

    async def _connected(self) -> asyncpg.Connection:
        if self._writer is None or self._writer.is_closed():
            writer = await asyncpg.connect(self._dsn, timeout=CONNECT_TIMEOUT_S, server_settings=self._settings())
            self._append = await writer.prepare(sql("append_batch"), timeout=CONNECT_TIMEOUT_S)
            self._writer = writer
            self._clock.forget()
            self._renewed = True
        return self._writer

    async def renewed(self) -> bool:
        """Whether the writer's connection is another one than when this was last asked: then the server may be one that knows less than
        before. Raises LogUnreachable."""
        try:
            await self._connected()
        except LOST as error:
            self._drop_writer()
            raise LogUnreachable(str(error)) from error
        renewed, self._renewed = self._renewed, False
        return renewed

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.terminate()
            self._writer = None

    async def append(self, arrays: Sequence[Sequence[Any]]) -> list[Outcome]:
        """Runs the ``append`` function on the arrays of a batch; outcomes in the order of its commands. The fourth of them, when each
        attempt began, is by this process's monotonic clock.

        Raises LogUnreachable (stored or not is unknown), LogBusy (nothing stored), or the database's own data error.
        """
        try:
            writer = await self._connected()
            if self._clock.is_due:
                await self._clock.ask(writer, APPEND_TIMEOUT_S)
            began = list(map(self._clock.at, arrays[3]))
            rows = await self._append.fetch(*arrays[:3], began, *arrays[4:], timeout=APPEND_TIMEOUT_S)
        except BUSY as error:
            raise LogBusy(str(error)) from error
        except asyncpg.DataError:
            raise  # a value the driver cannot encode: the connection is fine, the command is not
        except LOST as error:
            self._drop_writer()
            raise LogUnreachable(str(error)) from error
        except asyncio.CancelledError:
            self._drop_writer()
            raise
        outcomes: list[Outcome | None] = [None] * len(rows)
        for ix, outcome, first, last, numbers, at, waited in rows:
            outcomes[ix - 1] = Outcome(outcome.decode(), first or 0, last or 0, numbers or [], at, waited)
        return [outcome for outcome in outcomes if outcome is not None]

    async def _read(self, name: str, *arguments: Any) -> list[Any]:
        return await self.ask(sql(name), *arguments)

    async def load(self, wanted: Sequence[tuple[int, str, int]]) -> list[Loaded]:
        """Streams by (instance, name, version already known), in that order; an unknown stream has head 0."""
        loaded = [Loaded(0, []) for _ in wanted]
        rows = await self._read("load_streams", [w[0] for w in wanted], [w[1] for w in wanted], [w[2] for w in wanted])
        for row in rows:
            instance, name, _ = wanted[row["ix"] - 1]
            stream = loaded[row["ix"] - 1]
            stream.head = row["head"]
            if row["position"] is not None:
                stream.events.append(recorded({**row, "instance": instance, "stream": name}))
        return loaded

    async def find_commands(self, wanted: Sequence[tuple[int, UUID]]) -> list[Known | None]:
        found: list[Known | None] = [None] * len(wanted)
        for row in await self._read("find_commands", [w[0] for w in wanted], [w[1] for w in wanted]):
            found[row["ix"] - 1] = Known(row["fingerprint"], row["first_position"], row["last_position"])
        return found

    async def refuse(self, wanted: Sequence[tuple[int, UUID]]) -> list[Known | None]:
        """Finds commands as ``find_commands`` does; those that are not known are noted as refused, and attempts that are under way by now
        will not be appended. Raises LogBusy if the log's lock was not to be had, LogUnreachable."""
        found: list[Known | None] = [None] * len(wanted)
        for row in await self._read("refuse", [w[0] for w in wanted], [w[1] for w in wanted]):
            found[row["ix"] - 1] = Known(row["fingerprint"], row["first_position"], row["last_position"])
        return found

    async def read_stream(self, instance: int, stream: str, up_to_position: int) -> list[Recorded]:
        """Every event of a stream up to a position of the log, oldest first."""
        return [recorded(row) for row in await self._read("read_stream", instance, stream, up_to_position)]

    async def read(self, instance: int, after: int, limit: int) -> list[Recorded]:
        """Events of an instance behind a position, at most ``limit`` (bounded by READ_MAX_ROWS). Raises UnknownEvent."""
        return [recorded(row) for row in await self.read_rows(instance, after, limit)]

    async def read_rows(self, instance: int, after: int, limit: int) -> list[Mapping[str, Any]]:
        """The same as rows, for those who carry events without understanding them."""
        return await self._read("read_log", instance, after, min(limit, READ_MAX_ROWS))

    async def read_types(self, instance: int, types: Sequence[str], after: int, up_to: int, limit: int) -> list[Mapping[str, Any]]:
        """Rows of some types of events behind ``after`` and not behind ``up_to``, at most ``limit`` (bounded by READ_MAX_ROWS)."""
        return await self._read("read_types", instance, after, up_to, list(types), min(limit, READ_MAX_ROWS))

    async def scan(
        self, instance: int, after: int, up_to: int, limit: int, *, types: Sequence[str] = (), text: str = ""
    ) -> list[Mapping[str, Any]]:
        """Rows behind ``after`` and not behind ``up_to`` of any of these types and with this text in their data; empty: all."""
        return await self._read("scan_log", instance, after, up_to, list(types), text.encode(), min(limit, READ_MAX_ROWS))

    async def scan_stream(self, instance: int, stream: str, version: int, up_to: int, limit: int) -> list[Mapping[str, Any]]:
        """Rows of a stream behind a version of it and not behind position ``up_to``."""
        return await self._read("scan_stream", instance, stream, version, up_to, min(limit, READ_MAX_ROWS))

    async def read_stream_everywhere(self, stream: str) -> list[Recorded]:
        """Every event of the streams of this name, of all instances. For streams that stay short."""
        return [recorded(row) for row in await self._read("read_stream_everywhere", stream)]

    async def ask(self, statement: str, *arguments: Any) -> list[Any]:
        """What the log's server says of itself; not of events. Raises LogUnreachable, or LogBusy: a lock, or too slow."""
        if self._readers is None:
            raise LogUnreachable("the log is not open")
        try:
            return await self._readers.fetch(statement, *arguments)
        except BUSY as error:
            raise LogBusy(str(error)) from error
        except LOST as error:
            raise LogUnreachable(str(error)) from error

    async def heads(self) -> dict[int, int]:
        """The newest position of every instance that has events."""
        return {row["instance"]: row["position"] for row in await self._read("list_heads")}

    async def holders(self, wanted: Sequence[tuple[int, str, str]]) -> list[str | None]:
        """The stream that holds each (instance, scope, value), or None."""
        found: list[str | None] = [None] * len(wanted)
        for row in await self._read("find_claims", [w[0] for w in wanted], [w[1] for w in wanted], [w[2] for w in wanted]):
            found[row["ix"] - 1] = row["stream"]
        return found

    async def lease(self, instance: int, name: str, count: int) -> int:
        """The last of ``count`` IDs that nobody else gets."""
        return int((await self._read("lease_ids", instance, name, count))[0]["last"])

    async def close_instance(self, instance: int) -> None:
        """No command of this instance is appended any more."""
        await self._read("close_instance", instance)

    async def reopen_instance(self, instance: int) -> None:
        """Undoes ``close_instance``."""
        await self._read("reopen_instance", instance)

    async def purge_instance(self, instance: int) -> None:
        """From now on rows of this instance, which is closed, may be removed."""
        await self._read("purge_instance", instance)

    async def is_purged(self, instance: int) -> bool:
        return bool(await self._read("is_purged", instance))

    async def closed_because(self, instance: int) -> str:
        """Why nothing is appended: CLOSED, or how the log and its copy contradict each other; empty if there is no reason."""
        rows = await self._read("closed_because", instance)
        return str(rows[0]["why"]) if rows else ""

    async def stand_still(self, instance: int, why: str) -> None:
        """Nothing is appended until ``go_on``."""
        await self._read("stand_still", instance, why)

    async def go_on(self, instance: int) -> None:
        """Undoes ``stand_still`` and ``begin_life``; an instance that was closed stays so."""
        await self._read("go_on", instance)

    async def begin_life(self, instance: int, life: UUID, behind: int, lost: int) -> None:
        """An operator decided that the log goes on as it is: its copy, which goes up to ``lost``, is to begin anew behind ``behind``."""
        await self._read("begin_life", instance, life, behind, lost)

    async def life_to_begin(self, instance: int) -> NewLife | None:
        """What an operator decided and nobody has done yet."""
        rows = await self._read("life_to_begin", instance)
        return NewLife(rows[0]["life"], rows[0]["behind"], rows[0]["lost"]) if rows else None

    async def forget_commands(self, before: datetime) -> None:
        """Drops remembered commands older than ``before``; their streams still refuse a second creation."""
        await self._read("forget_commands", before)

    async def forget_refusals(self, before: datetime) -> None:
        """Drops refusals older than ``before``: no attempt is that old."""
        await self._read("forget_refusals", before)
