"""``python -m tests.bench.reports``: how long each report takes over a year of 100,000 sales (``BENCH_RECEIPTS`` for other numbers).

The query tables of a Postgres of this run hold the receipts of one house, and as many of a second one that must not matter. Timed is
what the service does for a report, from the query to its answer, without the bus and HTTP around it; best and worst of ``ROUNDS``.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg

from libs.contracts.pos.reports import ArticleQuery, ReportQuery
from libs.domain.principal import system
from libs.projections import store
from libs.projections.tables import Tables
from libs.runtime.embedded import EmbeddedPostgres
from libs.runtime.service import Ask
from services.auth.service import SERVICE as AUTH
from services.inventory.service import SERVICE as INVENTORY
from services.pos import reports
from services.pos.service import SERVICE as POS
from tests.history import History, write

RECEIPTS = int(os.environ.get("BENCH_RECEIPTS", "100000"))
ROUNDS = 8
ARTICLES, GROUPS, STAFF = 300, 20, 12
HOUSES = (1, 2)
WHOLE = {"since": date(2025, 1, 1), "until": date(2025, 12, 31)}
MONTH = {"since": date(2025, 6, 1), "until": date(2025, 6, 30)}
AT = datetime(2026, 1, 2, tzinfo=UTC)


async def fill(connection: asyncpg.Connection) -> None:
    for service in (AUTH, INVENTORY, POS):
        await store.prepare(connection, service.name, service.projections)
        for projection in service.projections:
            await store.activate(connection, service.name, projection)
    articles = {f"art_{ix:026d}": (f"Artikel {ix}", f"artgrp_{ix % GROUPS:026d}") for ix in range(ARTICLES)}
    for house in HOUSES:
        history = History(house, articles, [f"usr_{ix:026d}" for ix in range(STAFF)])
        await write(connection, house, history.receipts(RECEIPTS, date(2025, 1, 1), 364))
    await connection.execute("vacuum analyze")


async def timed(tables: Tables, query: Any, span: dict[str, date]) -> tuple[float, float]:
    """Best and worst, in milliseconds."""
    body = (ArticleQuery if query.body is ArticleQuery else ReportQuery)(at=AT, **span)
    taken = []
    for _ in range(ROUNDS):
        begins = time.perf_counter()
        await query.answer(Ask(system(HOUSES[0], "bench"), body, tables))
        taken.append((time.perf_counter() - begins) * 1000)
    return min(taken), max(taken)


async def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="theke-bench-"))
    directory.chmod(0o711)
    server = EmbeddedPostgres(directory)
    await server.start()
    try:
        connection = await asyncpg.connect(server.dsn)
        await fill(connection)
        await connection.close()
        tables = Tables(server.dsn, "bench")
        await tables.open()
        machine = f"{os.cpu_count()} cores, {platform.machine()}"
        print(f"{RECEIPTS} sales a year in each of {len(HOUSES)} houses; {machine}; ms, best and worst of {ROUNDS}")
        print(f"{'report':>24} {'month':>14} {'year':>14}")
        for query in reports.QUERIES:
            columns = [await timed(tables, query, span) for span in (MONTH, WHOLE)]
            print(f"{query.name:>24} " + " ".join(f"{best:>6.0f} {worst:>7.0f}" for best, worst in columns), flush=True)
        await tables.close()
    finally:
        await server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
