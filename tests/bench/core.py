"""``python -m tests.bench.core``, part of ``make bench``: the log and its copy by themselves, each beside a bare floor on the same servers.

Append: commands of one event each through batcher and log (decided when the batch is formed, idempotent, chained), beside a prepared
``insert … select from unnest`` of as many rows of the same size and columns in one transaction. Both wait for the disk once per batch.

Relay: the log as CloudEvents into its stream, each row read, rendered and sent with the sequence that it expects, beside the same messages
already rendered and sent as they are, the last of each window acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import uvloop

from libs.bus import limits
from libs.bus.connection import Connection, connect
from libs.bus.inbox import Inbox
from libs.bus.relay import Relay, Rendered, State
from libs.domain.decider import Command, CommandType, StreamRef
from libs.domain.errors import DomainError
from libs.domain.principal import system
from libs.eventstore.log import Outcome
from libs.eventstore.migrate import migrate
from libs.runtime.databases import ensure_databases, log_dsn
from libs.runtime.embedded import EmbeddedNats, EmbeddedPostgres
from libs.runtime.publishing import PublishedLog
from libs.runtime.service import settle_memory
from tests.integration.eventstore.boxes import BOX, Fill, Place, Work, decide_fill, reply_box, working

SECONDS: Final = float(os.environ.get("BENCH_SECONDS", "9")) / 3
TURNS: Final = 3
BATCH: Final = 512
IN_FLIGHT: Final = 2 * BATCH  # a batch gathers while the one before is under way
NOTE: Final = "x" * 200
SETTLE_S: Final = 0.5
COPIED_WITHIN_S: Final = 120.0
INSTANCE: Final = 1
FLOOR = """
create table floor (
  instance int not null, position bigint not null, stream text not null, version bigint not null, id uuid not null, type text not null,
  schema_version smallint not null, data bytea not null, meta bytea not null, at timestamptz not null, primary key (instance, position));
create unique index on floor (instance, stream, version);
"""
INSERT = """
insert into floor select $1, p, s, 1, i, 'box.filled', 1, d, m, clock_timestamp()
from unnest($2::bigint[], $3::text[], $4::uuid[], $5::bytea[], $6::bytea[]) t(p, s, i, d, m)"""
_principal: Final = system(INSTANCE, "bench")
DATA: Final = b'{"amount":1,"note":"%s"}' % NOTE.encode()
META: Final = b'{"actor":"system:boxes","command":"%s","claims":[]}'


PLACE_NEW: Final = CommandType(
    "box.place", Fill, lambda command: (StreamRef(BOX, command.body.box, new=True),), decide_fill, reply_box
)  # every box is a new one, as every receipt is


class Appending:
    """Events per second, by rows inserted and by commands done; ``in_statement``: seconds that the log's statement took of the latter."""

    def __init__(self, place: Place, work: Work, connection: asyncpg.Connection) -> None:
        self._place = place
        self._work = work
        self._connection = connection
        self._position = 0
        self.in_statement = 0.0
        self._append = work.log.append
        work.log.append = self._timed  # type: ignore[method-assign]  # to time the statement apart from what is around it

    async def _timed(self, arrays: Sequence[Sequence[Any]]) -> list[Outcome]:
        begins = time.perf_counter()
        outcomes = await self._append(arrays)
        self.in_statement += time.perf_counter() - begins
        return outcomes

    async def floor(self, seconds: float) -> float:
        insert = await self._connection.prepare(INSERT)
        begins, done = time.perf_counter(), 0
        while time.perf_counter() - begins < seconds:
            ids = [uuid4() for _ in range(BATCH)]
            positions = range(self._position + 1, self._position + BATCH + 1)
            streams = [f"box-{id_.hex}" for id_ in ids]
            metas = [META % id_.hex.encode() for id_ in ids]
            await insert.fetch(INSTANCE, list(positions), streams, ids, [DATA] * BATCH, metas)
            self._position += BATCH
            done += BATCH
        return done / (time.perf_counter() - begins)

    async def theke(self, seconds: float) -> float:
        begins, done, self.in_statement = time.perf_counter(), 0, 0.0

        async def client() -> None:
            nonlocal done
            while time.perf_counter() - begins < seconds:
                id_ = uuid4()
                command = Command(id_, datetime.now(UTC), _principal, Fill(id_.hex, note=NOTE))
                await self._work.batcher.submit(PLACE_NEW, command, None, id_.bytes, timeout=COPIED_WITHIN_S)
                done += 1

        await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))
        return done / (time.perf_counter() - begins)


