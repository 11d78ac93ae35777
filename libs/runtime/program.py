"""A program the supervisor keeps running: one service, one process.

It tells that it is ready by writing the line ``ready`` to the descriptor whose number is in THEKE_READY_FD, after the address of its
operations port if it has one. A line on a pipe cannot
be missed, comes from this very process, and needs neither a port nor a file.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from libs.runtime import children
from libs.runtime.children import Child, StartFailed

READY_FD: Final = "THEKE_READY_FD"
READY_LINE: Final = b"ready\n"
READY_READ_BYTES: Final = 256
ADDRESS: Final = re.compile(rb"^(http://\S+)$", re.MULTILINE)
READY_TIMEOUT_S: Final = 60.0  # a service may first have to catch up with its log
STOP_PATIENCE_S: Final = 1.2


class Launch(Protocol):
    """Starts ``command`` as a process called ``name``. Raises OSError."""

    def __call__(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, inherit: Sequence[int]
    ) -> Awaitable[Child]: ...


async def spawned(name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, inherit: Sequence[int]) -> Child:
    return children.spawn(command, env=env, cwd=cwd, inherit=inherit)


class Program:
    """``environ`` is asked at every start; if its answer changes while the program runs, the program is outdated."""

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        environ: Callable[[], Mapping[str, str]],
        *,
        cwd: Path,
        launch: Launch = spawned,
        ready_timeout: float = READY_TIMEOUT_S,
        stop_patience: float = STOP_PATIENCE_S,
    ) -> None:
        self.name = name
        self._command = command
        self._environ = environ
        self._cwd = cwd
        self._launch = launch
        self._ready_timeout = ready_timeout
        self._stop_steps = ((signal.SIGTERM, stop_patience),)
        self._child: Child | None = None
        self._started_with: Mapping[str, str] = {}
        self._started_at: datetime | None = None
        self.operations = ""

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
        return self.is_alive() and self._environ() != self._started_with

    async def start(self) -> None:
        """Start and wait until it says that it is ready. Raises StartFailed; then nothing of it is left running."""
        assert not self.is_alive(), f"{self.name} is running"
        ours, theirs = os.pipe()
        try:
            os.set_blocking(ours, False)
            self._started_with = dict(self._environ())
            try:
                self._child = await self._launch(
                    self.name,
                    self._command,
                    env={**self._started_with, READY_FD: str(theirs)},
                    cwd=self._cwd,
                    inherit=[theirs],
                )
            finally:
                os.close(theirs)
            self._started_at = datetime.now(UTC)
            await self._reported(ours, self._child)
        except BaseException:
            self.kill()
            if self._child:
                await children.ended(self._child, children.KILL_WAIT_S)
            raise
        finally:
            os.close(ours)

    async def stop(self) -> None:
        """Ask it to finish (SIGTERM), give it its patience, then end it."""
        if self._child is not None:
            await children.stop(self._child, self._stop_steps)
            self._child = None

    def kill(self) -> None:
        if self._child is not None:
            children.kill(self._child)

    def tend(self) -> None:
        """Its output goes to the supervisor's; nothing to look after."""

    async def _reported(self, descriptor: int, child: Child) -> None:
        deadline = time.monotonic() + self._ready_timeout
        said = b""
        self.operations = ""
        while READY_LINE not in said:
            if child.poll() is not None:
                raise StartFailed(f"{self.name} ended with {child.returncode} before it was ready")
            if time.monotonic() >= deadline:
                raise StartFailed(f"{self.name} was not ready within {self._ready_timeout:g} s")
            await asyncio.sleep(children.POLL_S)
            try:
                said = (said + os.read(descriptor, READY_READ_BYTES))[-READY_READ_BYTES:]
            except BlockingIOError:
                continue
        if told := ADDRESS.search(said):
            self.operations = told[1].decode()


async def run_once(command: tuple[str, ...], environ: Mapping[str, str], *, cwd: Path, timeout: float) -> None:
    """Run a program to its end. Raises StartFailed if it fails or takes longer than ``timeout`` seconds."""
    child = children.spawn(command, env=environ, cwd=cwd)
    try:
        if not await children.ended(child, timeout):
            raise StartFailed(f"{' '.join(command)} did not end within {timeout:g} s")
    finally:
        children.kill(child)
    if child.returncode != 0:
        raise StartFailed(f"{' '.join(command)} ended with {child.returncode}")
