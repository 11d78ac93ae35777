"""Two of everything: leaders are killed, everything is restarted one after the other, and tills go on selling."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import pytest

from tests.chaos.check import check
from tests.chaos.faults import prober
from tests.chaos.house import House, theke
from tests.chaos.leaders import LEADER_WITHIN_S, leader
from tests.chaos.ledger import Ledger
from tests.chaos.tills import Counter, load

SEED: Final = 20_261_122
TILLS: Final = 6
REPLICAS: Final = "pos=2,gateway=2"
RESTARTED: Final = ("auth", "pos", "gateway")  # one that is alone, and those that are two
KILLS: Final = 2
CLIENTS: Final = 8
CLIENT_PAUSE_S: Final = 0.01
ANSWER_WITHIN_S: Final = 20.0
EVENING_S: Final = 0.5
RESET: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError)


@pytest.fixture(scope="module")
def built() -> Iterator[House]:
    house = House.on_new_ground(THEKE_REPLICAS=REPLICAS)
    yield house
    house.demolish()


async def test_the_leader_killed_under_load_is_followed_by_another_and_nothing_is_lost(
    house: House, ledger: Ledger, tills: Counter
) -> None:
    probe = prober(tills, "leader")
    followers = []
    async with load(tills, "leader", tills=TILLS, seed=SEED):
        for _ in range(KILLS):
            name = await leader(house)
            before = await house.kill(name)
            since = time.monotonic()
            assert await probe.sell() is not None
            followers.append(await leader(house))
            assert time.monotonic() - since <= LEADER_WITHIN_S
            await house.returned(name, before)
    assert len(followers) == KILLS
    await check(house, ledger)


async def test_status_is_told_by_the_replica_that_leads(house: House, tills: Counter) -> None:
    assert await prober(tills, "status").sell() is not None
    facts = json.loads(await asyncio.to_thread(theke, house, "status", "--json"))
    assert all(service["leading"] for service in facts["services"].values())
    assert {process["name"] for process in facts["processes"]} >= {"pos", "pos-2", "gateway", "gateway-2"}
    assert facts["wrong"] == [] or all("was restarted" in one["what"] for one in facts["wrong"])


@dataclass
class Clients:
    """Each sells on one kept connection and repeats a request once if the connection was reset; anything else is a failure."""

    house: House
    token: str
    sale: Any
    done: int = 0
    repeated: int = 0
    failures: list[str] = field(default_factory=list)
    stopping: bool = False

    async def sell(self) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        async with aiohttp.ClientSession(self.house.url, timeout=timeout, connector=aiohttp.TCPConnector(limit=1)) as http:
            while not self.stopping:
                headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": uuid.uuid4().hex}
                try:
                    status, text = await self._ask(http, headers)
                except RESET:
                    self.repeated += 1
                    try:
                        status, text = await self._ask(http, headers)
                    except RESET as again:
                        status, text = 0, f"reset twice: {again!r}"
                if status == 201:
                    self.done += 1
                else:
                    self.failures.append(f"{status} {text[:300]}")
                await asyncio.sleep(CLIENT_PAUSE_S)

    async def _ask(self, http: aiohttp.ClientSession, headers: dict[str, str]) -> tuple[int, str]:
        async with http.post("/api/v1/payments/direct-sale", json=self.sale, headers=headers) as answer:
            return answer.status, await answer.text()


async def test_a_rolling_restart_fails_nobody_who_repeats_a_reset_request_once(house: House, tills: Counter) -> None:
    sale = {"items": [{"articleId": tills.articles[0], "quantity": 1}], "payments": [{"type": 0, "amount": 50}]}
    clients = Clients(house, next(iter(tills.tokens.values())), sale)
    working = [asyncio.create_task(clients.sell()) for _ in range(CLIENTS)]
    before = {child.name: child.pid for child in house.known.children}
    restarted = [json.loads(line) for line in (await asyncio.to_thread(theke, house, "restart", "--json", *RESTARTED)).splitlines()]
    clients.stopping = True
    await asyncio.gather(*working)
    assert clients.failures == []
    assert clients.done > CLIENTS
    assert [one["name"] for one in restarted] == ["auth", "pos", "pos-2", "gateway", "gateway-2"]
    assert all(one["pid"] != before[one["name"]] for one in restarted)


async def test_a_restart_of_what_is_not_there_says_what_is(house: House) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        theke(house, "restart", "postgres")
    assert refused.value.returncode == 2
    assert "postgres cannot be restarted; there are auth, inventory" in refused.value.stderr


async def test_after_all_of_it_the_accounts_hold(house: House, ledger: Ledger, tills: Counter) -> None:
    """The clients of the rolling restart kept no ledger, so only the logs, their copies and the tables are proved."""
    async with load(tills, "after", tills=TILLS, seed=SEED + 1):
        await asyncio.sleep(EVENING_S)
    assert "Nothing was lost" in await asyncio.to_thread(theke, house, "verify")
