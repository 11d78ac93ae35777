"""Locks on directories that end with the processes holding them, however those end: ``flock`` on a file that stays in place."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final

POLL_S: Final = 0.05


class DirectoryInUse(RuntimeError):
    """Another living process holds the lock of this directory."""


class FileLock:
    """An exclusive lock. A child that inherits ``fileno()`` holds it too, until it and all its descendants are gone."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        """Let go on this side; children that inherited the descriptor keep the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def take(path: Path) -> FileLock:
    """Lock ``path`` or raise DirectoryInUse naming the holder; this process's id is written into the file for the next one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise DirectoryInUse(f"{path.parent} is in use by another Theke (process {holder or 'unknown'})") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return FileLock(path, descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock right now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


async def take_within(path: Path, timeout: float) -> FileLock:
    """As ``take``, but give holders that are on their way out ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return take(path)
        except DirectoryInUse:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(POLL_S)
