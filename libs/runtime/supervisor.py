"""Starts things in order, keeps them running, stops them in reverse order. Knows nothing of what they are."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec
import structlog

from libs.runtime.children import StartFailed, reap_orphans
from libs.runtime.endpoints import Child
from libs.runtime.locks import DirectoryInUse
from libs.runtime.places import PlaceUnreachable

BACKOFF_FIRST_S: Final = 0.1
BACKOFF_LONGEST_S: Final = 10.0
STEADY_S: Final = 30.0  # a life this long makes earlier deaths forgotten
FIRST_START_TRIES: Final = 3
POLL_S: Final = 0.05
COMPARE_EVERY_S: Final = 0.5  # a process's settings with those of now, which takes longer than to ask whether it lives
TEND_EVERY_S: Final = 5.0
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
START_FAILURES: Final = (StartFailed, DirectoryInUse, PlaceUnreachable, OSError)

log = structlog.get_logger(__name__)


class Unit(Protocol):
    """Something that is kept running. ``operations``: where it tells about itself, if it does.
    ``is_outdated``: it lives, but with settings that no longer hold."""

    name: str
    operations: str

    @property
    def pid(self) -> int | None: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def exit_code(self) -> int | None: ...
    def is_alive(self) -> bool: ...
    def is_outdated(self) -> bool: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def kill(self) -> None: ...
    def tend(self) -> None: ...


class Stage(msgspec.Struct, frozen=True):
    """Units that start together, after ``prepare`` and after all earlier stages, and stop before them. ``beside`` works from their first
    start on, until everything is told to stop."""

    units: Sequence[Unit]
    prepare: Callable[[], Awaitable[None]] | None = None
    beside: Callable[[], Coroutine[None, None, None]] | None = None


def backoff(failures: int) -> float:
    """Seconds to wait before the next start, ``failures`` being how often in a row it went wrong before."""
    return float(min(BACKOFF_FIRST_S * 2.0 ** min(failures, 16), BACKOFF_LONGEST_S))


class Supervisor:
    """``on_change`` is told the process table after every start and death, and whether everything was ready once."""

    def __init__(self, stages: Sequence[Stage], on_change: Callable[[tuple[Child, ...], bool], None]) -> None:
        self._stages = stages
        self._units = [unit for stage in stages for unit in stage.units]
        self._on_change = on_change
        self._restarts = {unit.name: 0 for unit in self._units}
        self._up: set[str] = set()  # started, and said to be ready
        self._ready = False
        self._stopping = asyncio.Event()

    async def run(self, on_ready: Callable[[], Awaitable[None]] | None = None) -> None:
        """Until SIGINT, SIGTERM or SIGHUP; a second one kills what is still there. ``on_ready`` runs once, beside the keeping.

        Raises what a first start raised after FIRST_START_TRIES, or what ``on_ready`` raised; everything is stopped by then."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._signalled)
        work = asyncio.create_task(self._work(on_ready))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            work.cancel()
            outcome = (await asyncio.gather(work, return_exceptions=True))[0]
            await stopping
            await self._stop_all()
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)
        if isinstance(outcome, Exception):
            raise outcome

    def _signalled(self) -> None:
        if self._stopping.is_set():
            log.warning("supervisor.killing")
            for unit in self._units:
                unit.kill()
        self._stopping.set()

    async def _work(self, on_ready: Callable[[], Awaitable[None]] | None) -> None:
        keepers: list[asyncio.Task[None]] = [asyncio.create_task(self._tend())]
        try:
            for stage in self._stages:
                if stage.prepare:
                    await stage.prepare()
                await self._start_together(stage.units)
                keepers += [asyncio.create_task(self._keep(unit)) for unit in stage.units]
                if stage.beside:
                    keepers.append(asyncio.create_task(stage.beside()))
            self._ready = True
            self._publish()
            if on_ready:
                await on_ready()
            await _all_or_none(keepers)
        finally:
            await _ended(keepers)

    async def _start_together(self, units: Sequence[Unit]) -> None:
        await _all_or_none([asyncio.create_task(self._first_start(unit)) for unit in units])

    async def _first_start(self, unit: Unit) -> None:
        for failures in range(FIRST_START_TRIES):
            try:
                await unit.start()
            except START_FAILURES as failure:
                log.error("supervisor.start_failed", child=unit.name, reason=str(failure))
                if failures + 1 == FIRST_START_TRIES:
                    raise
                await asyncio.sleep(backoff(failures))
            else:
                log.info("supervisor.started", child=unit.name, pid=unit.pid)
                self._up.add(unit.name)
                self._publish()
                return

    async def _keep(self, unit: Unit) -> None:
        failures = 0
        while True:
            since = time.monotonic()
            compared = since
            while unit.is_alive():  # nothing tells of a process's end everywhere
                if time.monotonic() - compared >= COMPARE_EVERY_S:
                    if unit.is_outdated():
                        break
                    compared = time.monotonic()
                await asyncio.sleep(POLL_S)
            lived_s = time.monotonic() - since
            if lived_s >= STEADY_S:
                failures = 0
            if unit.is_alive():
                log.warning("supervisor.outdated", child=unit.name, pid=unit.pid)
                await unit.stop()
            elif unit.exit_code == 0:  # it was asked to, as by `theke restart`
                failures = 0
                log.info("supervisor.ended", child=unit.name, pid=unit.pid, lived_s=round(lived_s, 2))
            else:
                log.error("supervisor.died", child=unit.name, pid=unit.pid, code=unit.exit_code, lived_s=round(lived_s, 2))
            self._up.discard(unit.name)
            self._publish()
            failures = await self._restart(unit, failures)

    async def _restart(self, unit: Unit, failures: int) -> int:
        """Try until it runs; gives the number of failures in a row so far."""
        while True:
            await asyncio.sleep(backoff(failures))
            failures += 1
            self._restarts[unit.name] += 1
            try:
                await unit.start()
            except START_FAILURES as failure:
                log.error("supervisor.restart_failed", child=unit.name, failures=failures, reason=str(failure))
                continue
            log.info("supervisor.restarted", child=unit.name, pid=unit.pid, restarts=self._restarts[unit.name])
            self._up.add(unit.name)
            self._publish()
            return failures

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND_EVERY_S)
            for unit in self._units:
                if unit.is_alive():
                    unit.tend()
            reap_orphans()

    async def _stop_all(self) -> None:
        for stage in reversed(self._stages):
            await asyncio.gather(*(self._stop(unit) for unit in stage.units))

    async def _stop(self, unit: Unit) -> None:
        was_alive, since = unit.is_alive(), time.monotonic()
        await unit.stop()
        if was_alive:
            log.info("supervisor.stopped", child=unit.name, seconds=round(time.monotonic() - since, 2))

    def _publish(self) -> None:
        table = tuple(
            Child(unit.name, self._pid_of(unit), self._restarts[unit.name], unit.started_at, unit.operations) for unit in self._units
        )
        self._on_change(table, self._ready)

    def _pid_of(self, unit: Unit) -> int | None:
        return unit.pid if unit.name in self._up and unit.is_alive() else None


async def _all_or_none(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Until all are done. Raises what the first one raised, and then, or when cancelled, all have ended. Not ``gather``, which cancels
    them itself: a task that is cancelled twice is torn out of its own leaving."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        await _ended(tasks)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if not task.cancelling():
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
