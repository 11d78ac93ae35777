"""Payments in a running pos: put before the commands they come in by, and never left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from libs.domain.clock import Clock, SystemClock
from libs.domain.decider import Command, CommandType
from libs.domain.errors import DomainError
from libs.domain.events import Recorded
from libs.runtime.measures import OpenWork
from libs.runtime.processes import EVERY_INSTANCE, Process
from libs.runtime.service import Host
from services.pos.paying import Payments, Ports
from services.pos.payment_tables import PAGE_ROWS, PAGE_UNDER_WAY

log = structlog.get_logger(__name__)

SWEEP_EVERY_S: Final = 5.0
SWEEP_AFTER: Final = timedelta(seconds=5)  # younger ones are in somebody's hands
INSTANCES_AT_ONCE: Final = 16
_EVERYTHING: Final = 2**62  # a position behind every other


class HostJournal:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def read(self, instance: int, stream: str) -> Sequence[Recorded]:
        return await self._host.log.read_stream(instance, stream, _EVERYTHING)

    async def execute(self, type_: CommandType, command: Command[Any], timeout: float) -> tuple[Any, bool]:
        return await self._host.dispatcher.execute(type_, command, timeout=timeout)


class Sweep:
    """Goes on with every payment that is not over: at the start, and every few seconds. Every replica may."""

    def __init__(self, host: Host, payments: Payments, clock: Clock | None = None, process: Process | None = None) -> None:
        self._host = host
        self._payments = payments
        self._clock = clock or SystemClock()
        self._process = process or Process("payments")
        self._found: list[datetime] = []
        self._oldest: datetime | None = None
        self._open = 0

    def work(self) -> OpenWork:
        """As the last sweep found it: payments that are not over, though nobody has them in hand."""
        age = (self._clock.now() - self._oldest).total_seconds() if self._oldest else 0.0
        return OpenWork(self._open, age, self._payments.retries, self._payments.stuck)

    async def run(self) -> None:
        older = timedelta(0)
        while True:
            try:
                await self.once(self._clock.now() - older)
                older = SWEEP_AFTER
                self._process.reached(EVERY_INSTANCE)
                self._process.came_round()
            except DomainError as error:
                log.warning("payments are looked for later", error=str(error))
                self._process.stopped(EVERY_INSTANCE, str(error))
            await self._process.rest(SWEEP_EVERY_S)

    async def once(self, before: datetime) -> None:
        """Those started up to ``before``, of every instance."""
        self._found = []
        instances = list(await self._host.log.heads())
        for first in range(0, len(instances), INSTANCES_AT_ONCE):
            await asyncio.gather(*(self._of(instance, before) for instance in instances[first : first + INSTANCES_AT_ONCE]))
        self._open, self._oldest = len(self._found), min(self._found, default=None)

    async def _of(self, instance: int, before: datetime) -> None:
        after, full = "", True
        while full:
            rows = await self._host.tables.fetch(PAGE_UNDER_WAY, instance, after, before)
            self._found += [row["since"] for row in rows]
            await asyncio.gather(*(self._payments.go_on(instance, row["key"], row["receipt"]) for row in rows))
            full = len(rows) == PAGE_ROWS
            after = rows[-1]["key"] if rows else after
        if waiting := self._payments.waiting(instance):
            self._process.stopped(instance, f"{len(waiting)} of its payments wait for an account; one says: {waiting[0]}")
        else:
            self._process.reached(instance)


def open_payments(host: Host, ports: Ports) -> None:
    """Puts payments that draw on accounts before the commands they come in by, and starts the sweep."""
    payments = Payments(HostJournal(host), ports)
    for name in ("receipt.sell", "receipt.pay_table"):
        host.dispatcher.detour(name, payments.draws, payments.pay)
    for name in ("receipt.void", "receipt.refund"):
        host.dispatcher.detour(name, payments.may_give_back, payments.take_back)
    host.on_stop(payments.close)
    sweep = Sweep(host, payments, process=host.processes.add(Process("payments")))
    host.works["payments"] = sweep.work
    host.run(sweep.run())
