"""One Theke for all tests of the dialects; an inn (an instance with menu and tables) for every test, or one for a module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.runtime.embedded import EmbeddedNats
from tests.conftest import CONTAINERS
from tests.house import Inn, Theke, Till


@pytest.fixture(scope="session")
async def theke(postgres_dsn: str, session_directory: Path) -> AsyncIterator[Theke]:
    """On a bus of its own: on a shared one, services that other tests start would answer too."""
    if CONTAINERS:
        from testcontainers.nats import NatsContainer

        with NatsContainer("nats:2.15", jetstream=True) as container:
            house = Theke(postgres_dsn, container.nats_uri())
            await house.start()
            yield house
            await house.stop()
        return
    server = EmbeddedNats(session_directory / "house-nats")
    await server.start()
    house = Theke(postgres_dsn, server.url, server)
    await house.start()
    yield house
    await house.stop()
    await server.stop()


@pytest.fixture
async def inn(theke: Theke) -> AsyncIterator[Inn]:
    """An instance nobody else uses."""
    own = await theke.inn()
    yield own
    await own.close()


@pytest.fixture(scope="module")
async def shared_inn(theke: Theke) -> AsyncIterator[Inn]:
    """An instance that the tests of a module share: nothing in them depends on what the others do."""
    own = await theke.inn()
    yield own
    await own.close()


@pytest.fixture(scope="module")
async def till(shared_inn: Inn) -> Till:
    """The administrator's till in the shared inn."""
    return await shared_inn.till()