class Copying:
    """Messages per second into a stream."""

    def __init__(self, connection: Connection, inbox: Inbox, rows: Sequence[Rendered]) -> None:
        self._connection = connection
        self._inbox = inbox
        self._rows = rows
        self._turn = 0

    async def floor(self) -> float:
        self._turn += 1
        stream = f"FLOOR{self._turn}"
        await self._connection.jetstream().add_stream(name=stream, subjects=[f"floor{self._turn}.>"])
        subjects = [f"floor{self._turn}.{row.subject}" for row in self._rows]
        begins = time.perf_counter()
        under_way: deque[asyncio.Future[Any]] = deque()
        replies: list[str] = []
        for start in range(0, len(self._rows), limits.RELAY_WINDOW_ROWS):
            window = self._rows[start : start + limits.RELAY_WINDOW_ROWS]
            if len(under_way) == limits.RELAY_WINDOWS_UNDER_WAY:
                await under_way.popleft()
            acknowledged: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            under_way.append(acknowledged)
            replies.append(reply := self._inbox.expect(_into(acknowledged)))
            for ix, row in enumerate(window, start):
                self._connection.send(subjects[ix], row.payload, reply if row is window[-1] else "")
        await asyncio.gather(*under_way)
        for reply in replies:
            self._inbox.forget(reply)
        took = time.perf_counter() - begins
        state = (await self._connection.jetstream().stream_info(stream)).state
        assert state.last_seq == len(self._rows)
        await self._connection.jetstream().delete_stream(stream)
        return len(self._rows) / took

    async def theke(self, work: Work) -> float:
        relay = Relay(self._connection, work.log.schema, PublishedLog(work.log.schema, work.log))
        begins = time.perf_counter()
        running = asyncio.create_task(relay.run())
        async with asyncio.timeout(COPIED_WITHIN_S):
            while not _copied(relay, len(self._rows)):  # noqa: ASYNC110  # the relay tells nobody
                await asyncio.sleep(0.002)
        took = time.perf_counter() - begins
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await self._connection.jetstream().delete_stream(f"EVT_{work.log.schema}_i{INSTANCE}")
        return len(self._rows) / took


def _into(future: asyncio.Future[Any]) -> Callable[[bytes | DomainError, str], None]:
    def arrive(outcome: bytes | DomainError, _: str) -> None:
        if isinstance(outcome, DomainError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return arrive


def _copied(relay: Relay, head: int) -> bool:
    status = relay.status().get(INSTANCE)
    return status is not None and status.state is State.COPYING and status.position == head


async def settled(connection: asyncpg.Connection) -> None:
    await connection.execute("checkpoint")
    await asyncio.sleep(SETTLE_S)


def compared(title: str, floors: list[float], thekes: list[float], unit: str) -> None:
    ratio = statistics.median(thekes) / statistics.median(floors)
    turns = ", ".join(f"{top / bottom:.2f}" for bottom, top in zip(floors, thekes, strict=True))
    figures = f"floor {statistics.median(floors):>8,.0f}  theke {statistics.median(thekes):>8,.0f} {unit}  ratio {ratio:.2f} ({turns})"
    print(f"{title:<28} {figures}", flush=True)


async def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="theke-bench-"))
    directory.chmod(0o711)
    postgres, nats = EmbeddedPostgres(directory / "postgres"), EmbeddedNats(directory / "nats")
    await postgres.start()
    await nats.start()
    try:
        await ensure_databases(postgres.dsn)
        place = Place(log_dsn(postgres.dsn), "boxes")
        await migrate(place.dsn, place.schema)
        connection = await place.connect()
        await connection.execute(FLOOR)
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
        print(f"{machine}, {BATCH} per batch, {len(DATA)} bytes per event", flush=True)
        async with working(place) as work:
            settle_memory()
            appending = Appending(place, work, connection)
            await appending.floor(0.5)
            await appending.theke(0.5)
            floors, thekes, statements = [], [], []
            for _ in range(TURNS):
                await settled(connection)
                floors.append(await appending.floor(SECONDS))
                await settled(connection)
                thekes.append(await appending.theke(SECONDS))
                statements.append(thekes[-1] * SECONDS / appending.in_statement)
            compared("append, with deciders", floors, thekes, "events/s")
            compared("append, its statement", floors, statements, "events/s")
            await settled(connection)
            bus = await connect(nats.url, name="bench")
            inbox = Inbox(bus)
            await inbox.open()
            source = PublishedLog(place.schema, work.log)
            rows: list[Rendered] = []
            while found := await source.read(INSTANCE, len(rows), 5_000):
                rows += source.render(found)
            copying = Copying(bus, inbox, rows)
            floors, thekes = [], []
            for _ in range(TURNS):
                floors.append(await copying.floor())
                thekes.append(await copying.theke(work))
            compared(f"relay, {len(rows):,} messages", floors, thekes, "messages/s")
            await bus.close()
        await connection.close()
    finally:
        await nats.stop()
        await postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    uvloop.run(main())
