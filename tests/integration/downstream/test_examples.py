"""The subscribers in examples/, as a reader of the how-to starts them: programs of their own with an instance's credentials."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import nats.errors
import pytest

from libs.runtime.config import PROJECT
from libs.runtime.publishing import is_published, render
from tests.house import Inn, Theke, Till, item
from tests.integration.downstream.conftest import sell_patiently

EXAMPLES = PROJECT / "examples"
WITHIN_S = 60.0
INSTALL_WITHIN_S = 120.0
KILLS = 4


class Program:
    """A subscriber that can be killed and started again."""

    def __init__(self, command: list[str], url: str, directory: Path, output: Path) -> None:
        self._command, self._directory, self._output = command, directory, output
        self._environ = {"PATH": os.environ["PATH"], "THEKE_DOWNSTREAM": url}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(self._command, cwd=self._directory, env=self._environ, stdout=output, stderr=output)

    def kill(self) -> None:
        """kill -9, unless it is not running."""
        if self._process is not None:
            assert self._process.poll() is None, self._output.read_text()
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def url(theke: Theke, subscribed: Inn) -> str:
    assert theke.nats is not None
    return theke.nats.url_of(f"i{subscribed.instance}")


@pytest.fixture
def table(tmp_path: Path, url: str) -> Iterator[Program]:
    command = [sys.executable, str(EXAMPLES / "python" / "receipts_table.py"), "receipts.db"]
    program = Program(command, url, tmp_path, tmp_path / "python.log")
    yield program
    program.kill()


def rows(path: Path, statement: str) -> list[Any]:
    if not path.exists():
        return []
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return database.execute(statement).fetchall()
    except sqlite3.OperationalError:  # it has not made its tables yet
        return []
    finally:
        database.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - a program of its own tells nobody
            await asyncio.sleep(0.01)


async def issued(theke: Theke, instance: int) -> list[dict[str, Any]]:
    log_rows = await theke.hosts["pos"].log.read_rows(instance, 0, 100_000)
    events = [json.loads(render("pos", row).payload) for row in log_rows]
    return [event for event in events if event["type"] == "receipt.issued"]


async def test_a_table_elsewhere_has_every_receipt_exactly_once_whatever_dies(
    theke: Theke, subscribed: Inn, till: Till, table: Program, tmp_path: Path
) -> None:
    """Killed while it writes, and the bus killed beneath it; takings are added up, so anything taken twice would show for good."""
    path = tmp_path / "receipts.db"

    def taken() -> int:
        found = rows(path, "select count(*) from receipts")
        return found[0][0] if found else 0

    enough = asyncio.Event()
    selling = asyncio.create_task(sell_until(enough, till, subscribed))
    for _ in range(KILLS):
        before = taken()
        table.start()
        await until(lambda before=before: taken() > before)
        table.kill()
    table.start()
    enough.set()
    await selling
    await theke.restart_nats()
    await sell(till, subscribed, 5)
    expected = await issued(theke, subscribed.instance)
    await until(lambda: taken() >= len(expected))
    table.kill()
    found = rows(path, "select position, receipt, number, gross_cents from receipts order by position")
    assert found == [(event["position"], event["data"]["receipt"], event["number"], event["data"]["gross"]) for event in expected]
    takings = rows(path, "select sum(receipts), sum(gross_cents) from takings")
    assert takings == [(len(expected), sum(event["data"]["gross"] for event in expected))]
    assert rows(path, "select position from places") == [(expected[-1]["position"],)]


async def test_a_fetch_that_ran_out_of_time_is_none_that_failed() -> None:
    """Once the program ended, now and then: nats-py gives up a fetch with its own TimeoutError or with Python's."""
    specification = importlib.util.spec_from_file_location("receipts_table", EXAMPLES / "python" / "receipts_table.py")
    assert specification is not None
    assert specification.loader is not None
    program = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(program)
    database = sqlite3.connect(":memory:")
    database.executescript(program.SCHEMA)
    consumer, connection = AsyncMock(), Mock()
    connection.jetstream.return_value.pull_subscribe = AsyncMock(return_value=consumer)
    consumer.fetch.side_effect = [nats.errors.TimeoutError, TimeoutError, nats.errors.ConnectionClosedError]
    with pytest.raises(nats.errors.ConnectionClosedError):
        await program.follow(connection, database)
    assert consumer.consumer_info.await_count == 2


async def sell(till: Till, inn: Inn, count: int) -> None:
    for number in range(count):
        await sell_patiently(till, item(inn.menu["Pils"], 1 + number % 3))


async def sell_until(enough: asyncio.Event, till: Till, inn: Inn) -> None:
    while not enough.is_set():
        await sell(till, inn, 1)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages, installed as the how-to says."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    directory = tmp_path_factory.mktemp("node")
    for file in ("package.json", "package-lock.json", ".npmrc", "follow.js"):
        shutil.copy(EXAMPLES / "node" / file, directory)
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=INSTALL_WITHIN_S)
    return directory


async def test_a_subscriber_in_node_prints_everything_from_any_position_on(
    theke: Theke, subscribed: Inn, till: Till, node: Path, url: str, tmp_path: Path
) -> None:
    log_rows = await theke.hosts["pos"].log.read_rows(subscribed.instance, 0, 100_000)
    start = log_rows[len(log_rows) // 2]["position"]
    output = tmp_path / "node.log"
    program = Program(["node", "follow.js", "EVT_pos", str(start)], url, node, output)
    program.start()
    try:
        await sell(till, subscribed, 3)
        log_rows = await theke.hosts["pos"].log.read_rows(subscribed.instance, 0, 100_000)
        published = [row for row in log_rows if is_published(row["type"]) and row["position"] >= start]
        await until(lambda: output.read_text().count("\n") >= len(published))
    finally:
        program.kill()
    printed = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(event["position"], event["id"]) for event in printed] == [(row["position"], str(row["id"])) for row in published]


def test_the_lock_file_names_versions_and_sums_but_no_address() -> None:
    locked = (EXAMPLES / "node" / "package-lock.json").read_text()
    assert "integrity" in locked
    assert "resolved" not in locked
    assert "://" not in locked
