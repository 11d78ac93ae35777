"""``make bench``: what tills wait for, through everything, beside a bare floor: a sale of three lines; an order, its bill and its receipt;
the state of a table while others sell; and without a floor, a till that was cut off and the end of a long day.

Theke: gateway, NATS, decider, append with fsync, projection, answer; relay to JetStream running. Floor: see ``floor.py``. Both on the
Postgres of this run, in turns that each begin on a Postgres at rest, so that what the machine does to one it does to the other.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import asyncpg
import uvloop

from libs.runtime import endpoints
from libs.runtime.databases import create_database, on_database
from tests.bench import load, whole
from tests.bench.evening import GUESTS, House

CLIENTS = (1, 16, 64)
SECONDS = float(os.environ.get("BENCH_SECONDS", "9"))
TURNS = 3
SETTLE_S = 0.5
Measured = Callable[[float], Awaitable[load.Figures]]
START_WITHIN_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def started(directory: Path, port: int) -> tuple[asyncio.subprocess.Process, endpoints.Endpoints]:
    environ = {
        **os.environ,
        "THEKE_PORT": str(port),
        "THEKE_DATA": str(directory),
        "THEKE_DEMO": "1",
        "THEKE_LOG_LEVEL": "warning",
        "THEKE_RATE_LIMIT": "0",  # a few clients stand for many tills
    }
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


def row(title: str, clients: int, name: str, figures: load.Figures) -> str:
    columns = f"{figures.per_second:>8.0f} {figures.p50_ms:>8.2f} {figures.p99_ms:>8.2f} {figures.failed:>7}"
    return f"{title:>18} {clients:>8} {name:>6} {columns}"


def compared(title: str, floor: load.Figures, theke: load.Figures) -> None:
    for name, figures in (("floor", floor), ("theke", theke)):
        print(row(title, figures.clients, name, figures))
    ratios = theke.per_second / floor.per_second, theke.p50_ms / floor.p50_ms, theke.p99_ms / floor.p99_ms
    print(f"{title:>18} {theke.clients:>8} {'ratio':>6} {ratios[0]:>8.2f} {ratios[1]:>8.2f} {ratios[2]:>8.2f}", flush=True)


class Turns:
    """Floor and Theke take turns, each on a Postgres that has written out what came before; the middle one of each counts."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def settle(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        await connection.execute("checkpoint")
        await connection.close()
        await asyncio.sleep(SETTLE_S)

    async def compare(self, title: str, floor: Measured, theke: Measured) -> None:
        """Both with the seconds that they may take."""
        bottoms, tops = [], []
        for _ in range(TURNS):
            for figures, measured in ((bottoms, floor), (tops, theke)):
                await self.settle()
                figures.append(await measured(SECONDS / TURNS))
        compared(title, _middle(bottoms), _middle(tops))
        single = ", ".join(f"{top.per_second / bottom.per_second:.2f}" for bottom, top in zip(bottoms, tops, strict=True))
        print(f"{'ratios in turn':>34} {single}", flush=True)


def _middle(figures: list[load.Figures]) -> load.Figures:
    return sorted(figures, key=lambda one: one.per_second)[len(figures) // 2]


async def sales(house: House, turns: Turns) -> None:
    print(f"{'':>18} {'clients':>8} {'':>6} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8} {'failed':>7}")
    for clients in CLIENTS:
        await turns.compare(
            "sale, 3 lines",
            partial(load.run, house.floor_port, house.bare_sale, clients),
            partial(load.run, house.port, house.sell, clients),
        )


async def visits(house: House, turns: Turns) -> None:
    """Rounds of three requests."""
    await turns.compare(
        "order, pay, read",
        partial(load.rounds, house.floor_port, house.bare_visit, GUESTS),
        partial(load.rounds, house.port, house.visit, GUESTS),
    )


async def looks(house: House) -> None:
    bottom, top, sold = await house.looks(SECONDS)
    compared("table, read", bottom, top)
    print(row("  while selling", sold.clients, "theke", sold))


def _sizes(found: dict[str, float]) -> str:
    return f"{sum(found.values()):.0f} MiB: " + ", ".join(f"{name} {size:.0f}" for name, size in sorted(found.items()))


async def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="theke-bench-"))
    directory.chmod(0o711)
    port, floor_port = free_port(), free_port()
    since = time.perf_counter()
    theke, found = await started(directory, port)
    ready = time.perf_counter() - since
    floor = None
    try:
        connection = await asyncpg.connect(found.postgres_dsn)
        await create_database(connection, "floor")
        await connection.close()
        arguments = (on_database(found.postgres_dsn, "floor"), str(floor_port))
        floor = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.floor", *arguments, stdout=asyncio.subprocess.PIPE)
        assert floor.stdout is not None
        await floor.stdout.readline()
        house = House(port, floor_port)
        await house.open()
        print(f"ready                          {ready:>8.2f} s, the first time in an empty directory")
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
        print(f"{machine}, {SECONDS:.0f} s each")
        turns = Turns(found.postgres_dsn)
        await sales(house, turns)
        await visits(house, turns)
        await looks(house)
        twice = await house.uploads_twice()
        x, close = await house.long_day()
        print(f"1,000 offline sales sent twice {twice:>8.2f} s")
        print(f"X of 10,000 receipts           {x:>8.2f} s")
        print(f"close of 10,000 receipts       {close:>8.2f} s", flush=True)
        await house.close()
        floor.kill()  # what follows is about Theke, and Postgres has memory for each of the floor's connections
        await floor.wait()
        before = await whole.waited(found)
        p50, p99, rate, events = await whole.shown_after(found, port, house.sale, house.bearer, SECONDS)
        print(f"event to query tables          p50 {p50:.1f} ms, p99 {p99:.1f} ms, at {rate:.0f} sales/s ({events:,} events)", flush=True)
        after = await whole.waited(found)
        shares = ", ".join(f"{whole.share_within(before, after, bound):.1%} in {bound * 1000:g} ms" for bound in (0.01, 0.02, 0.025, 0.05))
        print(f"  commit to query tables       {shares}, as pos counts", flush=True)
        print(f"memory (PSS)                   {_sizes(whole.memory(theke.pid))}", flush=True)
        back = await whole.back_after_nats(directory, port, house.sale, house.bearer)
        print(f"NATS killed, next sale after   {', '.join(f'{seconds:.2f}' for seconds in back)} s", flush=True)
    finally:
        if floor is not None and floor.returncode is None:
            floor.kill()
            await floor.wait()
        theke.terminate()
        await theke.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    uvloop.run(main())
