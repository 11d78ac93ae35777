"""Programs that are forked instead of started: they must be children like any other."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from libs.runtime import children, forkserver
from libs.runtime.children import Child, is_running, reap_orphans
from libs.runtime.forkserver import Adopted, ForkServer
from libs.runtime.program import READY_FD, Program

WITHIN_S = 20.0
PROJECT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not forkserver.POSSIBLE, reason="forks need Linux")

LOADED = "VERSION = 1\n"
PROGRAM = """
import json, os, signal, sys, time
import till_loaded
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
said = {"pid": os.getpid(), "parent": os.getppid(), "group": os.getpgid(0), "cwd": os.getcwd(), "env": dict(os.environ), "name": __name__,
        "version": till_loaded.VERSION, "open": sorted(map(int, os.listdir("/proc/self/fd")))}
with open("saying", "w") as saying:
    saying.write(json.dumps(said))
os.replace("saying", "said")  # whole or not at all, whenever it is killed
number = os.environ.get("THEKE_READY_FD")
if number:
    os.write(int(number), b"ready\\n")
    os.close(int(number))
if os.environ.get("FAILS"):
    raise SystemExit(7)
time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "till_loaded.py").write_text(LOADED)
    (tmp_path / "till.py").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
async def forks(place: Path) -> AsyncIterator[ForkServer]:
    server = ForkServer({"till": "till_loaded"}, {**os.environ, "PYTHONPATH": f"{PROJECT}:{place}"}, place)
    server.start()
    yield server
    server.stop()


def program(forks: ForkServer, place: Path, module: str = "till", **env: str) -> Program:
    return Program("till-2", (sys.executable, "-m", module), lambda: {"TILL": "2", **env}, cwd=place, launch=forks.launch)


