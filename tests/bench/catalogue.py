"""``python -m tests.bench.catalogue``: a till loads 100,000 articles, whole and page by page, and asks what changed since.

The articles are put into the query table, not into the log: what is measured is reading, and 100,000 commands would take minutes.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import uvloop

from libs.runtime.databases import read_dsn
from tests.bench.__main__ import free_port, started

ARTICLES: Final = 100_000
PAGE_ROWS: Final = 1_000
ASKED: Final = 5
FILL: Final = """
insert into {table} ({columns})
select {values} from {table} t, generate_series(1, {more}) n where t.id = 1 and t.instance = (select min(instance) from {table})"""


async def fill(dsn: str) -> None:
    """Copies of the first article, up to ARTICLES, each with a key, an id and a name of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        revision = await connection.fetchval("select active from theke.revisions where service = 'inventory' and projection = 'articles'")
        table = f"inventory.articles_r{revision}"
        columns = [row["column_name"] for row in await connection.fetch(
            "select column_name from information_schema.columns where table_schema || '.' || table_name = $1", table
        )]  # fmt: skip
        there = await connection.fetchval(f"select count(*) from {table}")
        own = {"key": "'art_' || lpad(n::text, 26, 'a')", "id": "n + 1000", "name": "'Artikel ' || n", "plu": "'P' || n"}
        values = ", ".join(own.get(column, f"t.{column}") for column in columns)
        await connection.execute(FILL.format(table=table, columns=", ".join(columns), values=values, more=ARTICLES - there))
        await connection.execute(f"analyze {table}")
    finally:
        await connection.close()


async def timed(http: aiohttp.ClientSession, path: str, token: str) -> tuple[float, int, str]:
    """Seconds, bytes, and up to where changes are in it."""
    begins = time.perf_counter()
    async with http.get(path, headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 200, (answer.status, await answer.text())
        size = len(await answer.read())
        return time.perf_counter() - begins, size, answer.headers.get("Theke-Changed-Until", "")


async def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="theke-bench-"))
    directory.chmod(0o711)
    port = free_port()
    theke, found = await started(directory, port)
    try:
        await fill(read_dsn(found.postgres_dsn))
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as http:
            login = await http.post("/api/v1/auth/login", json={"username": "admin", "password": "admin"})
            token = (await login.json())["data"]["accessToken"]
            for name, path in (("all", "/api/v1/articles"), ("all, by name", "/api/v1/articles?sort=name")):
                seconds = []
                for _ in range(ASKED):
                    took, size, until = await timed(http, path, token)
                    seconds.append(took)
                print(f"{name:<24} {min(seconds):6.2f} to {max(seconds):5.2f} s {size / 1e6:8.1f} MB", flush=True)
            begins = time.perf_counter()
            for page in range(1, ARTICLES // PAGE_ROWS + 1):
                await timed(http, f"/api/v1/articles?page={page}&pageSize={PAGE_ROWS}", token)
            print(f"{f'{PAGE_ROWS} a page':<24} {time.perf_counter() - begins:6.2f} s in all", flush=True)
            for name, path in (
                ("nothing changed", f"/api/v1/articles?changedSince={until}"),
                ("a search", "/api/v1/articles/search?q=artikel%2099999"),
                ("a page by name", "/api/v1/articles?sort=name&pageSize=50"),
                ("by PLU", "/api/v1/articles/by-plu/P77777"),
            ):
                took = min([(await timed(http, path, token))[0] for _ in range(ASKED)])
                print(f"{name:<24} {took * 1000:6.0f} ms", flush=True)
    finally:
        theke.terminate()
        await theke.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    uvloop.run(main())
