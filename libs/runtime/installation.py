"""Theke on one machine: Postgres, NATS, then the services, the gateway last; kept by one supervisor per state directory."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Final

from libs.runtime import endpoints
from libs.runtime.bus_key import BusKey
from libs.runtime.config import GATEWAY, PROJECT, SERVICES, SettingInvalid, Settings
from libs.runtime.databases import ensure_databases
from libs.runtime.embedded import EmbeddedNats, EmbeddedPostgres
from libs.runtime.endpoints import LOCK, Child, Endpoints
from libs.runtime.forkserver import POSSIBLE, ForkServer
from libs.runtime.keeper import ForeignBus, Keeper
from libs.runtime.locks import take_within
from libs.runtime.program import Launch, Program, spawned
from libs.runtime.roles import Roles
from libs.runtime.supervisor import Stage, Supervisor

LOCK_WAIT_S: Final = 0.5  # a `theke status` looks at the lock for an instant
# What a process frees goes back to the system: left to itself, glibc keeps the 19 MiB of every password check.
MEMORY: Final = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_ARENA_MAX": "2"}
GATEWAY_STOP_PATIENCE_S: Final = 1.4  # it serves on for half a second while clients turn away


def service_command(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"services.{name}")


class Installation:
    """The parts of a running Theke, from its settings. ``command`` gives the program of a service by name."""

    def __init__(self, settings: Settings, command: Callable[[str], tuple[str, ...]] = service_command) -> None:
        self.settings = settings
        self._command = command
        self._postgres = None if settings.postgres_dsn else EmbeddedPostgres(settings.data / "postgres")
        self._nats = None if settings.nats_url else EmbeddedNats(settings.data / "nats", settings.bus_key_file)
        self._endpoints: Endpoints | None = None
        self._one_role = "not looked at yet"
        self._forks: ForkServer | None = None
        if command is service_command and POSSIBLE:
            loaded = {f"services.{name}": f"services.{name}.service" for name in SERVICES}
            loaded[f"services.{GATEWAY}"] = f"services.{GATEWAY}.app"
            self._forks = ForkServer(loaded, {**MEMORY, **os.environ}, PROJECT)

    @property
    def postgres_dsn(self) -> str:
        """Empty as long as an embedded server has not been started."""
        if self._postgres is None:
            return self.settings.postgres_dsn
        return self._postgres.dsn if self._postgres.port else ""

    @property
    def nats_url(self) -> str:
        """Empty as long as an embedded server has not been started."""
        if self._nats is None:
            return self.settings.nats_url
        return self._nats.url if self._nats.port else ""

    @property
    def gateway_url(self) -> str:
        host = self.settings.host
        scheme = "https" if self.settings.tls_cert else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.settings.port}"

    async def run(self, on_ready: Callable[[Endpoints], Awaitable[None]]) -> None:
        """Until told to stop. Raises DirectoryInUse, SettingInvalid, and what Supervisor.run raises."""
        self.settings.data.mkdir(mode=0o711, parents=True, exist_ok=True)
        (self.settings.data / "run").mkdir(mode=0o700, exist_ok=True)
        with await take_within(self.settings.data / LOCK, LOCK_WAIT_S):
            self._require_free_port()
            if self._forks is not None:
                self._forks.start()
            try:
                await Supervisor(self._stages(), self._publish).run(lambda: on_ready(self._known()))
            finally:
                endpoints.remove(self.settings.data)
                if self._forks is not None:
                    self._forks.stop()

    def _stages(self) -> list[Stage]:
        servers = [Stage([self._postgres])] if self._postgres else []
        if self._nats:
            servers.append(Stage([self._nats], beside=Keeper(self._nats).run))
        services = [program for name in SERVICES for program in self._programs(name)]
        return [
            *servers,
            Stage(services, prepare=self._ensure_databases, beside=self._keep_elsewhere()),
            Stage(self._programs(GATEWAY, stop_patience=GATEWAY_STOP_PATIENCE_S)),
        ]

    def _keep_elsewhere(self) -> Callable[[], Coroutine[None, None, None]] | None:
        """On a server of one's own mirrors are kept once it was told of the accounts, for which a key was made."""
        if self._nats is not None or not self.settings.bus_key.exists():
            return None
        bus = ForeignBus(self.settings.nats_url, BusKey.kept_in(self.settings.bus_key))
        return Keeper(bus, replicas=self.settings.stream_replicas).run

    def _programs(self, name: str, **options: float) -> list[Program]:
        """All replicas of a service: ``pos``, ``pos-2`` …"""
        names = [name, *(f"{name}-{number}" for number in range(2, self.settings.replicas.get(name, 1) + 1))]
        launch: Launch = self._forks.launch if self._forks else spawned
        return [Program(each, self._command(name), partial(self.environ, name), cwd=PROJECT, launch=launch, **options) for each in names]

    def environ(self, name: str) -> Mapping[str, str]:
        """What a process of this installation gets: the supervisor's variables, the settings, the addresses in use, with its own role in
        the databases and its own user of the bus. ``name``: of a service, or the gateway."""
        addresses = {"THEKE_POSTGRES_DSN": self._dsn_of(name), **self._bus_of(name)}
        own = {"THEKE_OPERATIONS_PORT": "0", "THEKE_ROLE_PASSWORDS": ""}  # each another port: they are on one machine
        return {**MEMORY, **os.environ, **self.settings.environ(), **addresses, **own}

    def _bus_of(self, name: str) -> Mapping[str, str]:
        """Where the server is not ours, everybody is whoever the address says."""
        if self._nats is None or not self._nats.port:
            return {"THEKE_NATS_URL": self.nats_url}
        return {"THEKE_NATS_URL": self._nats.url_of(name), "THEKE_STREAMS_KEPT": "1"}

    def _dsn_of(self, name: str) -> str:
        if self._one_role or not self.postgres_dsn:
            return self.postgres_dsn
        return Roles(self.postgres_dsn, self.settings.passwords).dsn(name)

    async def _ensure_databases(self) -> None:
        self._one_role = await ensure_databases(self.postgres_dsn, self.settings.passwords)

    def _require_free_port(self) -> None:
        """Said here, before anything starts, in words that name the variable."""
        family = socket.AF_INET6 if ":" in self.settings.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.settings.host, self.settings.port))
            except OSError as refusal:
                where = f"THEKE_HOST={self.settings.host} THEKE_PORT={self.settings.port}"
                raise SettingInvalid(f"{where}: cannot listen there ({refusal.strerror}); choose another THEKE_PORT") from None

    def _publish(self, children: tuple[Child, ...], ready: bool) -> None:
        self._endpoints = Endpoints(
            postgres_dsn=self.postgres_dsn,
            nats_url=self.nats_url,
            gateway_url=self.gateway_url,
            supervisor_pid=os.getpid(),
            ready=ready,
            children=children,
            one_role=self._one_role,
        )
        endpoints.write(self.settings.data, self._endpoints)

    def _known(self) -> Endpoints:
        assert self._endpoints is not None, "published before anything is ready"
        return self._endpoints
