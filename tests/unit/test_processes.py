"""How long a process rests."""

from __future__ import annotations

import asyncio
import time

import pytest

from libs.runtime import processes
from libs.runtime.processes import EVERY_INSTANCE, Process

LONG_S = 3_600.0


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    monkeypatch.setattr(processes, "TRIED_AGAIN_AFTER_S", 0.02)
    return Process("sweep")


async def rested(process: Process, seconds: float = LONG_S) -> float:
    since = time.monotonic()
    async with asyncio.timeout(30.0):
        await process.rest(seconds)
    return time.monotonic() - since


async def test_what_is_stopped_is_tried_again_soon_and_then_ever_later(process: Process) -> None:
    """A sweep that began before another service had its tables was stopped for an hour, and `theke status` said so all the while."""
    for tries in range(5):
        process.stopped(EVERY_INSTANCE, "not ready")
        assert await rested(process) >= 0.9 * 0.02 * 2**tries


async def test_what_is_stopped_never_makes_a_rest_longer(process: Process) -> None:
    for _ in range(50):
        process.stopped(7, "for good")
    assert await rested(process, 0.05) < 5.0


async def test_what_only_just_stopped_is_not_kept_waiting_by_what_has_been_for_long(process: Process) -> None:
    for _ in range(50):
        process.stopped(7, "for good")
    process.stopped(8, "not ready")
    await rested(process)


async def test_what_goes_on_rests_as_long_as_it_is_told_to(process: Process) -> None:
    process.stopped(7, "not ready")
    process.reached(7)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await process.rest(LONG_S)


async def test_somebody_may_say_to_try_again_at_once(process: Process) -> None:
    asyncio.get_running_loop().call_later(0.05, process.retry, None)
    assert await rested(process) < 5.0
