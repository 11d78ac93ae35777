"""The server's clock as an append tells it: close to what the server says, whatever one answer of it took."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from libs.eventstore import server_clock
from libs.eventstore.server_clock import ASKED_AT_ONCE, ServerClock
from tests.integration.eventstore.boxes import Fill, Place, Work

SLOW_S = 0.3
CLOSE_S = 0.1


class Slow:
    """A connection whose answers take long, but for the ``quick``-th."""

    def __init__(self, connection: Any, quick: int) -> None:
        self._connection = connection
        self._quick = quick
        self.asked = 0

    async def fetchval(self, statement: str, *, timeout: float) -> float:
        now: float = await self._connection.fetchval(statement, timeout=timeout)
        if self.asked != self._quick:
            await asyncio.sleep(SLOW_S)
        self.asked += 1
        return now


@pytest.mark.parametrize("quick", range(ASKED_AT_ONCE))
async def test_the_fastest_answer_counts(place: Place, quick: int) -> None:
    connection = await place.connect()
    try:
        clock, slow = ServerClock(), Slow(connection, quick)
        assert clock.is_due
        await clock.ask(slow, 5.0)  # type: ignore[arg-type]  # it stands for a connection
        assert (slow.asked, clock.is_due) == (ASKED_AT_ONCE, False)
        told = clock.at(time.monotonic())
        assert abs(told - await connection.fetchval("select extract(epoch from clock_timestamp())::float")) < CLOSE_S
        clock.forget()
        assert clock.is_due
    finally:
        await connection.close()


async def test_it_is_asked_again_when_it_may_have_been_set_and_by_every_connection(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = work.log._clock, 0
    ask = clock.ask

    async def counted(*arguments: Any) -> None:
        nonlocal asked
        asked += 1
        await ask(*arguments)

    monkeypatch.setattr(clock, "ask", counted)
    for _ in range(3):
        await work.do(Fill("a"))
    assert asked == 1
    monkeypatch.setattr(server_clock, "ASKED_EVERY_S", 0.0)
    await work.do(Fill("a"))
    monkeypatch.setattr(server_clock, "ASKED_EVERY_S", 10.0)
    work.log._drop_writer()
    await work.do(Fill("a"))
    await work.do(Fill("a"))
    assert asked == 3
