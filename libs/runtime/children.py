"""Child processes: each in a process group of its own (a terminal's Ctrl-C reaches only the supervisor) and on a leash."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Protocol

import msgspec

LEASH: Final = Path(__file__).with_name("leash.py")
POLL_S: Final = 0.02
KILL_WAIT_S: Final = 2.0


class StartFailed(RuntimeError):
    """A child did not come up; the message says what is known of the reason."""


class Child(Protocol):
    """What of ``Popen`` is used here."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def send_signal(self, number: int, /) -> None: ...


class Account(msgspec.Struct, frozen=True):
    """The operating system's user a child runs as."""

    uid: int
    gid: int


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    output: IO[bytes] | None = None,
    account: Account | None = None,
    inherit: Sequence[int] = (),
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start ``command`` (an absolute path first). ``output`` takes stdout and stderr, else they are the parent's; ``inherit``
    are descriptors to keep open; ``death_signal`` is what the child gets when the calling thread ends: call it from the main one."""
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(int(death_signal)), str(uid), str(gid)]
    child = subprocess.Popen(
        [*leash, *command],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        pass_fds=tuple(inherit),
        process_group=0,
    )
    adopted(child)
    return child


_ours: dict[int, Child] = {}


def adopted(child: Child) -> None:
    """Somebody will ask this child for its end."""
    for pid in [pid for pid, known in _ours.items() if known.returncode is not None]:
        del _ours[pid]
    _ours[child.pid] = child


def reap_orphans() -> None:
    """Takes note of the end of what nobody will ask for: a subreaper gets what its dead children leave, as a killed server's own."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None:
            return
        if (child := _ours.get(found.si_pid)) is not None and child.returncode is None:
            child.poll()  # it keeps the code for whoever asks
        else:
            os.waitpid(found.si_pid, os.WNOHANG)


async def ended(child: Child, timeout: float) -> bool:
    """Wait up to ``timeout`` seconds for the child's end and reap it. Polling works under every event loop and system."""
    deadline = time.monotonic() + timeout
    while child.poll() is None:
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def stop(child: Child, steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Send each signal in turn and wait its seconds; at last kill the whole group. True if the first step sufficed."""
    for index, (number, patience) in enumerate(steps):
        if child.poll() is None:
            child.send_signal(number)
        if await ended(child, patience):
            return index == 0
    kill(child)
    await ended(child, KILL_WAIT_S)
    return False


def kill(child: Child) -> None:
    """End the child and what it started in its group, at once."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Whether a process with this id exists, anybody's, and is not merely waiting for its parent to take note of its end."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return not Path("/proc/self").exists()
    return state != "Z"
