"""The two databases of an installation: the private logs, and the query tables that can be thrown away."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import structlog

from libs.runtime import logs
from libs.runtime.config import Settings
from libs.runtime.roles import PREFIX, Roles, RolesRefused

log = structlog.get_logger(__name__)

LOG_DATABASE: Final = "theke_log"
READ_DATABASE: Final = "theke_read"
CONNECT_TIMEOUT_S: Final = 10.0
CREATE_TIMEOUT_S: Final = 60.0
OLDEST_SERVER: Final = 17  # the first with the builtin C.UTF-8 locale
ENSURE_LOCK: Final = 0x7468_656B_6501


class ServerTooOld(RuntimeError):
    """Postgres is older than OLDEST_SERVER."""


def on_database(dsn: str, name: str) -> str:
    """The same server, user and options, another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


def log_dsn(dsn: str) -> str:
    return on_database(dsn, LOG_DATABASE)


def read_dsn(dsn: str) -> str:
    return on_database(dsn, READ_DATABASE)


async def ensure_databases(
    dsn: str, passwords: Path | None = None, *, names: tuple[str, str] = (LOG_DATABASE, READ_DATABASE), prefix: str = PREFIX
) -> str:
    """Makes what is missing of the two databases, and of the services' roles in them. Any number of processes may do so at the same time.

    Empty, or why there are no roles: then every service connects as the user of ``dsn``. ``passwords``: see ``Roles``."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=CREATE_TIMEOUT_S)
    try:
        version = connection.get_server_version().major
        if version < OLDEST_SERVER:
            raise ServerTooOld(f"Theke needs Postgres {OLDEST_SERVER} or newer, this is {version}")
        await connection.execute("SELECT pg_advisory_lock($1)", ENSURE_LOCK)
        for name in names:
            if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name):
                await create_database(connection, name)
        try:
            await Roles(dsn, passwords, prefix=prefix).ensure(*(on_database(dsn, name) for name in names))
        except RolesRefused as refusal:
            log.warning("one database role for all services", why=str(refusal))
            return str(refusal)
        return ""
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


async def create_database(connection: asyncpg.Connection, name: str) -> None:
    """Create ``name`` (a plain identifier): UTF-8, order by code point, the same on every machine."""
    assert name.isidentifier(), name
    await connection.execute(
        f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
    )


async def drop_database(connection: asyncpg.Connection, name: str) -> None:
    """Drop ``name`` (a plain identifier) if it exists, ending the connections to it."""
    assert name.isidentifier(), name
    await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def main() -> None:
    """For an installation whose parts are started one by one: makes databases, logs and roles as their owner, then ends."""
    logs.configure("prepare")
    settings = Settings.from_env(os.environ)
    asyncio.run(ensure_databases(settings.postgres_dsn, settings.passwords))


if __name__ == "__main__":
    main()
