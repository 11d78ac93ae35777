"""What the whole installation needs: time until it is ready, from an event to its rows, from a restart of NATS to the next sale; memory."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import statistics
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg

from libs.runtime import endpoints
from libs.runtime.databases import log_dsn, read_dsn
from libs.runtime.endpoints import Endpoints
from libs.runtime.supervisor import STEADY_S
from tests.bench import load

SALES_PER_S: Final = 500
SELLERS: Final = 64
LOOK_EVERY_S: Final = 0.003  # looking is work for the same two cores
SHOWN_WITHIN_S: Final = 5.0
RESTARTS: Final = 3
BACK_WITHIN_S: Final = 30.0
ATTEMPT_WITHIN_S: Final = 0.5
BETWEEN_DEATHS_S: Final = STEADY_S + 1  # else the supervisor's pause after repeated deaths is measured
_WAIT: Final = re.compile(r'^theke_wait_seconds_bucket\{le="([^"]+)",service="pos"\} (\S+)$', re.MULTILINE)
_PSS: Final = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


async def shown_after(found: Endpoints, port: int, sale: bytes, bearer: dict[str, str], seconds: float) -> tuple[float, float, float, int]:
    """Sales at a steady rate, begun whether the one before is done or not; milliseconds from the event's own time to the moment at which
    every table of pos shows it, p50 and p99; sales per second that were made; events. This process looks every three milliseconds, which
    is part of what it finds."""
    logs, tables = await asyncpg.connect(log_dsn(found.postgres_dsn)), await asyncpg.connect(read_dsn(found.postgres_dsn))
    instance = await logs.fetchval("select max(instance) from pos.events")
    begins_at = await logs.fetchval("select max(position) from pos.events where instance = $1", instance)
    seen: list[tuple[int, float]] = []
    looking = asyncio.create_task(_look(tables, instance, seen))
    made = await _at_a_rate(port, sale, bearer, seconds)
    deadline = time.monotonic() + SHOWN_WITHIN_S
    head = await logs.fetchval("select max(position) from pos.events where instance = $1", instance)
    while (not seen or seen[-1][0] < head) and time.monotonic() < deadline:  # noqa: ASYNC110  # tables of another process
        await asyncio.sleep(LOOK_EVERY_S)
    looking.cancel()
    rows = await logs.fetch(
        "select position, extract(epoch from at)::float8 as at from pos.events where instance = $1 and position > $2 and position <= $3 "
        "order by position",
        instance, begins_at, seen[-1][0],
    )  # fmt: skip
    await logs.close()
    await tables.close()
    waits, ix = [], 0
    for row in rows:
        while seen[ix][0] < row["position"]:
            ix += 1
        waits.append((seen[ix][1] - row["at"]) * 1000)
    cuts = statistics.quantiles(waits, n=100)
    return cuts[49], cuts[98], made / seconds, len(waits)


async def waited(found: Endpoints) -> dict[float, float]:
    """How many commands of pos waited at most so many seconds from their commit until every table showed it, as pos itself counts."""
    [address] = [child.operations for child in found.children if child.name == "pos"]
    async with aiohttp.ClientSession() as http, http.get(f"{address}/metrics") as answer:
        shown = await answer.text()
    return {float(bound): float(count) for bound, count in _WAIT.findall(shown)}


def share_within(before: dict[float, float], after: dict[float, float], bound: float) -> float:
    counted = {known: after[known] - before[known] for known in after}
    return counted[bound] / counted[float("inf")]


async def _look(tables: asyncpg.Connection, instance: int, seen: list[tuple[int, float]]) -> None:
    asked = await tables.prepare("select min(position) from pos.checkpoints where instance = $1")
    while True:
        position = await asked.fetchval(instance)
        if not seen or position > seen[-1][0]:
            seen.append((position, time.time()))
        await asyncio.sleep(LOOK_EVERY_S)


async def _at_a_rate(port: int, sale: bytes, bearer: dict[str, str], seconds: float) -> int:
    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(load.Client, "127.0.0.1", port)) for _ in range(SELLERS)]
    begins, made = loop.time(), 0
    due: Iterator[float] = iter(begins + number / SALES_PER_S for number in range(int(seconds * SALES_PER_S)))

    async def seller(client: load.Client) -> None:
        nonlocal made
        for at in due:
            if (left := at - loop.time()) > 0:
                await asyncio.sleep(left)
            headers = {**bearer, "Idempotency-Key": uuid.uuid4().hex}
            assert await client.ask(load.post("/api/v1/payments/direct-sale", sale, headers)) == 201
            made += 1

    await asyncio.gather(*(seller(client) for _, client in connections))
    for transport, _ in connections:
        transport.close()
    return made


async def back_after_nats(directory: Path, port: int, sale: bytes, bearer: dict[str, str]) -> list[float]:
    """Seconds from ``kill -9`` of NATS to the answer of the next sale, the supervisor's restart of it included, in order."""
    found = []
    for _ in range(RESTARTS):
        await asyncio.sleep(BETWEEN_DEATHS_S)
        [pid] = [child.pid for child in endpoints.read(directory).children if child.name == "nats"]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        since = time.perf_counter()
        await _sold(port, sale, bearer, since + BACK_WITHIN_S)
        found.append(time.perf_counter() - since)
    return sorted(found)


async def _sold(port: int, sale: bytes, bearer: dict[str, str], until: float) -> None:
    """The same sale again and again until it is answered."""
    headers = {**bearer, "Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
    timeout = aiohttp.ClientTimeout(total=ATTEMPT_WITHIN_S)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout, headers=headers) as http:
        while time.perf_counter() < until:
            try:
                async with http.post("/api/v1/payments/direct-sale", data=sale) as answer:
                    if answer.status == 201:
                        json.loads(await answer.read())
                        return
            except (TimeoutError, aiohttp.ClientError):
                continue
    raise SystemExit("no sale after NATS was restarted")


def memory(root: int) -> dict[str, float]:
    """MiB of each kind of process of the tree: proportional set size, so that shared pages count once in the sum."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: dict[str, float] = {}
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, ())
        try:
            size = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        name = _name([part.decode(errors="replace") for part in command])
        found[name] = found.get(name, 0.0) + (int(size[1]) / 1024 if size else 0.0)
    return found


def _name(command: list[str]) -> str:
    if command[0].startswith("theke: "):
        return command[0].removeprefix("theke: ").strip()
    if "-m" in command:
        return command[command.index("-m") + 1].removeprefix("services.").replace("libs.cli.main", "supervisor")
    return "postgres" if "postgres" in command[0] else Path(command[0]).name
