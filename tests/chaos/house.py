"""A whole Theke as processes of its own, started as ``make run`` does, for those who want to do it harm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from libs.runtime import endpoints
from libs.runtime.bus_key import BusKey
from libs.runtime.children import is_running
from libs.runtime.config import KEY_FILE, PROJECT
from libs.runtime.endpoints import Child, Endpoints, NotRunning
from libs.runtime.forkserver import TITLE
from libs.runtime.keeper import as_user
from libs.runtime.roles import Roles

START_WITHIN_S: Final = 90.0
COMMAND_WITHIN_S: Final = 180.0
RETURN_WITHIN_S: Final = 60.0
STOP_WITHIN_S: Final = 30.0  # given up after; what is promised is less
LOOK_EVERY_S: Final = 0.01
LOG_TAIL_BYTES: Final = 6_000
READY: Final = b"Theke is ready"


class House:
    """``open`` and ``close`` may alternate: the state directory stays."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        self.directory = directory
        self._settings = dict(settings)
        self.data = directory / "state"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._opened = 0
        self._abandoned = False

    @classmethod
    def on_new_ground(cls, **settings: str) -> House:
        """``settings``: variables besides those that every house has."""
        directory = Path(tempfile.mkdtemp(prefix="theke-chaos-"))
        directory.chmod(0o711)  # as root, Postgres runs as another account and has to get in
        return cls(directory, settings)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def known(self) -> Endpoints:
        return endpoints.read(self.data)

    async def open(self) -> None:
        """Start it and wait until it says that it is ready."""
        self._opened += 1
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "libs.cli.main", "up"],
                cwd=PROJECT, env=self._environ(), stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        deadline = time.monotonic() + START_WITHIN_S
        while READY not in self._log.read_bytes():
            assert self._process.poll() is None, f"theke ended with {self._process.returncode}:\n{self.log_tail()}"
            assert time.monotonic() < deadline, f"theke was not ready within {START_WITHIN_S:g} s:\n{self.log_tail()}"
            await asyncio.sleep(0.05)

    def _environ(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("THEKE_")}
        settings = {"THEKE_DEMO": "1", "THEKE_DATA": str(self.data), "THEKE_PORT": str(self.port), "THEKE_LOG_LEVEL": "info"}
        return {**own, **settings, **self._settings}

    def environ_of(self, service: str) -> dict[str, str]:
        """What a process of this service needs that is started beside the house's own, as on another machine."""
        known, key = self.known, BusKey.kept_in(self.data / KEY_FILE)
        return {
            **self._environ(),
            "THEKE_POSTGRES_DSN": Roles(known.postgres_dsn).dsn(service),
            "THEKE_NATS_URL": as_user(known.nats_url, service, key.password(service)),
            "THEKE_STREAMS_KEPT": "1",
            "THEKE_OPERATIONS_PORT": "0",
        }

    def change(self, **settings: str) -> None:
        """From the next opening on."""
        self._settings |= settings

    async def close(self) -> float:
        """Ctrl-C. The seconds it took to end."""
        assert self._process is not None, "not open"
        since = time.monotonic()
        self._process.send_signal(signal.SIGINT)
        code = await asyncio.to_thread(self._process.wait, STOP_WITHIN_S)
        assert code == 0, f"theke ended with {code}:\n{self.log_tail()}"
        self._process = None
        return time.monotonic() - since

    async def power_cut(self) -> None:
        """The supervisor is killed and takes everything with it; opening again may have to wait for the last of them."""
        assert self._process is not None, "not open"
        self._process.kill()
        await asyncio.to_thread(self._process.wait, STOP_WITHIN_S)
        self._process = None

    def demolish(self) -> None:
        """End whatever still runs, and remove the state unless it was abandoned."""
        self._end()
        if not self._abandoned:
            shutil.rmtree(self.directory, ignore_errors=True)

    def abandon(self) -> Path:
        """End whatever still runs, and leave everything as it is for whoever wants to know what happened. The directory."""
        self._end()
        self._abandoned = True
        return self.directory

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_WITHIN_S)
            self._process = None
        deadline = time.monotonic() + STOP_WITHIN_S
        while time.monotonic() < deadline and any(child.pid and is_running(child.pid) for child in self._children()):
            time.sleep(0.05)

    @property
    def processes(self) -> list[str]:
        """The names of all that the supervisor keeps."""
        return [child.name for child in self.known.children]

    def restarts(self, name: str) -> int:
        return self._child(name).restarts

    async def pid(self, name: str) -> int:
        """The process id of a child that lives now, waiting for it if it is between two lives."""
        deadline = time.monotonic() + RETURN_WITHIN_S
        while not self._is_mine(self._child(name).pid):
            assert time.monotonic() < deadline, f"{name} did not come back within {RETURN_WITHIN_S:g} s:\n{self.log_tail()}"
            await asyncio.sleep(LOOK_EVERY_S)
        found = self._child(name).pid
        assert found is not None
        return found

    def signal(self, pid: int, number: signal.Signals) -> None:
        """To a process of this house, if it still lives."""
        if pid == self.known.supervisor_pid or self._is_mine(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def kill(self, name: str) -> int:
        """kill -9. How often it had been restarted before; ``returned`` wants to know."""
        pid = await self.pid(name)
        before = self.restarts(name)
        self.signal(pid, signal.SIGKILL)
        return before

    async def returned(self, name: str, before: int) -> None:
        """Wait until the supervisor has started it again."""
        deadline = time.monotonic() + RETURN_WITHIN_S
        while not (self.restarts(name) > before and self._child(name).pid is not None):
            assert time.monotonic() < deadline, f"{name} was not restarted within {RETURN_WITHIN_S:g} s:\n{self.log_tail()}"
            await asyncio.sleep(LOOK_EVERY_S)

    @asynccontextmanager
    async def nats_is_dead(self) -> AsyncIterator[int]:
        """NATS is killed and the supervisor looks away for as long as the context is open; how often it had been restarted before."""
        pid = await self.pid("nats")
        supervisor = self.known.supervisor_pid
        self.signal(supervisor, signal.SIGSTOP)
        try:
            before = await self.kill("nats")
            while is_running(pid):  # noqa: ASYNC110 - nothing tells of its end
                await asyncio.sleep(LOOK_EVERY_S)
            yield before
        finally:
            self.signal(supervisor, signal.SIGCONT)

    async def lose_stream_volume(self) -> int:
        """NATS dies and its disk with it."""
        async with self.nats_is_dead() as before:
            shutil.rmtree(self._streams)
        return before

    async def copy_streams(self) -> Path:
        """What the disk of NATS holds at one moment; for ``lose_stream_tail``."""
        pid, copy = await self.pid("nats"), self.directory / "streams"
        shutil.rmtree(copy, ignore_errors=True)
        self.signal(pid, signal.SIGSTOP)
        try:
            await asyncio.to_thread(shutil.copytree, self._streams, copy)
        finally:
            self.signal(pid, signal.SIGCONT)
        return copy

    async def lose_stream_tail(self, copy: Path) -> int:
        """NATS dies, and its disk has forgotten everything since ``copy``."""
        async with self.nats_is_dead() as before:
            shutil.rmtree(self._streams)
            shutil.copytree(copy, self._streams)
        return before

    def fork_server(self) -> int | None:
        """The process that the services are forked from, if one lives."""
        supervisor = self.known.supervisor_pid
        return next(
            (pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == supervisor and _is_fork_server(pid)), None
        )

    def backends(self) -> list[int]:
        """Processes of Postgres besides the postmaster."""
        postmaster = self._child("postgres").pid
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if postmaster and _parent(pid) == postmaster]

    def signal_backend(self, pid: int, number: signal.Signals) -> None:
        """To a process of this house's Postgres, if it still lives."""
        if (postmaster := self._child("postgres").pid) and _parent(pid) == postmaster:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def log_tail(self) -> str:
        return self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    def log_lines(self) -> list[str]:
        """What all processes said since the house was opened last."""
        return self._log.read_text(errors="replace").splitlines()

    @property
    def _streams(self) -> Path:
        return self.data / "nats" / "jetstream"

    @property
    def _log(self) -> Path:
        return self.directory / f"theke-{self._opened}.log"

    def _children(self) -> tuple[Child, ...]:
        try:
            return self.known.children
        except NotRunning:
            return ()

    def _child(self, name: str) -> Child:
        return next(child for child in self.known.children if child.name == name)

    def _is_mine(self, pid: int | None) -> bool:
        """Whether this process lives and is a child of this house's supervisor: nobody else's is ever signalled."""
        try:
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return status[0] != "Z" and int(status[1]) == self.known.supervisor_pid


def theke(house: House, *command: str) -> str:
    """What a command prints. Raises CalledProcessError for any exit code but 0."""
    ran = subprocess.run(
        [sys.executable, "-m", "libs.cli.main", *command],
        cwd=PROJECT, env={**os.environ, "THEKE_DATA": str(house.data)},
        capture_output=True, text=True, timeout=COMMAND_WITHIN_S, check=True,
    )  # fmt: skip
    return ran.stdout


def _is_fork_server(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(f"{TITLE}fork server".encode())
    except (FileNotFoundError, ProcessLookupError):
        return False


def _parent(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(status[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
