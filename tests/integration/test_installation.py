"""A whole installation with real servers and small stand-ins for the services: what `theke up` promises, but for the trade."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest

from libs.runtime import endpoints
from libs.runtime.children import is_running
from libs.runtime.databases import log_dsn, read_dsn
from libs.runtime.endpoints import Child, Endpoints, NotRunning

PROJECT = Path(__file__).resolve().parents[2]
WITHIN_S = 30.0

# A stand-in says that it is ready once it has found its databases and the bus, as a service would; the gateway has no query tables.
STAND_IN = """
import asyncio, os, signal, sys
import asyncpg, nats
from libs.runtime.databases import log_dsn, read_dsn
async def main():
    dsn = os.environ["THEKE_POSTGRES_DSN"]
    for dsn in (log_dsn(dsn),) if "//theke_gateway:" in dsn else (log_dsn(dsn), read_dsn(dsn)):
        await (await asyncpg.connect(dsn)).close()
    await (await nats.connect(os.environ["THEKE_NATS_URL"])).close()
    os.write(int(os.environ["THEKE_READY_FD"]), b"ready\\n")
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    await done.wait()
asyncio.run(main())
"""

UP = """
import asyncio, os, sys
from libs.runtime import logs
from libs.runtime.config import Settings
from libs.runtime.installation import Installation
logs.configure("supervisor")
async def ready(found):
    print("READY", flush=True)
stand_in = sys.argv[1]
asyncio.run(Installation(Settings.from_env(os.environ), lambda name: (sys.executable, "-c", stand_in)).run(ready))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Up:
    def __init__(self, data: Path, **environ: str) -> None:
        self.data = data
        own = {name: value for name, value in os.environ.items() if not name.startswith("THEKE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", UP, STAND_IN],
            cwd=PROJECT,
            env={**own, "THEKE_DATA": str(data), "THEKE_PORT": str(free_port()), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    async def ready(self) -> Endpoints:
        assert self.process.stdout is not None
        seen: list[str] = []
        async with asyncio.timeout(WITHIN_S):
            while "READY\n" not in seen:
                line = await asyncio.to_thread(self.process.stdout.readline)
                assert line, "".join(seen)
                seen.append(line)
        asyncio.get_running_loop().run_in_executor(None, self.process.stdout.read)  # or the pipe would fill up
        return endpoints.read(self.data)

    async def until(self, name: str, condition: Callable[[Child], bool]) -> Endpoints:
        deadline = time.monotonic() + WITHIN_S
        while True:
            found = endpoints.read(self.data)
            if condition(next(child for child in found.children if child.name == name)):
                return found
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.02)

    async def interrupted(self) -> float:
        since = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(self.process.wait, WITHIN_S) == 0
        return time.monotonic() - since

    def status(self) -> dict[str, Any]:
        command = [sys.executable, "-m", "libs.cli.main", "status", "--json"]
        ran = subprocess.run(command, env={**os.environ, "THEKE_DATA": str(self.data)}, cwd=PROJECT, capture_output=True, check=True)
        return json.loads(ran.stdout)


@pytest.fixture
async def up(state_directory: Path) -> AsyncIterator[Callable[..., Up]]:
    begun: list[Up] = []

    def begin(**environ: str) -> Up:
        begun.append(Up(state_directory, **environ))
        return begun[-1]

    yield begin
    for one in begun:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def pid_of(found: Endpoints, name: str) -> int:
    pid = next(child.pid for child in found.children if child.name == name)
    assert pid is not None
    return pid


async def test_it_starts_is_found_stops_within_five_seconds_and_finds_its_data_again(up: Callable[..., Up]) -> None:
    first = up()
    found = await first.ready()
    assert [child.name for child in found.children] == ["postgres", "nats", "auth", "inventory", "crm", "billing", "pos", "gateway"]
    status = first.status()
    assert status["ready"]
    assert status["supervisor"] == first.process.pid
    assert all(process["alive"] for process in status["processes"])
    connection = await asyncpg.connect(log_dsn(found.postgres_dsn))
    await connection.execute("CREATE TABLE kept (x int)")
    await connection.close()

    assert await first.interrupted() < 5
    with pytest.raises(NotRunning):
        endpoints.read(first.data)
    assert not any(is_running(child.pid) for child in found.children if child.pid)

    second = up()
    found = await second.ready()
    connection = await asyncpg.connect(log_dsn(found.postgres_dsn))
    assert await connection.fetchval("SELECT count(*) FROM kept") == 0
    await connection.close()
    await second.interrupted()


async def test_postgres_and_nats_come_back_at_the_addresses_that_services_know(up: Callable[..., Up]) -> None:
    running = up()
    before = await running.ready()
    for name in ("postgres", "nats"):
        os.kill(pid_of(before, name), signal.SIGKILL)
        after = await running.until(name, lambda child: child.restarts == 1 and child.pid is not None)
    assert (after.postgres_dsn, after.nats_url) == (before.postgres_dsn, before.nats_url)
    await (await asyncpg.connect(read_dsn(after.postgres_dsn))).close()
    await (await nats.connect(after.nats_url)).close()
    for name in ("auth", "inventory", "crm", "billing", "pos", "gateway"):
        assert pid_of(after, name) == pid_of(before, name)
    await running.interrupted()


async def test_a_second_supervisor_on_the_same_state_directory_is_refused(up: Callable[..., Up]) -> None:
    first = up()
    await first.ready()
    second = up()
    said = await asyncio.to_thread(second.process.communicate)
    assert f"in use by another Theke (process {first.process.pid})" in said[0]
    assert second.process.returncode != 0
    assert first.status()["supervisor"] == first.process.pid
    await first.interrupted()


async def test_after_a_kill_of_the_supervisor_nothing_is_left_and_the_next_one_starts(up: Callable[..., Up]) -> None:
    first = up()
    found = await first.ready()
    first.process.kill()
    await asyncio.to_thread(first.process.wait)
    second = up()
    await second.ready()
    assert not any(is_running(child.pid) for child in found.children if child.pid)
    await second.interrupted()


async def test_real_servers_are_used_where_their_addresses_are_given(up: Callable[..., Up], postgres_dsn: str, nats_url: str) -> None:
    running = up(THEKE_POSTGRES_DSN=postgres_dsn, THEKE_NATS_URL=nats_url)
    found = await running.ready()
    assert (found.postgres_dsn, found.nats_url) == (postgres_dsn, nats_url)
    assert [child.name for child in found.children] == ["auth", "inventory", "crm", "billing", "pos", "gateway"]
    await running.interrupted()


async def test_a_port_in_use_is_named_before_anything_starts(up: Callable[..., Up]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = up(THEKE_PORT=str(taken.getsockname()[1]))
        said = await asyncio.to_thread(refused.process.communicate)
    assert "choose another THEKE_PORT" in said[0]
    assert not (refused.data / "postgres").exists()
