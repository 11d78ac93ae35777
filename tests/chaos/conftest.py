"""A house for the tests of a file, which says with a fixture ``built`` what kind it is, and tills in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.chaos.house import House
from tests.chaos.ledger import Ledger
from tests.chaos.tills import Counter, counter


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    """What this house has promised since it was opened, over all tests of this file."""
    return Ledger()


@pytest.fixture(scope="module")
async def house(built: House) -> House:
    await built.open()
    return built


@pytest.fixture
async def tills(house: House, ledger: Ledger) -> AsyncIterator[Counter]:
    async with counter(house.url, ledger) as opened:
        yield opened
