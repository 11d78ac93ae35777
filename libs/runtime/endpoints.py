"""How anybody finds the running system: ``run/endpoints.json`` in the state directory, mode 0600 since it holds passwords."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

FILE: Final = Path("run") / "endpoints.json"
TARGETS: Final = Path("run") / "prometheus.json"
LOCK: Final = Path("run") / "supervisor.lock"


class NotRunning(RuntimeError):
    """No supervisor lives on this state directory."""


class Child(msgspec.Struct, frozen=True):
    """A process the supervisor keeps. ``pid`` None: it is between two lives, or not ready yet; ``restarts``: how often it had to be
    started again; ``operations``: where it tells its operators about itself, empty for servers that are not Theke's."""

    name: str
    pid: int | None
    restarts: int
    started_at: datetime | None
    operations: str = ""


class Endpoints(msgspec.Struct, frozen=True):
    """Addresses in use, with their passwords, and the process table. ``ready``: all children have reported so once; ``one_role``: why all
    services connect to Postgres as its user, empty if each has a role of its own."""

    postgres_dsn: str
    nats_url: str
    gateway_url: str
    supervisor_pid: int
    ready: bool
    children: tuple[Child, ...]
    one_role: str = ""


def write(data: Path, endpoints: Endpoints) -> None:
    """Replace the file in one step: readers see the old or the new one, whole."""
    target = data / FILE
    fresh = target.with_name(f"{target.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(endpoints), indent=2) + b"\n")
    fresh.rename(target)
    _write_targets(data, endpoints)


def _write_targets(data: Path, endpoints: Endpoints) -> None:
    """For a Prometheus on this machine (``file_sd_configs``): where each process is scraped. It holds no secret."""
    targets = [
        {"targets": [urlsplit(child.operations).netloc], "labels": {"process": child.name}}
        for child in endpoints.children
        if child.operations
    ]
    fresh = data / f"{TARGETS}.new"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(targets), indent=2) + b"\n")
    fresh.rename(data / TARGETS)


def read(data: Path) -> Endpoints:
    """Raises NotRunning if there is no file; the processes in it may be dead all the same."""
    try:
        return msgspec.json.decode((data / FILE).read_bytes(), type=Endpoints)
    except FileNotFoundError:
        raise NotRunning(f"no Theke is running on {data}: start one with `theke up` or `make run`") from None


def remove(data: Path) -> None:
    (data / FILE).unlink(missing_ok=True)
    (data / TARGETS).unlink(missing_ok=True)
