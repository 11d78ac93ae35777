"""Services are forked from one process that has loaded their programs: loading takes each of them a second of work, forking milliseconds,
and what is only read is in memory once.

The fork server is a child of the supervisor, without threads and without an event loop. Per request it forks twice, so that the program
is an orphan at once and becomes a child of the supervisor, which is the subreaper of its descendants: it learns of the program's end as of
any other child's, and the fork server may die at any time. The program puts itself on a leash (``leash``) before it is announced.
Where the code on disk is no longer the code that was loaded, the fork server ends and another one takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import gc
import importlib
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import setproctitle
import structlog

from libs.runtime import children
from libs.runtime.children import Child
from libs.runtime.leash import PARENT_IS_GONE, PR_SET_PDEATHSIG

PR_SET_CHILD_SUBREAPER: Final = 36
LOADED_WITHIN_S: Final = 20.0  # the first answer waits until everything is loaded
FORKED_WITHIN_S: Final = 2.0
REQUEST_MAX_BYTES: Final = 128 * 1024
ANSWER_MAX_BYTES: Final = 64
DESCRIPTORS_MAX: Final = 8
ABOVE_ALL: Final = 100  # descriptors wait here until their own numbers are free
POSSIBLE: Final = sys.platform == "linux"
STALE: Final = b"stale"
TITLE: Final = "theke: "

log = structlog.get_logger(__name__)


class Request(msgspec.Struct, frozen=True):
    """Run ``module`` as a program. ``inherit``: the numbers that the descriptors sent along shall have there."""

    module: str
    title: str
    env: dict[str, str]
    cwd: str
    inherit: list[int]


class ForkServer:
    """The supervisor's side. ``launch`` is what ``Program`` takes; whatever cannot be forked is started as a program of its own."""

    def __init__(self, modules: Mapping[str, str], env: Mapping[str, str], cwd: Path) -> None:
        """``modules``: the programs, by what each is made of. ``env``, ``cwd``: of the fork server itself."""
        self._modules = modules
        self._env = env
        self._cwd = cwd
        self._server: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._loaded = False
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server else None

    def start(self) -> None:
        """At once; it loads the programs while other things start. Call it from the main thread."""
        if not _prctl(PR_SET_CHILD_SUBREAPER, 1):  # what was forked would become somebody else's child
            log.warning("forkserver.impossible", reason="this system has no subreapers")
            self._modules = {}
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            numbers = (str(theirs.fileno()), str(os.getpid()))
            command = (sys.executable, "-m", "libs.runtime.forkserver", *numbers, *self._modules.values())
            self._server = children.spawn(command, env=self._env, cwd=self._cwd, inherit=[theirs.fileno()])
        self._socket, self._loaded = ours, False

    def stop(self) -> None:
        """What it forked goes on, but for what nobody waited for any more."""
        if self._server is not None:
            children.kill(self._server)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(children.KILL_WAIT_S)
            self._server = None
        if self._socket is not None:
            with self._socket as ours, contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_RD)  # who has not announced itself yet cannot any more, and ends
                while late := ours.recv(ANSWER_MAX_BYTES):
                    if late != STALE:
                        children.kill(Adopted(int(late)))
            self._socket = None

    async def launch(self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, inherit: Sequence[int]) -> Child:
        """``command`` as a process called ``name``. Raises OSError."""
        module = command[2] if len(command) == 3 and tuple(command[:2]) == (sys.executable, "-m") else ""
        if POSSIBLE and module in self._modules:
            request = Request(module, TITLE + name, dict(env), str(cwd), list(inherit))
            forking = asyncio.create_task(self._forked(request))
            try:
                child = await asyncio.shield(forking)
            except asyncio.CancelledError:
                if unwanted := await forking:
                    children.kill(unwanted)
                raise
            if child is not None:
                return child
        return children.spawn(command, env=env, cwd=cwd, inherit=inherit)

    async def _forked(self, request: Request) -> Child | None:
        """None if that was not possible, which is said and not tried for long."""
        async with self._turn:
            try:
                for _ in range(2):
                    answer = await self._asked(request)
                    if answer not in (b"", STALE):
                        self._loaded = True
                        return Adopted(int(answer))
                    self.stop()  # it died, or what it loaded is not what is there now
            except (OSError, TimeoutError, ValueError) as failure:
                log.warning("forkserver.failed", program=request.module, reason=str(failure) or repr(failure))
                self.stop()
            return None

    async def _asked(self, request: Request) -> bytes:
        if self._socket is None:
            self.start()
        assert self._socket is not None
        message = msgspec.msgpack.encode(request)
        if len(message) > REQUEST_MAX_BYTES:
            raise ValueError(f"its environment has {len(message)} bytes")
        try:
            socket.send_fds(self._socket, [message], request.inherit)
        except (BrokenPipeError, ConnectionResetError):
            return b""
        async with asyncio.timeout(FORKED_WITHIN_S if self._loaded else LOADED_WITHIN_S):
            try:
                return await asyncio.get_running_loop().sock_recv(self._socket, ANSWER_MAX_BYTES)
            except ConnectionResetError:
                return b""


class Adopted:
    """A child that somebody else forked: as much of ``Popen`` as a supervisor uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        children.adopted(self)

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else took note of its end
                self.returncode = PARENT_IS_GONE
            else:
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _prctl(option: int, value: int) -> bool:
    """Whether the kernel did it."""
    return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)


# The other side: ``python -m libs.runtime.forkserver SOCKET SUPERVISOR MODULE …``


def serve(connection: socket.socket, supervisor: int, modules: Sequence[str]) -> Request | None:
    """Returns in every program that was forked, with what it shall be; in the fork server itself when it is no longer needed."""
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a collection in a program would touch, and so copy, what is shared
    loaded = _on_disk()
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, REQUEST_MAX_BYTES, DESCRIPTORS_MAX)
        if not message:
            return None
        if _on_disk() != loaded:
            connection.send(STALE)
            return None
        between = os.fork()
        if between:
            for descriptor in descriptors:
                os.close(descriptor)
            os.waitpid(between, 0)
        elif os.fork():
            os._exit(0)
        else:
            request = msgspec.msgpack.decode(message, type=Request)
            _leashed(os.getppid(), supervisor)
            _announced(connection, descriptors, request.inherit)
            return request


def _on_disk() -> dict[str, tuple[int, int]]:
    """The files of all that is loaded, with time and size."""
    found = {}
    for module in tuple(sys.modules.values()):
        if file := getattr(module, "__file__", None):
            try:
                state = os.stat(file)
            except OSError:
                continue
            found[file] = (state.st_mtime_ns, state.st_size)
    return found


def _leashed(before: int, supervisor: int) -> None:
    """Waits until it is the supervisor's child, then sees to it that it dies with it."""
    while os.getppid() == before != supervisor:
        time.sleep(0.0005)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(PARENT_IS_GONE)
    os.setpgid(0, 0)  # a terminal's Ctrl-C reaches only the supervisor


def _announced(connection: socket.socket, descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Tells the supervisor, and gives what was sent along its own numbers."""
    waiting = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, ABOVE_ALL) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    connection.send(str(os.getpid()).encode())
    connection.close()
    for descriptor, number in zip(waiting, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def main(arguments: Sequence[str]) -> None:
    number, supervisor, *modules = arguments
    setproctitle.setproctitle(TITLE + "fork server")
    with socket.socket(fileno=int(number)) as connection:
        request = serve(connection, int(supervisor), modules)
    if request is None:
        return
    setproctitle.setproctitle(request.title)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.env)
    sys.argv = [request.module]
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
