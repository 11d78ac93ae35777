"""The one primary store beside the log: hashes and keys of a service. Nothing in it is derived, nothing in it is ever in an event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from libs.domain.errors import unavailable
from libs.eventstore.connections import Connections
from libs.eventstore.log import LOST

CONNECT_TIMEOUT_S: Final = 3.0
STATEMENT_TIMEOUT_MS: Final = 5_000
CONNECTIONS_MAX: Final = 2

_TABLE = """create table if not exists secrets (
  instance int not null, name text not null, value bytea not null, at timestamptz not null default clock_timestamp(),
  primary key (instance, name))"""


class Secrets:
    """Values by instance and name. A value is written once; a new secret takes a new name."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._schema = schema
        self._connections = Connections(
            dsn,
            most=CONNECTIONS_MAX,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={
                "search_path": schema,
                "application_name": f"theke {schema} secrets",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            },
        )

    async def open(self) -> None:
        await self._connections.open()
        await self.create(_TABLE)

    async def create(self, table: str) -> None:
        """Makes a table unless it is there; one process at a time."""
        async with self.connection() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(hashtext('migrate'), hashtext($1))", self._schema)
            await connection.execute(table)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection to auth's own database. Raises ``unavailable``."""
        try:
            async with self._connections.lend() as connection:
                yield connection
        except LOST as error:
            raise unavailable("log_unreachable") from error

    async def close(self) -> None:
        self._connections.close()

    async def keep(self, instance: int, name: str, value: bytes) -> bytes:
        """Writes a value unless the name is taken; returns what is there now."""
        async with self.connection() as connection:
            await connection.execute(
                "insert into secrets (instance, name, value) values ($1, $2, $3) on conflict do nothing", instance, name, value
            )
            kept: bytes = await connection.fetchval("select value from secrets where instance = $1 and name = $2", instance, name)
            return kept

    async def get(self, instance: int, name: str) -> bytes | None:
        async with self.connection() as connection:
            found: bytes | None = await connection.fetchval("select value from secrets where instance = $1 and name = $2", instance, name)
            return found
