"""Forward-only migrations of a service's log, under a lock, each in the transaction that records it."""

from __future__ import annotations

import asyncpg
import structlog

from libs.eventstore.statements import migrations

log = structlog.get_logger(__name__)

_VERSIONS = """create table if not exists migrations (name text primary key, at timestamptz not null default clock_timestamp())"""


async def migrate(dsn: str, schema: str) -> None:
    """Brings the log of ``schema`` to this version; several processes may try at once. Where nothing is left to do, it needs no right to
    change anything."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": schema})
    try:
        if await _is_current(connection):
            return
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(hashtext('migrate'), hashtext($1))", schema)
            await connection.execute(f'create schema if not exists "{schema}"')
            await connection.execute(_VERSIONS)
            done = {row["name"] for row in await connection.fetch("select name from migrations")}
            for name, text in migrations():
                if name not in done:
                    await connection.execute(text)
                    await connection.execute("insert into migrations (name) values ($1)", name)
                    log.info("log migrated", schema=schema, migration=name)
    finally:
        await connection.close()


async def _is_current(connection: asyncpg.Connection) -> bool:
    if await connection.fetchval("select to_regclass('migrations') is null"):
        return False
    done = {row["name"] for row in await connection.fetch("select name from migrations")}
    return done >= {name for name, _ in migrations()}
