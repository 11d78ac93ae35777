"""Two versions side by side: the database is already the next one's, then a process is, then all; tills go on selling meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Final

import pytest

from tests.chaos import next_version
from tests.chaos.check import check
from tests.chaos.house import House
from tests.chaos.leaders import leader
from tests.chaos.ledger import Ledger
from tests.chaos.tills import counter, load

SEED: Final = 20_261_123
TILLS: Final = 6
EVENING_S: Final = 1.0
WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.05
UNKNOWN: Final = f"{next_version.OrderPlaced.TYPE} version {next_version.TODAY + 1}"


@pytest.fixture(scope="module")
def built() -> Iterator[House]:
    house = House.on_new_ground()
    yield house
    house.demolish()


@pytest.fixture
def knowing() -> Iterator[None]:
    """Whoever checks reads what the next version wrote."""
    next_version.know()
    yield
    next_version.forget()


async def until_said(house: House, beside: next_version.Process, what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not any(what in line for line in house.log_lines()):
        assert time.monotonic() < deadline, f"nobody said {what!r}\n{house.log_tail()}\nand the next version:\n{beside.said()}"
        await asyncio.sleep(LOOK_EVERY_S)


async def until_projected_by_the_next(house: House, pid: int) -> None:
    """Query tables go on: what this version cannot read the next one projects."""
    deadline = time.monotonic() + WITHIN_S
    while await leader(house, {"next": pid}) != "next":
        assert time.monotonic() < deadline, f"the next version does not project\n{house.log_tail()}"
        await asyncio.sleep(LOOK_EVERY_S)


@pytest.mark.usefixtures("knowing")
async def test_a_version_is_replaced_by_the_next_while_tills_sell(house: House, ledger: Ledger) -> None:
    """What the older process cannot read it leaves to the newer one, and says so; whoever was refused repeats and is served."""
    async with AsyncExitStack() as stack:
        tills = await stack.enter_async_context(counter(house.url, ledger))
        async with load(tills, "before", tills=TILLS, seed=SEED):
            await asyncio.sleep(EVENING_S)
            next_version.migrate(house.known.postgres_dsn)
            await asyncio.sleep(EVENING_S)  # this version on the next one's database
            beside = next_version.Process("pos", house.environ_of("pos"), house.directory / "next.log")
            stack.callback(beside.end)
            await until_said(house, beside, UNKNOWN)
            await until_projected_by_the_next(house, beside.pid)
            await asyncio.sleep(EVENING_S)
    await house.close()
    house.change(PYTHONPATH=next_version.PYTHONPATH)
    await house.open()
    async with counter(house.url, ledger) as tills, load(tills, "after", tills=TILLS, seed=SEED + 1):
        await asyncio.sleep(EVENING_S)
    assert not any(UNKNOWN in line for line in house.log_lines())
    await check(house, ledger)
