"""Where an embedded server keeps its data, and as whom it runs.

Postgres refuses to run as root. Started by root it runs as another account, which must reach its data and its programs. If the
checkout lies where that account cannot go (a home directory of mode 0700), both move to ``/var/lib/theke``; directories that
are not Theke's own are never opened up for it.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec
import structlog

from libs.runtime.children import Account

ELSEWHERE: Final = Path("/var/lib/theke")
UNPRIVILEGED: Final = ("postgres", "nobody")
PROBE_TIMEOUT_S: Final = 10.0

log = structlog.get_logger(__name__)


class PlaceUnreachable(RuntimeError):
    """The server's account cannot reach data that already exist."""


class Place(msgspec.Struct, frozen=True):
    """``data``: the server's own directory; ``programs``: where its executables lie; ``account``: None is the caller's."""

    data: Path
    programs: Path
    account: Account | None = None


def unprivileged_account() -> Account | None:
    """None unless this process is root."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise PlaceUnreachable(f"root cannot run Postgres, and there is none of the accounts {', '.join(UNPRIVILEGED)}")


def find_place(wanted: Path, package: Path, program: str, *, marker: str, elsewhere: Path = ELSEWHERE) -> Place:
    """A place for a server whose data should lie in ``wanted`` and that ``program`` runs, a path within its wheel's ``package``.

    ``marker`` is the name within the data directory that shows that there are data already: those are never left behind."""
    wanted = wanted.resolve()
    account = unprivileged_account()
    if account is None:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Place(wanted, (package / program).parent)
    digest = hashlib.sha256(str(wanted).encode()).hexdigest()[:12]
    fallback = elsewhere / f"{wanted.name}-{digest}"
    data = fallback if (fallback / marker).exists() else _own(wanted)
    if data != fallback and not _can_enter(data, account):
        if (data / marker).exists():
            raise PlaceUnreachable(f"{data} holds data, but user id {account.uid} cannot reach it: open its parent directories")
        _make_public(elsewhere)
        data = _own(fallback)
    if data == fallback:
        log.warning("embedded.elsewhere", wanted=str(wanted), used=str(fallback))
    runs = package / program
    if not _can_run(runs, account):
        runs = _copied(package, fallback.with_name(f"{fallback.name}-programs")) / program
        log.warning("embedded.programs_elsewhere", wanted=str(package / program), used=str(runs))
    return Place(data, runs.parent, account)


def _own(directory: Path) -> Path:
    """Theke's own directory, which only its owner may write or list, and others may pass through."""
    directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    directory.chmod(0o711)
    return directory


def _can_enter(directory: Path, account: Account) -> bool:
    return _tried(["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)], account)


def _can_run(program: Path, account: Account) -> bool:
    return _tried([str(program), "--version"], account)


def _tried(command: list[str], account: Account) -> bool:
    """Asking the kernel, as that account, is the one test that knows about modes, groups, ACLs and mounts."""
    try:
        tried = subprocess.run(
            command,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except PermissionError:
        return False
    return tried.returncode == 0


def _copied(package: Path, target: Path) -> Path:
    """A copy of the package that everybody may read, made anew when the original changed; whole or not there at all.

    Wheels keep the shared libraries they need beside the package and find them by relative path: they come along."""
    stamp = f"{package} {package.stat().st_mtime_ns}"
    stamp_file = target / "copied-from"
    if stamp_file.exists() and stamp_file.read_text() == stamp:
        return target / package.name
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    _make_public(target.parent)
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, fresh / part.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "include"))
    (fresh / "copied-from").write_text(stamp)
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return target / package.name


def _make_public(directory: Path) -> None:
    """Make a directory of Theke's own that everybody may enter, whatever the umask; one that exists stays as it is."""
    if not directory.exists():
        directory.mkdir(mode=0o755, parents=True)
        directory.chmod(0o755)
