"""``python -m tests.bench.rebuild``: all projections of pos rebuilt from a log of evenings at tables, beside a bare floor.

The log: evenings as the unit tests play them (orders, part payments, sales, voids, refunds, courses, signatures), each with ids of its own,
in two instances. The floor: the same rows of the log read, decoded and copied into one table, without any handler.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import uvloop

from libs.domain.events import Recorded
from libs.eventstore.codec import encode
from libs.eventstore.log import Log
from libs.eventstore.migrate import migrate
from libs.projections import rebuild
from libs.projections.rebuild import Rebuild
from libs.runtime.databases import ensure_databases, log_dsn, read_dsn
from libs.runtime.embedded import EmbeddedPostgres
from libs.runtime.service import settle_memory
from services.pos.service import SERVICE as POS
from tests.unit.projections.histories import evening

EVENTS: Final = int(os.environ.get("BENCH_EVENTS", "200000"))
INSTANCES: Final = 2
STEPS: Final = 1_000
SLICE_ROWS: Final = 20_000
_ID: Final = re.compile(rb"\b(bon|obn|ord|tbl|slp|pay)_")
COLUMNS: Final = (
    "instance",
    "position",
    "stream",
    "version",
    "id",
    "type",
    "schema_version",
    "series",
    "number",
    "data",
    "meta",
    "at",
    "leaf",
)


async def fill_log(dsn: str) -> int:
    """Evening after evening until there are EVENTS of them."""
    await migrate(dsn, "pos")
    played = evening(7, STEPS)
    kept = [(recorded, encode(recorded.data)) for recorded in played]
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "pos"})
    made = 0
    for instance in range(1, INSTANCES + 1):
        position, number = 0, 0
        rows: list[tuple[Any, ...]] = []
        while position < EVENTS // INSTANCES:
            number += 1
            for recorded, data in kept:
                position += 1
                rows.append(_row(instance, position, number, recorded, data))
            if len(rows) >= SLICE_ROWS:
                await connection.copy_records_to_table("events", records=rows, columns=COLUMNS)
                rows = []
        await connection.copy_records_to_table("events", records=rows, columns=COLUMNS)
        made += position
    await connection.execute("analyze events")
    await connection.close()
    return made


def _row(instance: int, position: int, evening_: int, recorded: Recorded, data: bytes) -> tuple[Any, ...]:
    own = _ID.sub(rb"\g<1>_%d_" % evening_, data)
    stream = f"{recorded.stream}-{evening_}"
    number = recorded.number
    return (
        instance, position, stream, recorded.version, uuid4(), recorded.type, recorded.schema_version,
        None, number, own, b"{}", recorded.at, b"",
    )  # fmt: skip


async def floor(log: Log, read: asyncpg.Connection) -> float:
    """Events per second read, decoded and copied as they are."""
    await read.execute("create schema floor")
    await read.execute(
        "create table floor.floor_events (instance int, position bigint, stream text, type text, primary key (instance, position))"
    )
    since, done = time.monotonic(), 0
    for instance, head in (await log.heads()).items():
        at = 0
        while at < head:
            events = await log.read(instance, at, rebuild.BATCH_EVENTS)
            records = [(event.instance, event.position, event.stream, event.type) for event in events]
            await read.copy_records_to_table("floor_events", schema_name="floor", records=records)
            at, done = events[-1].position, done + len(events)
    return done / (time.monotonic() - since)


@asynccontextmanager
async def as_owner(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, server_settings={"synchronous_commit": "off"})
    yield connection
    await connection.close()


async def measured(log: Log, dsn: str, projections: Any) -> tuple[float, int]:
    async with rebuild.several(dsn, "pos") as connections:
        read = connections[0]
        work = Rebuild(connections, "pos", projections, log)
        await work.begin()
        since = time.monotonic()
        await work.fill(near=0)
        taken = time.monotonic() - since
        rows = 0
        for build in work.builds:
            for table in build.projection.tables:
                rows += await read.fetchval(f"select count(*) from pos.{table.name}_{build.suffix}")
        await work.give_up()
    return work.folded / taken, rows


async def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="theke-bench-"))
    directory.chmod(0o711)
    server = EmbeddedPostgres(directory / "postgres")
    await server.start()
    try:
        await ensure_databases(server.dsn)
        events = await fill_log(log_dsn(server.dsn))
        log = Log(log_dsn(server.dsn), "pos")
        await log.open()
        settle_memory()
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
        print(f"{machine}, {events:,} events in {INSTANCES} instances", flush=True)
        async with as_owner(read_dsn(server.dsn)) as read:
            print(f"{'floor: read, decode, copy':<32}{await floor(log, read):>10,.0f} events/s", flush=True)
        for name, chosen in [(one.name, [one]) for one in POS.projections] * ("--each" in sys.argv) + [
            ("all of pos", list(POS.projections))
        ]:
            per_second, rows = await measured(log, read_dsn(server.dsn), chosen)
            print(f"{name:<32}{per_second:>10,.0f} events/s  {rows:>10,} rows", flush=True)
        await log.close()
    finally:
        await server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    uvloop.run(main())
