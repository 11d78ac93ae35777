"""A running auth: one for the session with an instance of one's own per test, or one of one's own that can be stopped and started."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from libs.runtime.asking import connected
from libs.runtime.config import Settings
from libs.runtime.databases import create_database, on_database
from libs.runtime.embedded import EmbeddedNats
from libs.runtime.service import Host
from services.auth.service import SERVICE
from tests.conftest import CONTAINERS, Databases
from tests.integration.auth.door import Door

Open = Callable[..., Awaitable[Door]]
_numbers = count(1)


@asynccontextmanager
async def own_bus(directory: Path) -> AsyncIterator[str]:
    """A bus of its own: on a shared one, another auth would answer too."""
    if CONTAINERS:
        from testcontainers.nats import NatsContainer

        with NatsContainer("nats:2.15", jetstream=True) as container:
            yield container.nats_uri()
        return
    server = EmbeddedNats(directory / f"nats-{uuid4().hex[:8]}")
    await server.start()
    try:
        yield server.url
    finally:
        await server.stop()


@asynccontextmanager
async def knocking(databases: Databases, nats_url: str, *, demo: bool = False) -> AsyncIterator[Door]:
    host = Host(SERVICE, Settings(postgres_dsn=databases.log, nats_url=nats_url, demo=demo), log_dsn=databases.log, read_dsn=databases.read)
    await host.start()
    connection, services = await connected(nats_url, "door")
    try:
        yield Door(host, services)
    finally:
        await connection.close()
        await host.stop()


@pytest.fixture(scope="session")
async def auth(postgres_dsn: str, session_directory: Path) -> AsyncIterator[Door]:
    connection = await asyncpg.connect(postgres_dsn)
    for name in ("auth_log", "auth_read"):
        await create_database(connection, name)
    await connection.close()
    databases = Databases(on_database(postgres_dsn, "auth_log"), on_database(postgres_dsn, "auth_read"))
    async with own_bus(session_directory) as url, knocking(databases, url) as door:
        yield door


@pytest.fixture
async def door(auth: Door) -> Door:
    """Auth outside of the demo, with a new instance and its user Anna."""
    door = Door(auth.host, auth.services)
    await door.begin(f"inn-{next(_numbers)}")
    return door


@pytest.fixture
async def open_door(databases: Databases, session_directory: Path) -> AsyncIterator[Open]:
    """Starts auth (again) on databases of the test's own: ``await open_door(demo=True)``. What ran before is stopped."""
    async with own_bus(session_directory) as url, AsyncExitStack() as stack:

        async def open_(*, demo: bool = False) -> Door:
            await stack.aclose()
            return await stack.enter_async_context(knocking(databases, url, demo=demo))

        yield open_
