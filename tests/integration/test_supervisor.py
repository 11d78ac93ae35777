"""The supervisor with small children that record what happens to them: deaths, Ctrl-C, stubborn ones, its own sudden end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from libs.runtime import children, supervisor
from libs.runtime.children import StartFailed
from libs.runtime.endpoints import Child
from libs.runtime.program import Program, run_once
from libs.runtime.supervisor import Stage, Supervisor, backoff

PROJECT = Path(__file__).resolve().parents[2]
WITHIN_S = 15.0

# Notes each turn of its life in the journal: "start NAME PID seconds", "term NAME PID seconds".
DUMMY = """
import os, signal, sys, time
name, journal, manner = sys.argv[1:4]
def note(word):
    with open(journal, "a") as file:
        file.write(f"{word} {name} {os.getpid()} {time.monotonic()} {os.environ.get('COLOUR', '')}\\n")
def finish(*_):
    note("term")
    if manner != "stubborn":
        sys.exit(0)
signal.signal(signal.SIGTERM, finish)
note("start")
if manner == "never-ready":
    sys.exit(7)
os.write(int(os.environ["THEKE_READY_FD"]), b"ready\\n")
if manner == "short-lived":
    sys.exit(3)
while True:
    time.sleep(60)
"""


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()]

    def of(self, word: str, name: str = "") -> list[list[str]]:
        return [line for line in self.lines() if line[0] == word and name in ("", line[1])]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def dummy(journal: Journal, name: str, manner: str = "steady", colour: Callable[[], str] = lambda: "", **options: float) -> Program:
    command = (sys.executable, "-c", DUMMY, name, str(journal.path), manner)
    return Program(name, command, lambda: {"COLOUR": colour()}, cwd=journal.path.parent, **options)


class Running:
    """A supervisor in a task of the test's loop, with the process table it last published."""

    def __init__(self, *stages: list[Program]) -> None:
        self.table: dict[str, Child] = {}
        self.ready = False
        self.units = {unit.name: unit for stage in stages for unit in stage}
        self._supervisor = Supervisor([Stage(stage) for stage in stages], self._changed)
        self.task = asyncio.create_task(self._supervisor.run())

    def _changed(self, table: tuple[Child, ...], ready: bool) -> None:
        self.table, self.ready = {child.name: child for child in table}, ready

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline, f"it did not come about: {self.table}"
            if self.task.done():
                self.task.result()
            await asyncio.sleep(0.01)

    async def stopped_by(self, number: signal.Signals = signal.SIGINT) -> None:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(self.task, WITHIN_S)


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Running]]:
    """Starts supervisors; whatever a failed test leaves behind is killed."""
    all_running: list[Running] = []

    def begin(*stages: list[Program]) -> Running:
        all_running.append(Running(*stages))
        return all_running[-1]

    yield begin
    for running in all_running:
        if not running.task.done():
            running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)
        for unit in running.units.values():
            unit.kill()


Start = Callable[..., Running]


async def test_stages_start_one_after_the_other_and_stop_the_other_way_round(start: Start, journal: Journal) -> None:
    running = start([dummy(journal, "bus")], [dummy(journal, "till")], [dummy(journal, "gateway")])
    await running.until(lambda: running.ready)
    await running.stopped_by(signal.SIGTERM)
    assert [line[1] for line in journal.of("start")] == ["bus", "till", "gateway"]
    assert [line[1] for line in journal.of("term")] == ["gateway", "till", "bus"]


async def test_a_child_that_died_is_there_again(start: Start, journal: Journal) -> None:
    running = start([dummy(journal, "till"), dummy(journal, "kitchen")])
    await running.until(lambda: running.ready)
    first, neighbour = running.table["till"].pid, running.table["kitchen"].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await running.until(lambda: running.table["till"].restarts == 1 and running.table["till"].pid is not None)
    assert running.table["till"].pid != first
    assert running.table["kitchen"].pid == neighbour
    await running.stopped_by()


async def test_a_child_that_dies_again_and_again_is_started_at_growing_distances(start: Start, journal: Journal) -> None:
    running = start([dummy(journal, "moth", "short-lived")])
    await running.until(lambda: len(journal.of("start")) >= 4)
    starts = [float(line[3]) for line in journal.of("start")]
    distances = [later - earlier for earlier, later in pairwise(starts)]
    assert all(distance >= backoff(failures) for failures, distance in enumerate(distances[:3])), distances
    await running.stopped_by()


