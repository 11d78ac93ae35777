"""How anybody finds the running system: ``run/endpoints.json`` in the state directory, mode 0600 since it holds passwords."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = Path("run") / "endpoints.json"


class NotRunning(RuntimeError):
    """No supervisor lives on this state directory."""


class Child(msgspec.Struct, frozen=True):
    """A process the supervisor keeps. ``pid`` None: it is between two lives, or not ready yet; ``restarts``: how often it had to be
    started again."""

    name: str
    pid: int | None
    restarts: int
    started_at: datetime | None


class Endpoints(msgspec.Struct, frozen=True):
    """Addresses in use, with their passwords, and the process table. ``ready``: all children have reported so once."""

    postgres_dsn: str
    nats_url: str
    gateway_url: str
    supervisor_pid: int
    ready: bool
    children: tuple[Child, ...]


def write(data: Path, endpoints: Endpoints) -> None:
    """Replace the file in one step: readers see the old or the new one, whole."""
    target = data / FILE
    fresh = target.with_name(f"{target.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(endpoints), indent=2) + b"\n")
    fresh.rename(target)


def read(data: Path) -> Endpoints:
    """Raises NotRunning if there is no file; the processes in it may be dead all the same."""
    try:
        return msgspec.json.decode((data / FILE).read_bytes(), type=Endpoints)
    except FileNotFoundError:
        raise NotRunning(f"no Theke is running on {data}: start one with `theke up` or `make run`") from None


def remove(data: Path) -> None:
    (data / FILE).unlink(missing_ok=True)
