"""What an older dump leaves of pos's log of an instance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.house import Theke

LOG = ("events", "commits", "commands", "streams", "series", "claims")
PATIENCE_S = 20.0
LOOK_EVERY_S = 0.02
Dump = Mapping[str, Sequence[Any]]


@asynccontextmanager
async def log_of_pos(theke: Theke) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(theke.log_dsn, server_settings={"search_path": "pos"})
    try:
        yield connection
    finally:
        await connection.close()


async def dump(theke: Theke, instance: int) -> Dump:
    async with log_of_pos(theke) as connection:
        return {table: await connection.fetch(f"select * from {table} where instance = $1", instance) for table in LOG}


async def restore(theke: Theke, instance: int, dumped: Dump) -> None:
    """The log is what it was when it was dumped, as with a `pg_restore` of everything; processes keep what they know."""
    async with log_of_pos(theke) as connection, connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        for table in LOG:
            await connection.execute(f"delete from {table} where instance = $1", instance)
            if rows := dumped[table]:
                records = [tuple(row) for row in rows]
                await connection.copy_records_to_table(table, schema_name="pos", records=records, columns=list(rows[0].keys()))


async def relay_is(theke: Theke, instance: int, state: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while theke.hosts["pos"].relay.status()[instance].state != state or theke.hosts["pos"].relay.status()[instance].lag:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)
