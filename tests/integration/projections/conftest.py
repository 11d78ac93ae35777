"""A read database for the session, and a service of one's own in it for every test."""

from __future__ import annotations

from itertools import count

import asyncpg
import pytest

from libs.projections import projector
from libs.runtime.databases import create_database, on_database
from tests.integration.projections.shelves import Reading

_numbers = count(1)


@pytest.fixture(scope="session")
async def shelves_dsn(postgres_dsn: str) -> str:
    connection = await asyncpg.connect(postgres_dsn)
    await create_database(connection, "shelves")
    await connection.close()
    return on_database(postgres_dsn, "shelves")


@pytest.fixture
def reading(shelves_dsn: str) -> Reading:
    return Reading(shelves_dsn, f"store{next(_numbers)}")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaders are looked for, and lost databases tried again, more often than in the field."""
    monkeypatch.setattr(projector, "LEADER_POLL_S", 0.05)
    monkeypatch.setattr(projector, "PAUSE_AFTER_ERROR_S", 0.05)