def said(place: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((place / "said").read_text())
    return found


async def ended(child: Child) -> int | None:
    assert await children.ended(child, WITHIN_S)
    return child.returncode


async def test_a_forked_program_is_a_child_like_any_other(forks: ForkServer, place: Path) -> None:
    till = program(forks, place)
    await till.start()
    told = said(place)
    assert till.pid == told["pid"] == told["group"] != forks.pid
    assert told["parent"] == os.getpid()
    assert told["cwd"] == str(place)
    env = told["env"]
    assert isinstance(env, dict)
    assert set(env) == {"TILL", READY_FD}
    assert told["name"] == "__main__"
    opened = told["open"]
    assert isinstance(opened, list)
    assert len(set(opened) - {0, 1, 2, int(env[READY_FD])}) <= 1, "something of the fork server's is left open beside the listing itself"
    assert Path(f"/proc/{till.pid}/cmdline").read_bytes().rstrip(b"\0 ") == b"theke: till-2"
    assert till._child is not None
    child = till._child
    assert isinstance(child, Adopted)
    await till.stop()
    assert child.returncode == 3


async def test_its_exit_code_is_known(forks: ForkServer, place: Path) -> None:
    child = await forks.launch("till", (sys.executable, "-m", "till"), env={"FAILS": "1"}, cwd=place, inherit=[])
    assert await ended(child) == 7
    child = await forks.launch("till", (sys.executable, "-m", "till"), env={}, cwd=place, inherit=[])
    os.kill(child.pid, signal.SIGKILL)
    assert await ended(child) == -signal.SIGKILL


async def test_what_it_does_not_know_is_started_as_a_program_of_its_own(forks: ForkServer, place: Path) -> None:
    child = await forks.launch("other", (sys.executable, "-c", "raise SystemExit(5)"), env=dict(os.environ), cwd=place, inherit=[])
    assert isinstance(child, subprocess.Popen)
    assert await ended(child) == 5


async def test_code_that_changed_on_disk_is_loaded_anew(forks: ForkServer, place: Path) -> None:
    first = program(forks, place)
    await first.start()
    server = forks.pid
    assert said(place)["version"] == 1
    (place / "till_loaded.py").write_text("VERSION = 2  # the next one\n")
    second = program(forks, place)
    await second.start()
    assert said(place)["version"] == 2
    assert forks.pid != server
    assert first.is_alive()
    await asyncio.gather(first.stop(), second.stop())


async def test_a_dead_fork_server_is_replaced_and_takes_nothing_with_it(forks: ForkServer, place: Path) -> None:
    first = program(forks, place)
    await first.start()
    assert forks.pid is not None
    os.kill(forks.pid, signal.SIGKILL)
    second = program(forks, place)
    await second.start()
    assert isinstance(second._child, Adopted)
    assert first.is_alive()
    await asyncio.gather(first.stop(), second.stop())


async def test_a_fork_server_that_hangs_is_not_waited_for(forks: ForkServer, place: Path) -> None:
    first = program(forks, place)
    await first.start()
    hanging = forks.pid
    assert hanging is not None
    os.kill(hanging, signal.SIGSTOP)
    second = program(forks, place, PYTHONPATH=str(place))
    since = time.monotonic()
    await second.start()
    assert time.monotonic() - since < forkserver.FORKED_WITHIN_S + 3
    assert isinstance(second._child, subprocess.Popen), "started, not forked"
    assert not is_running(hanging)
    third = program(forks, place)
    await third.start()
    assert isinstance(third._child, Adopted), "by another one"
    await asyncio.gather(first.stop(), second.stop(), third.stop())


async def test_a_fork_that_comes_too_late_is_ended(forks: ForkServer, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or there would be a process that nobody knows."""
    asked = ForkServer._asked

    async def too_late(self: ForkServer, request: forkserver.Request) -> bytes:
        monkeypatch.setattr(ForkServer, "_asked", asked)
        assert self._socket is not None
        socket.send_fds(self._socket, [msgspec.msgpack.encode(request)], request.inherit)
        while not (place / "said").exists():  # noqa: ASYNC110 - so it has announced itself
            await asyncio.sleep(0.01)
        raise TimeoutError

    monkeypatch.setattr(ForkServer, "_asked", too_late)
    child = await forks.launch("till", (sys.executable, "-m", "till"), env={"PYTHONPATH": str(place)}, cwd=place, inherit=[])
    assert isinstance(child, subprocess.Popen)
    late = json.loads((place / "said").read_text() or "{}").get("pid", child.pid)
    if late != child.pid:
        await gone(late)
    children.kill(child)


async def test_without_a_fork_server_programs_start_all_the_same(place: Path) -> None:
    """Its own code cannot be loaded: what cannot be forked is started."""
    server = ForkServer({"till": "there_is_no_such_module"}, {**os.environ, "PYTHONPATH": str(PROJECT)}, place)
    till = program(server, place, PYTHONPATH=str(place))
    await till.start()
    assert isinstance(till._child, subprocess.Popen)
    await till.stop()
    server.stop()


async def test_where_there_are_no_subreapers_nothing_is_forked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forkserver, "_prctl", lambda *_: False)
    server = ForkServer({"till": "till_loaded"}, {**os.environ, "PYTHONPATH": f"{PROJECT}:{place}"}, place)
    server.start()
    assert server.pid is None
    till = program(server, place, PYTHONPATH=str(place))
    await till.start()
    assert isinstance(till._child, subprocess.Popen)
    await till.stop()
    server.stop()


async def test_a_fork_nobody_waits_for_any_more_is_ended(forks: ForkServer, place: Path) -> None:
    """Ctrl-C in the middle of a start."""
    starting = asyncio.create_task(forks.launch("till", (sys.executable, "-m", "till"), env={}, cwd=place, inherit=[]))
    await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    if (place / "said").exists():
        pid = said(place)["pid"]
        assert isinstance(pid, int)
        await gone(pid)


async def gone(pid: int) -> None:
    deadline = time.monotonic() + WITHIN_S
    while is_running(pid):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_what_dead_children_leave_behind_is_taken_note_of(forks: ForkServer, place: Path) -> None:
    """As with the processes of a Postgres that was killed: a subreaper gets them, and its own children's ends stay theirs."""
    orphan = "import os, time\nif os.fork() == 0:\n    open('orphan', 'w').write(str(os.getpid()))\n    time.sleep(0.5)\n"
    own = children.spawn((sys.executable, "-c", "raise SystemExit(5)"), env=dict(os.environ), cwd=place)
    parent = children.spawn((sys.executable, "-c", orphan), env=dict(os.environ), cwd=place)
    assert await ended(parent) == 0
    while not (place / "orphan").exists() or not (pid := (place / "orphan").read_text()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    deadline = time.monotonic() + WITHIN_S
    while Path(f"/proc/{pid}").exists():
        reap_orphans()
        own.poll()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert own.returncode == 5


async def test_forked_programs_die_with_their_supervisor(place: Path) -> None:
    supervisor = f"""
import asyncio, os, sys
from pathlib import Path
from libs.runtime.forkserver import ForkServer
async def main():
    place = Path({str(place)!r})
    forks = ForkServer({{"till": "till_loaded"}}, {{**os.environ, "PYTHONPATH": "{PROJECT}:" + str(place)}}, place)
    child = await forks.launch("till", (sys.executable, "-m", "till"), env={{}}, cwd=place, inherit=[])
    print(child.pid, forks.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    running = subprocess.Popen([sys.executable, "-c", supervisor], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    pids = [int(pid) for pid in (await asyncio.to_thread(running.stdout.readline)).split()]
    assert len(pids) == 2
    assert all(map(is_running, pids))
    running.kill()
    await asyncio.to_thread(running.wait)
    for pid in pids:
        await gone(pid)
