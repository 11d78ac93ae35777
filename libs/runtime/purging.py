"""Removing an instance for good: its logs, tables, streams and files, and nothing of any other one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Final

import asyncpg

CONNECT_TIMEOUT_S: Final = 10.0
ROWS_AT_ONCE: Final = 20_000
RETENTION_YEARS: Final = 10  # full calendar years behind the one of the last entry (§ 147 AO)
KEPT_TABLES: Final = ("closed", "purged")  # say that nothing may be written, and that rows may go
BOOKED: Final = ("receipt.issued", "shift.closed", "day.closed", "z_report.issued", "transaction.created", "ledger_payment.created")

_TABLES: Final = """
select c.table_schema, c.table_name from information_schema.columns c
join information_schema.tables t on t.table_schema = c.table_schema and t.table_name = c.table_name and t.table_type = 'BASE TABLE'
where c.column_name = 'instance' and c.data_type = 'integer' and c.table_schema not in ('pg_catalog', 'information_schema')
order by c.table_schema, (c.table_name = 'files'), c.table_name
"""


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "theke purge", "jit": "off"})
    try:
        yield connection
    finally:
        connection.terminate()


async def tables_of_instances(dsn: str) -> list[str]:
    """Every table of a database whose rows belong to instances, quoted; what others refer to comes last."""
    async with _connected(dsn) as connection:
        rows = await connection.fetch(_TABLES)
    return [f'"{row["table_schema"]}"."{row["table_name"]}"' for row in rows if row["table_name"] not in KEPT_TABLES]


async def remove_rows(dsn: str, instance: int) -> int:
    """Everything of an instance in a database; how many rows went. What is broken off goes on where it was."""
    removed = 0
    tables = await tables_of_instances(dsn)
    async with _connected(dsn) as connection:
        for table in tables:
            while gone := _count(
                await connection.execute(
                    f"delete from {table} where ctid = any(array(select ctid from {table} where instance = $1 limit {ROWS_AT_ONCE:d}))",
                    instance,
                )
            ):
                removed += gone
    return removed


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])


async def booked_last(dsn: str, services: Sequence[str], instance: int) -> datetime | None:
    """When the last thing happened that has to be kept for the tax office; None if nothing ever did."""
    found: list[datetime] = []
    async with _connected(dsn) as connection:
        for service in services:
            if await connection.fetchval("select to_regclass($1) is not null", f'"{service}".events'):
                statement = f'select max(at) from "{service}".events where instance = $1 and type = any($2::text[])'
                latest = await connection.fetchval(statement, instance, list(BOOKED))
                found += [latest] if latest is not None else []
    return max(found, default=None)


def kept_until(booked: datetime) -> date:
    """The first day on which what was booked then need not be kept any more."""
    return date(booked.year + RETENTION_YEARS + 1, 1, 1)