def test_backoff_doubles_from_a_tenth_of_a_second_to_ten_seconds() -> None:
    assert [backoff(failures) for failures in range(9)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert backoff(10_000) == 10.0


async def test_a_long_life_makes_earlier_deaths_forgotten(start: Start, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STEADY_S", 0.0)
    asked: list[int] = []
    monkeypatch.setattr(supervisor, "backoff", lambda failures: asked.append(failures) or 0.01)
    running = start([dummy(journal, "till")])
    await running.until(lambda: running.ready)
    for restarts in (1, 2, 3):
        pid = running.table["till"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await running.until(lambda count=restarts: running.table["till"].restarts == count and running.table["till"].pid is not None)
    await running.stopped_by()
    assert asked == [0, 0, 0]


async def test_ctrl_c_ends_even_stubborn_children_within_five_seconds(start: Start, journal: Journal) -> None:
    running = start([dummy(journal, "bus", "stubborn")], [dummy(journal, "till", "stubborn")], [dummy(journal, "gateway", "stubborn")])
    await running.until(lambda: running.ready)
    since = time.monotonic()
    await running.stopped_by()
    assert time.monotonic() - since < 5
    assert not any(unit.is_alive() for unit in running.units.values())
    assert [line[1] for line in journal.of("term")] == ["gateway", "till", "bus"]


async def test_what_works_beside_the_children_takes_its_leave_undisturbed(journal: Journal) -> None:
    """It once was cancelled a second time while it did, and left a connection behind that kept the process from ending."""
    left: list[str] = []

    async def beside() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(0.2)
            left.append("in peace")

    ready = asyncio.Event()
    stages = [Stage([dummy(journal, "bus")], beside=beside), Stage([dummy(journal, "till")])]
    async with asyncio.timeout(WITHIN_S):
        running = asyncio.create_task(Supervisor(stages, lambda _, is_ready: ready.set() if is_ready else None).run())
        await ready.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await running
    assert left == ["in peace"]


async def test_a_second_ctrl_c_kills_at_once(start: Start, journal: Journal) -> None:
    running = start([dummy(journal, "till", "stubborn", stop_patience=60.0)])
    await running.until(lambda: running.ready)
    os.kill(os.getpid(), signal.SIGINT)
    await running.until(lambda: len(journal.of("term")) == 1)
    await running.stopped_by()
    assert not running.units["till"].is_alive()


async def test_ctrl_c_during_the_start_stops_what_runs_already(start: Start, journal: Journal) -> None:
    silent = Program("silent", ("/bin/sleep", "600"), dict, cwd=journal.path.parent)
    running = start([dummy(journal, "bus")], [silent])
    await running.until(silent.is_alive)
    await running.stopped_by()
    assert not silent.is_alive()
    assert not running.units["bus"].is_alive()


async def test_a_child_that_never_gets_ready_ends_the_start_and_everything_else(start: Start, journal: Journal) -> None:
    running = start([dummy(journal, "bus")], [dummy(journal, "broken", "never-ready")])
    with pytest.raises(StartFailed, match="broken ended with 7"):
        await asyncio.wait_for(running.task, WITHIN_S)
    assert len(journal.of("start", "broken")) == supervisor.FIRST_START_TRIES
    assert len(journal.of("term", "bus")) == 1
    assert not running.units["bus"].is_alive()


async def test_silence_past_the_deadline_is_a_failed_start(tmp_path: Path) -> None:
    silent = Program("silent", ("/bin/sleep", "600"), dict, cwd=tmp_path, ready_timeout=0.2)
    with pytest.raises(StartFailed, match="silent was not ready within"):
        await silent.start()
    assert not silent.is_alive()


async def test_children_whose_settings_changed_are_started_anew(start: Start, journal: Journal) -> None:
    colour = "red"
    running = start([dummy(journal, "till", colour=lambda: colour)])
    await running.until(lambda: running.ready)
    colour = "green"
    await running.until(lambda: running.table["till"].restarts == 1 and len(journal.of("start")) == 2)
    assert [line[4] for line in journal.of("start")] == ["red", "green"]
    await running.stopped_by()


async def test_a_program_run_once_must_end_well_and_in_time(tmp_path: Path) -> None:
    await run_once(("/bin/true",), {}, cwd=tmp_path, timeout=WITHIN_S)
    with pytest.raises(StartFailed, match="ended with 1"):
        await run_once(("/bin/false",), {}, cwd=tmp_path, timeout=WITHIN_S)
    with pytest.raises(StartFailed, match="did not end within"):
        await run_once(("/bin/sleep", "600"), {}, cwd=tmp_path, timeout=0.2)


ALONE = """
import asyncio, sys
from itertools import pairwise
from pathlib import Path
from libs.runtime.program import Program
from libs.runtime.supervisor import Stage, Supervisor
dummy, journal = sys.argv[1:3]
def unit(name):
    return Program(name, (sys.executable, "-c", dummy, name, journal, "steady"), dict, cwd=Path(journal).parent)
def show(table, ready):
    if ready:
        print(*(child.pid for child in table), flush=True)
asyncio.run(Supervisor([Stage([unit("bus")]), Stage([unit("till"), unit("kitchen")])], show).run())
"""


async def test_a_killed_supervisor_leaves_no_children_behind(journal: Journal) -> None:
    alone = subprocess.Popen(
        [sys.executable, "-c", ALONE, DUMMY, str(journal.path)], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert alone.stdout is not None
    pids: list[int] = []
    while len(pids) != 3:
        line = await asyncio.to_thread(alone.stdout.readline)
        assert line, "the supervisor ended early"
        pids = [int(word) for word in line.split() if word.isdigit()]
    alone.kill()
    alone.wait()
    deadline = time.monotonic() + WITHIN_S
    while any(children.is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "children outlived their supervisor"
        await asyncio.sleep(0.02)


async def test_children_are_out_of_reach_of_the_terminals_ctrl_c(start: Start, journal: Journal) -> None:
    running = start([dummy(journal, "till")])
    await running.until(lambda: running.ready)
    pid = running.table["till"].pid
    assert pid is not None
    assert os.getpgid(pid) == pid != os.getpgid(0)
    await running.stopped_by()
