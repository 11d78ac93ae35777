"""A log that nobody else uses, for every test: a schema of its own in one database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import asyncpg
import pytest

from libs.eventstore.migrate import migrate
from libs.runtime.databases import create_database, on_database
from tests.integration.eventstore.boxes import Place, Work, working

_numbers = count(1)


@pytest.fixture(scope="session")
async def boxes_dsn(postgres_dsn: str) -> str:
    connection = await asyncpg.connect(postgres_dsn)
    await create_database(connection, "boxes")
    await connection.close()
    return on_database(postgres_dsn, "boxes")


@pytest.fixture
async def place(boxes_dsn: str) -> Place:
    """An empty log."""
    place = Place(boxes_dsn, f"boxes{next(_numbers)}")
    await migrate(place.dsn, place.schema)
    return place


@pytest.fixture
async def work(place: Place) -> AsyncIterator[Work]:
    async with working(place) as running:
        yield running
