"""Two instances with accounts for downstream systems, in a house of their own: its bus is killed beneath them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client as NatsClient

from libs.runtime.embedded import EmbeddedNats
from tests.conftest import CONTAINERS
from tests.house import MIRRORED_WITHIN_S, Inn, Theke, Till, done, item

SOLD_WITHIN_S = 60.0
UNAVAILABLE = 503
Login = Callable[[int], Awaitable[NatsClient]]


@pytest.fixture(scope="package")
async def theke(postgres_dsn: str, session_directory: Path) -> AsyncIterator[Theke]:
    if CONTAINERS:
        pytest.skip("accounts are tried on the embedded NATS")
    server = EmbeddedNats(session_directory / "downstream-nats")
    await server.start()
    house = Theke(postgres_dsn, server.url, server, name="downstream")
    await house.start()
    yield house
    await house.stop()
    await server.stop()


@pytest.fixture(scope="module")
async def subscribed(theke: Theke, shared_inn: Inn, till: Till) -> Inn:
    """An instance that has sold something and has its mirrors."""
    for _ in range(3):
        await till.sell(item(shared_inn.menu["Pils"]))
    await mirrored(theke, shared_inn)
    return shared_inn


async def mirrored(theke: Theke, inn: Inn) -> None:
    """Returns when what was sold has arrived in the mirrors."""
    assert theke.keeper is not None
    assert theke.nats is not None
    await theke.keeper.mirror(inn.instance)
    connection = await nats.connect(theke.nats.url_of(f"i{inn.instance}"))
    async with asyncio.timeout(MIRRORED_WITHIN_S):
        while (await connection.jetstream().stream_info("EVT_pos")).state.messages == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await connection.close()


@pytest.fixture(scope="module")
async def neighbour(theke: Theke) -> AsyncIterator[Inn]:
    """Another one: made while the first one's subscribers are there."""
    own = await theke.inn()
    await (await own.till()).sell(item(own.menu["Cola"]))
    await mirrored(theke, own)
    yield own
    await own.close()


async def sell_patiently(till: Till, *items: Any) -> Any:
    """A till that repeats its request while the bus comes back: the same key, so it is one sale."""
    body, key = {"items": items, "payments": [{"type": 0}]}, uuid4().hex
    async with asyncio.timeout(SOLD_WITHIN_S):
        while (answer := await till.post("payments/direct-sale", body, key=key)).status == UNAVAILABLE:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return done(answer, 201)


@pytest.fixture
async def login(theke: Theke) -> AsyncIterator[Login]:
    """A downstream system's connection to an instance's account."""
    opened: list[NatsClient] = []

    async def enter(instance: int) -> NatsClient:
        assert theke.nats is not None
        opened.append(await nats.connect(theke.nats.url_of(f"i{instance}"), error_cb=silent))
        return opened[-1]

    yield enter
    for connection in opened:
        await connection.close()


async def silent(_: Exception) -> None:
    """Refusals are asserted by what does not come."""
