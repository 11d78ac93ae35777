"""Real servers for every test: one Postgres and one NATS per session, and databases of one's own per test.

``THEKE_TEST_INFRA=containers`` takes them from a container engine, the default are the embedded ones.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import structlog

from libs.runtime.databases import create_database, drop_database, on_database
from libs.runtime.embedded import EmbeddedNats, EmbeddedPostgres

CONTAINERS = os.environ.get("THEKE_TEST_INFRA") == "containers"


@dataclass(frozen=True)
class Databases:
    """DSNs of a log database and a read database that nobody else uses."""

    log: str
    read: str


def public_directory(prefix: str) -> Path:
    """A temporary directory that other accounts may enter: as root, Postgres runs as one of them."""
    directory = Path(tempfile.mkdtemp(prefix=prefix))
    directory.chmod(0o711)
    return directory


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A test that sets up logging writes to its own captured output; the next one must not. Tracebacks are plain: drawing the locals of a
    single one takes seconds, in which the loop stands still."""
    handlers, level = logging.root.handlers[:], logging.root.level
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[*structlog.get_config()["processors"][:-1], plain],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # what services of this process say is no answer of a command
    )
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def session_directory() -> Iterator[Path]:
    directory = public_directory("theke-tests-")
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def state_directory() -> Iterator[Path]:
    """An empty state directory, gone afterwards."""
    directory = public_directory("theke-state-")
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
async def postgres_dsn(session_directory: Path) -> AsyncIterator[str]:
    """The DSN of a running Postgres, with the right to create databases."""
    if CONTAINERS:
        from testcontainers.postgres import PostgresContainer

        with PostgresContainer("postgres:18", driver=None) as container:
            yield container.get_connection_url()
        return
    server = EmbeddedPostgres(session_directory / "postgres")
    await server.start()
    yield server.dsn
    await server.stop()


@pytest.fixture(scope="session")
async def nats_url(session_directory: Path) -> AsyncIterator[str]:
    """The URL of a running NATS with JetStream. Streams are shared by the whole session: take an instance id of your own."""
    if CONTAINERS:
        from testcontainers.nats import NatsContainer

        with NatsContainer("nats:2.15", jetstream=True) as container:
            yield container.nats_uri()
        return
    server = EmbeddedNats(session_directory / "nats")
    await server.start()
    yield server.url
    await server.stop()


@pytest.fixture
async def databases(postgres_dsn: str) -> AsyncIterator[Databases]:
    """Two empty databases, dropped afterwards."""
    token = uuid4().hex[:12]
    names = (f"log_{token}", f"read_{token}")
    connection = await asyncpg.connect(postgres_dsn)
    try:
        for name in names:
            await create_database(connection, name)
        yield Databases(*(on_database(postgres_dsn, name) for name in names))
        for name in names:
            await drop_database(connection, name)
    finally:
        await connection.close()
