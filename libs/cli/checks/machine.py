"""The machine under an installation: disk, limits, modes of files, its port, and what an earlier run left behind."""

from __future__ import annotations

import os
import resource
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from libs.cli.checks.findings import Finding, error, fine, hint, warning
from libs.runtime import endpoints
from libs.runtime.config import Settings

GIB: Final = 1024**3
DISK_FREE_MIN_BYTES: Final = 1 * GIB  # below: the next busy evening may fill it
DISK_FREE_LOW_SHARE: Final = 0.10
INODES_FREE_LOW_SHARE: Final = 0.05
FILES_MIN: Final = 1_024
FILES_WANTED: Final = 8_192
OTHERS: Final = 0o077
PRIVATE: Final = ("run/endpoints.json", "postgres/password", "nats/password", "nats/nats.conf")
CONNECT_TIMEOUT_S: Final = 1.0
DISK_NEXT: Final = "make room or move THEKE_DATA to a larger disk; when it is full, nothing is booked any more"


def machine(settings: Settings, *, running: bool) -> Iterator[Finding]:
    if not settings.data.exists():
        yield hint(
            "state", f"{settings.data} is not there", "nothing was started on it yet", "`theke up` makes it, or THEKE_DATA names another"
        )
        return
    usage, nodes = shutil.disk_usage(settings.data), os.statvfs(settings.data)
    yield from disk(str(settings.data), usage.total, usage.free, nodes.f_files, nodes.f_ffree)
    yield from open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))
    yield from modes(settings.data)
    yield from leftovers(settings.data, running=running)
    yield from port(settings, running=running)


def disk(where: str, total: int, free: int, inodes: int, inodes_free: int) -> Iterator[Finding]:
    """Sizes in bytes."""
    said = f"{free / GIB:.1f} of {total / GIB:.1f} GiB are free below {where}"
    if free < DISK_FREE_MIN_BYTES:
        yield error("disk", said, "Postgres stops when its disk is full", DISK_NEXT)
    elif free < DISK_FREE_LOW_SHARE * total:
        yield warning("disk", said, "logs only grow, and a rebuild needs room for tables twice", DISK_NEXT)
    else:
        yield fine("disk", said)
    if inodes and inodes_free < INODES_FREE_LOW_SHARE * inodes:
        yield warning(
            "disk", f"{inodes_free:,} of {inodes:,} inodes are free below {where}", "a file system without inodes is full", DISK_NEXT
        )


def open_files(soft: int, hard: int) -> Iterator[Finding]:
    said = f"a process may have {soft:,} files open, at most {hard:,}"
    if 0 <= soft < FILES_WANTED:  # -1 is without a limit
        make = error if soft < FILES_MIN else warning
        yield make("limits", said, "every till and every stream is an open file", f"`ulimit -n {FILES_WANTED}`, or LimitNOFILE of the unit")
    else:
        yield fine("limits", said)


def modes(data: Path) -> Iterator[Finding]:
    """Files with passwords are their owner's alone."""
    looked = 0
    for name in PRIVATE:
        path = data / name
        if not path.exists():
            continue
        looked += 1
        if (mode := path.stat().st_mode & 0o777) & OTHERS:
            yield error("secrets", f"{path} has mode {mode:04o}", "it holds a password that others can read", f"`chmod 600 {path}`")
    run = data / "run"
    if run.exists() and (mode := run.stat().st_mode & 0o777) & OTHERS:
        yield warning("secrets", f"{run} has mode {mode:04o}", "others can see what lies in it", f"`chmod 700 {run}`")
    yield fine("secrets", f"{looked} files with passwords looked at")


def leftovers(data: Path, *, running: bool) -> Iterator[Finding]:
    if not running and (data / endpoints.FILE).exists():
        why = "the supervisor was killed before it could take it away"
        yield hint("leftovers", f"{data / endpoints.FILE} is there and nothing runs", why, "nothing: the next start replaces it")
    for path in (*data.glob("*/*.new"), *data.glob("*.partial")):
        if not running:
            why = "something was broken off while it was being made"
            yield hint(
                "leftovers", f"{path} is there", why, "nothing if `theke up` works: it is made anew; else remove it while nothing runs"
            )
    lost = sorted((data / "lost").glob("*.jsonl")) if (data / "lost").is_dir() else []
    if lost:
        what = f"{len(lost)} files in {data / 'lost'} hold events that logs lost, the newest {lost[-1].name}"
        yield hint("leftovers", what, "what was sold then is in no book", "book it by hand and keep the file, or move it to your records")


def port(settings: Settings, *, running: bool) -> Iterator[Finding]:
    where = f"{settings.host}:{settings.port}"
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        taken = probe.connect_ex((settings.host if settings.host not in ("0.0.0.0", "::") else "localhost", settings.port)) == 0  # noqa: S104
    if running and not taken:
        yield error("port", f"nothing listens on {where}", "tills reach nobody", "`theke status` says how the gateway is")
    elif taken and not running:
        yield error(
            "port", f"{where} is taken by another program", "the gateway could not start", f"end it (`ss -ltnp 'sport = :{settings.port}'`)"
        )
    else:
        yield fine("port", f"{where} {'answers' if running else 'is free'}")
