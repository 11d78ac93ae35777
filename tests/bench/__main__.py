"""``make bench``: a sale of three lines through everything, beside a bare floor.

Theke: gateway, NATS, decider, append with fsync, projection, answer; relay to JetStream running. Floor: see ``floor.py``. Both on the
Postgres of this run, one after the other for every number of clients, so that what the machine does to one it does to the other.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import socket
import sys
import tempfile
import uuid
from pathlib import Path

import aiohttp
import asyncpg
import uvloop

from libs.runtime import endpoints
from libs.runtime.databases import create_database, on_database
from tests.bench import load

CLIENTS = (1, 16, 64)
SECONDS = float(os.environ.get("BENCH_SECONDS", "8"))
START_WITHIN_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def started(directory: Path, port: int) -> tuple[asyncio.subprocess.Process, endpoints.Endpoints]:
    environ = {**os.environ, "THEKE_PORT": str(port), "THEKE_DATA": str(directory), "THEKE_DEMO": "1", "THEKE_LOG_LEVEL": "warning"}
    for name in ("THEKE_POSTGRES_DSN", "THEKE_NATS_URL"):
        environ.pop(name, None)
    theke = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "libs.cli.main", "up", env=environ, stdout=asyncio.subprocess.PIPE, stderr=None
    )
    assert theke.stdout is not None
    async with asyncio.timeout(START_WITHIN_S):
        while b"Theke is ready" not in (line := await theke.stdout.readline()):
            if not line:
                raise SystemExit("theke did not start")
    drain = asyncio.create_task(theke.stdout.read())
    drain.add_done_callback(lambda _: None)
    return theke, endpoints.read(directory)


async def sale_request(port: int) -> tuple[str, bytes]:
    """A token, and the body of a sale of three lines."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        answer = await http.post("/api/v1/auth/login", json={"username": "admin", "password": "admin"})
        token = (await answer.json())["data"]["accessToken"]
        articles = (await (await http.get("/api/v1/articles", headers={"Authorization": f"Bearer {token}"})).json())["data"]
    items = [{"articleId": article["id"], "quantity": quantity} for article, quantity in zip(articles[:3], (2, 1, 3), strict=True)]
    return token, json.dumps({"items": items, "payments": [{"type": 0, "amount": 50}]}).encode()


def row(clients: int, name: str, figures: load.Figures) -> str:
    columns = f"{figures.per_second:>8.0f} {figures.p50_ms:>8.2f} {figures.p99_ms:>8.2f} {figures.failed:>7}"
    return f"{clients:>8} {name:>6} {columns}"


async def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="theke-bench-"))
    directory.chmod(0o711)
    port, floor_port = free_port(), free_port()
    theke, found = await started(directory, port)
    floor = None
    try:
        connection = await asyncpg.connect(found.postgres_dsn)
        await create_database(connection, "floor")
        await connection.close()
        arguments = (on_database(found.postgres_dsn, "floor"), str(floor_port))
        floor = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.floor", *arguments, stdout=asyncio.subprocess.PIPE)
        assert floor.stdout is not None
        await floor.stdout.readline()
        token, body = await sale_request(port)
        bearer = {"Authorization": f"Bearer {token}"}

        def sale(_: int) -> bytes:
            return load.post("/api/v1/payments/direct-sale", body, {**bearer, "Idempotency-Key": uuid.uuid4().hex})

        def bare(_: int) -> bytes:
            return load.post("/sale", body, bearer)

        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        print(f"direct sale, 3 lines; {machine}, {SECONDS:.0f} s each")
        print(f"{'clients':>8} {'':>6} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8} {'failed':>7}")
        for clients in CLIENTS:
            bottom = await load.run(floor_port, bare, clients, SECONDS)
            top = await load.run(port, sale, clients, SECONDS)
            for name, figures in (("floor", bottom), ("theke", top)):
                print(row(clients, name, figures))
            ratio, tail = top.per_second / bottom.per_second, top.p99_ms / bottom.p99_ms
            print(f"{clients:>8} {'ratio':>6} {ratio:>8.2f} {top.p50_ms / bottom.p50_ms:>8.2f} {tail:>8.2f}", flush=True)
    finally:
        if floor is not None:
            floor.kill()
            await floor.wait()
        theke.terminate()
        await theke.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    uvloop.run(main())
