"""``python -m tests.bench.erp``, part of ``make bench``: the ERP with 100,000 accounts and as many contacts (``BENCH_ACCOUNTS``).

Rows are made by the deciders of crm and appended to its log by its own batcher, in a process of its own beside the service, without bus and
look-ups; the service projects them. Measured: a list with filter, join, order and limit beside hand-written SQL on the same tables; an
export of every account; creates, changes and deletes beside plain statements.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import asyncpg
import uvloop

from libs.contracts.auth.access import GROUP
from libs.domain.access import ALL
from libs.domain.decider import Command, CommandType
from libs.domain.principal import system
from libs.eventstore.batcher import QUEUE_MAX_COMMANDS, Batcher
from libs.eventstore.log import Log
from libs.records.numbered import Create, Known, Written
from libs.runtime.asking import connected
from libs.runtime.databases import create_database, log_dsn, on_database, read_dsn
from libs.runtime.endpoints import Endpoints
from services.crm.service import SERVICE as CRM
from tests.bench import load
from tests.bench.__main__ import Turns, free_port, started

ACCOUNTS: Final = int(os.environ.get("BENCH_ACCOUNTS", "100000"))
GROUPS: Final = 100
SECONDS: Final = float(os.environ.get("BENCH_SECONDS", "9"))
CLIENTS: Final = 16
EXPORTS: Final = 3
SHOWN_WITHIN_S: Final = 600.0
LOOK_EVERY_S: Final = 0.05
FIELDS: Final = ["ID", "lastname", "customernum", "contact.lastname", "contact.city"]
_ID: Final = re.compile(rb'"(?:ID|id)":(\d+)')


class Business:
    """The demo instance: ``first`` of its account and contact IDs, the IDs of ``groups``."""

    def __init__(self, found: Endpoints, port: int, floor_port: int) -> None:
        self.found = found
        self.port = port
        self.floor_port = floor_port
        self.instance = 0
        self.groups: list[int] = []
        self.headers: dict[str, str] = {}
        self._turns = Turns(found.postgres_dsn)
        self._read = asyncpg.connect(read_dsn(found.postgres_dsn))

    async def open(self) -> None:
        self.read = await self._read
        self.instance = await self.read.fetchval("select max(instance) from auth.checkpoints")
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{self.port}") as http,
            http.post("/demo/auth/v1/login", json={"name": "admin", "password": "admin", "identifier": "bench"}) as answer,
        ):
            self.headers = {"Authorization": f"Bearer {(await answer.json())['token']}"}
        connection, services = await connected(self.found.nats_url, "bench")
        for number in range(GROUPS):
            body = Create(values={"name": f"Team {number}"})
            group, _ = await services.command(
                "auth", f"{GROUP.name}.create", body, Written, principal=system(self.instance, "bench"), id=uuid4()
            )
            self.groups.append(group.id)
        await connection.close()

    async def fill(self) -> tuple[float, float]:
        """Seconds until everything is in the log, and until every row shows."""
        begins = time.perf_counter()
        log = Log(log_dsn(self.found.postgres_dsn), "crm")
        await log.open()
        batcher = Batcher(log)
        batcher.start()
        types = {command.name: command for command in CRM.commands}
        contacts = await log.lease(self.instance, "contact", ACCOUNTS) - ACCOUNTS + 1
        accounts = await log.lease(self.instance, "account", ACCOUNTS) - ACCOUNTS + 1
        await self._make(batcher, types["contact.create"], contacts, lambda ix: {
            "lastname": f"Kontakt {ix * 7919 % ACCOUNTS}", "firstname": "Eva", "city": f"Stadt {ix % 1000}", "email": f"k{ix}@example.org",
        })  # fmt: skip
        await self._make(batcher, types["account.create"], accounts, lambda ix: {
            "lastname": f"Firma {ix * 7907 % ACCOUNTS}", "currency": "EUR", "customernum": f"K-{ix}", "type": 1 if ix % 3 else 0,
            "contact": contacts + ix, "ownergroup": self.groups[ix % GROUPS], "description": "Stammkunde seit Jahren",
        })  # fmt: skip
        await batcher.stop()
        await log.close()
        appended = time.perf_counter() - begins
        await self._poke()
        async with asyncio.timeout(SHOWN_WITHIN_S):
            while await self._shown() < ACCOUNTS:  # noqa: ASYNC110  # tables of another process
                await asyncio.sleep(0.5)
        shown = time.perf_counter() - begins
        await self.read.execute("vacuum analyze")
        return appended, shown

    async def _make(self, batcher: Batcher, type_: CommandType, first: int, values: Any) -> None:
        principal = system(self.instance, "bench")

        async def one(ix: int) -> None:
            command = Command(uuid4(), datetime.now(UTC), principal, Create(values=values(ix), id=first + ix))
            await batcher.submit(type_, command, Known(ALL), b"", timeout=SHOWN_WITHIN_S)

        for start in range(0, ACCOUNTS, QUEUE_MAX_COMMANDS):
            await asyncio.gather(*(one(ix) for ix in range(start, min(start + QUEUE_MAX_COMMANDS, ACCOUNTS))))

    async def _poke(self) -> None:
        """The service hears of what others appended when it appends something itself."""
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", headers=self.headers) as http,
            http.put("/demo/api/v1/accounts", json={"lastname": "Ende", "currency": "EUR"}) as answer,
        ):
            assert answer.status in (201, 410, 503), await answer.text()

    async def _shown(self) -> int:
        revision = await self.read.fetchval("select active from theke.revisions where service = 'crm' and projection = 'customers'")
        count: int = await self.read.fetchval(f"select count(*) from crm.accounts_r{revision}")
        return count

    # --- lists ----------------------------------------------------------------------------------------------------------------

    async def lists(self) -> None:
        def body(number: int) -> bytes:
            group = self.groups[number * 13 % GROUPS]
            filters = {"ownergroup": group, "type": 1, "visibility": 0}
            return json.dumps({"fields": FIELDS, "filters": filters, "sort": ["lastname"], "limit": 50}).encode()

        def asking(path: str) -> Any:
            counter = iter(range(10**9))

            async def ask(connection: load.Client, _: int) -> bool:
                return await connection.ask(load.post(path, body(next(counter)), self.headers)) == 200

            return ask

        floor, theke = asking(f"/{self.instance}/accounts"), asking("/demo/api/v1/accounts")
        for clients in (1, CLIENTS):
            await self._turns.compare(
                "list, 50 of 1,000",
                partial(load.rounds, self.floor_port, floor, clients),
                partial(load.rounds, self.port, theke, clients),
            )

    # --- writes ---------------------------------------------------------------------------------------------------------------

    async def writes(self) -> None:
        """Each client creates an account, changes it and deletes it, one step timed at a time."""
        body = json.dumps({"lastname": "Neu", "currency": "EUR", "type": 1}).encode()
        change = json.dumps({"description": "geändert"}).encode()
        for title, step in (("account, create", 0), ("account, change", 1), ("account, delete", 2)):
            await self._turns.compare(
                title,
                partial(self._step, self.floor_port, "/accounts", {}, step, body, change),
                partial(self._step, self.port, "/demo/api/v1/accounts", self.headers, step, body, change),
            )

    async def _step(
        self, port: int, path: str, headers: dict[str, str], step: int, body: bytes, change: bytes, seconds: float
    ) -> load.Figures:
        made: list[list[bytes]] = [[] for _ in range(CLIENTS)]

        async def create(connection: load.Client, number: int) -> bool:
            well = await connection.ask(load.request("PUT", path, headers, body)) == 201
            found = _ID.search(connection.body)
            assert found is not None, connection.body
            made[number].append(found[1])
            return well

        async def touch(connection: load.Client, number: int) -> bool:
            return await connection.ask(load.request("PATCH", f"{path}/{made[number][0].decode()}", headers, change)) == 200

        async def delete(connection: load.Client, number: int) -> bool:
            if not made[number]:
                await asyncio.sleep(LOOK_EVERY_S)
                return True
            return await connection.ask(load.request("DELETE", f"{path}/{made[number].pop().decode()}", headers)) == 204

        if step == 0:
            return await load.rounds(port, create, CLIENTS, seconds)
        await load.rounds(port, create, CLIENTS, seconds if step == 2 else 1.0)
        return await load.rounds(port, (touch, delete)[step - 1], CLIENTS, seconds if step == 1 else seconds / 2)

    # --- export ---------------------------------------------------------------------------------------------------------------

    async def export(self) -> None:
        """Every column of every account, as CSV."""
        pids = {child.name: child.pid for child in self.found.children if child.name in ("crm", "gateway")}
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", headers=self.headers, timeout=timeout) as http:
            for _ in range(EXPORTS):
                before = {name: _rss(pid) for name, pid in pids.items()}
                most = dict(before)
                begins, size, lines = time.perf_counter(), 0, 0
                looking = asyncio.create_task(_look(pids, most))
                async with http.post("/demo/api/v1/accounts", json={"export": True}) as answer:
                    assert answer.status == 200, await answer.text()
                    async for piece in answer.content.iter_any():
                        size += len(piece)
                        lines += piece.count(b"\r\n")
                took = time.perf_counter() - begins
                looking.cancel()
                grown = ", ".join(f"{name} {before[name]:.0f} to {most[name]:.0f} MB" for name in pids)
                print(
                    f"export {lines - 1:,} rows {took:6.2f} s {(lines - 1) / took:10,.0f} rows/s {size / 1e6:6.1f} MB; memory: {grown}",
                    flush=True,
                )


async def _look(pids: dict[str, int], most: dict[str, float]) -> None:
    while True:
        for name, pid in pids.items():
            most[name] = max(most[name], _rss(pid))
        await asyncio.sleep(LOOK_EVERY_S)


def _rss(pid: int) -> float:
    """Megabytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1000


async def main() -> None:
    directory = Path(tempfile.mkdtemp(prefix="theke-bench-"))
    directory.chmod(0o711)
    port, floor_port = free_port(), free_port()
    theke, found = await started(directory, port)
    floor = None
    try:
        business = Business(found, port, floor_port)
        await business.open()
        appended, shown = await business.fill()
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {SECONDS:.0f} s each")
        print(f"{2 * ACCOUNTS:,} rows in the log after {appended:.1f} s, in the tables after {shown:.1f} s", flush=True)
        connection = await asyncpg.connect(found.postgres_dsn)
        await create_database(connection, "floor")
        await connection.close()
        dsns = (on_database(found.postgres_dsn, "floor"), read_dsn(found.postgres_dsn))
        floor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.erp_floor", *dsns, str(floor_port), stdout=asyncio.subprocess.PIPE
        )
        assert floor.stdout is not None
        await floor.stdout.readline()
        print(f"{'':>18} {'clients':>8} {'':>6} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8} {'failed':>7}")
        await business.lists()
        await business.export()
        await business.writes()
    finally:
        if floor is not None:
            floor.kill()
            await floor.wait()
        theke.terminate()
        await theke.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    uvloop.run(main())
