"""Who may do what in the two databases. Every service connects as a role of its own: it may append to its log and read it, write its own
query tables and read all of them; nothing else. What makes and changes the logs' tables belongs to the owner, the user of
``THEKE_POSTGRES_DSN``, and is done before services start.

    log database    schema of a service     the owner's; its service may read and append, no update of events, no truncate; tables that
                                            it makes there are its own (auth's secrets)
                    ``blobs``               the owner's; the gateway and crm read and write
    read database   schema of a service     its service's own, which makes and drops tables in it; all services read
                    ``theke.revisions`` …   rows of a service are written by that service alone (row level security)

A role's password is in the file ``postgres_<service>`` of a directory if there is one, else it follows from the owner's: who has
that can compute it, and nobody else.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg
import structlog

from libs.blobs import store as blobs
from libs.eventstore.migrate import migrate
from libs.projections import store
from libs.runtime.config import GATEWAY, SERVICES

log = structlog.get_logger(__name__)

PREFIX: Final = "theke"
SCRAM_ROUNDS: Final = 4096  # as Postgres does it
SALT_BYTES: Final = 16
CONNECT_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 60.0

# table of a log → what its service may do; what is not here, it makes itself and owns
LOG_TABLES: Final = {
    "events": "select, insert",
    "commits": "select, insert",
    "closed": "select, insert, update, delete",
    "purged": "select",
    "streams": "select, insert, update",
    "series": "select, insert, update",
    "leases": "select, insert, update",
    "commands": "select, insert, delete",
    "refusals": "select, insert, update, delete",
    "claims": "select, insert, delete",
    "migrations": "select",
}
KEEP_FILES: Final = (GATEWAY, "crm")
REFUSED: Final = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.DependentObjectsStillExistError,
)


class RolesRefused(RuntimeError):
    """The user may not make roles, or hand things over to them; the message says which."""


class Roles:
    """The roles of one installation on the server of ``dsn``; ``passwords``: a directory of files, if there is one."""

    def __init__(self, dsn: str, passwords: Path | None = None, *, prefix: str = PREFIX) -> None:
        self._dsn = dsn
        self._passwords = passwords
        self._prefix = prefix

    def name(self, process: str) -> str:
        return f"{self._prefix}_{process}"

    @property
    def readers(self) -> str:
        """All services, as far as query tables are concerned."""
        return f"{self._prefix}_readers"

    def password(self, process: str) -> str:
        """Raises RolesRefused if there is nothing that it could follow from."""
        file = self._passwords / f"postgres_{process}" if self._passwords else None
        if file is not None and file.exists():
            return file.read_text().strip()
        owner = unquote(urlsplit(self._dsn).password or "")
        if not owner:
            raise RolesRefused("THEKE_POSTGRES_DSN holds no password that theirs could follow from")
        return hmac.new(owner.encode(), f"role {self.name(process)}".encode(), hashlib.sha256).hexdigest()

    def dsn(self, process: str, dsn: str = "") -> str:
        """The address with which this process connects."""
        parts = urlsplit(dsn or self._dsn)
        hosts = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{self.name(process)}:{self.password(process)}@{hosts}"))

    async def ensure(self, log_dsn: str, read_dsn: str) -> None:
        """Makes roles, logs and schemas, and grants what is missing. Raises RolesRefused; what was done until then does no harm."""
        passwords = {process: self.password(process) for process in (*SERVICES, GATEWAY)}
        try:
            async with _connected(log_dsn) as connection:
                await self._make(connection, passwords)
            await asyncio.gather(*(migrate(log_dsn, service) for service in SERVICES))
            async with _connected(log_dsn) as connection, connection.transaction():
                await self._grant_logs(connection)
            async with _connected(read_dsn) as connection, connection.transaction():
                await self._grant_tables(connection)
        except REFUSED as refusal:
            raise RolesRefused(str(refusal)) from refusal

    async def _make(self, connection: asyncpg.Connection, passwords: dict[str, str]) -> None:
        known = {row["rolname"] for row in await connection.fetch("select rolname from pg_roles where rolname like $1", f"{self._prefix}%")}
        may_all = await connection.fetchval("select rolsuper from pg_roles where rolname = current_user")
        if self.readers not in known:
            await connection.execute(f"create role {self.readers} nologin")
        for process, password in passwords.items():
            name = self.name(process)
            if name not in known:
                await connection.execute(f"create role {name} login")
            await connection.execute(f"alter role {name} with login password '{verifier(password)}'")
            if not may_all:  # to hand things over to it, and to look after them later
                await connection.execute(f"grant {name} to current_user with inherit true, set true")
            if process != GATEWAY:
                await connection.execute(f"grant {self.readers} to {name}")

    async def _grant_logs(self, connection: asyncpg.Connection) -> None:
        database = await connection.fetchval("select quote_ident(current_database())")
        everybody = ", ".join(map(self.name, (*SERVICES, GATEWAY)))
        await connection.execute(f"revoke connect, temporary on database {database} from public")
        await connection.execute(f"grant connect on database {database} to {everybody}")
        for service in SERVICES:
            role = self.name(service)
            tables = [(f"{service}.{table}", rights) for table, rights in LOG_TABLES.items()]
            await connection.execute(
                f"revoke all on schema {service} from public; grant usage, create on schema {service} to {role};"
                f"revoke all on all functions in schema {service} from public;"
                f"grant execute on all functions in schema {service} to {role};"
                + ";".join(f"revoke all on {table} from public, {role}; grant {rights} on {table} to {role}" for table, rights in tables)
            )
            await self._hand_over(connection, service, keep=LOG_TABLES)
        await blobs.lay_ground(connection)
        roles = ", ".join(map(self.name, KEEP_FILES))
        await connection.execute(
            f"grant usage on schema blobs to {roles}; grant select, insert, update, delete on all tables in schema blobs to {roles}"
        )

    async def _grant_tables(self, connection: asyncpg.Connection) -> None:
        database = await connection.fetchval("select quote_ident(current_database())")
        services = ", ".join(map(self.name, SERVICES))
        await connection.execute(f"revoke connect, temporary on database {database} from public")
        await connection.execute(f"grant connect, temporary on database {database} to {services}")
        for service in SERVICES:
            role = self.name(service)
            await store.lay_ground(connection, service)
            if await connection.fetchval("select nspowner <> $2::regrole from pg_namespace where nspname = $1", service, role):
                await connection.execute(f"alter schema {service} owner to {role}")
            await self._hand_over(connection, service)
            await connection.execute(
                f"revoke all on schema {service} from public; grant usage on schema {service} to {self.readers};"
                f"grant select on all tables in schema {service} to {self.readers};"
                f"alter default privileges for role {role} in schema {service} grant select on tables to {self.readers}"
            )
        await connection.execute(f"grant usage on schema theke to {self.readers}")
        for table in ("revisions", "builds"):
            await connection.execute(f"grant select, insert, update, delete on theke.{table} to {self.readers}")
            if await connection.fetchval(f"select relrowsecurity from pg_class where oid = 'theke.{table}'::regclass"):
                continue  # anything else would wait for every reader
            own = f"service = substr(current_user, {len(self._prefix) + 2})"
            await connection.execute(
                f"alter table theke.{table} enable row level security;"
                f"create policy all_read on theke.{table} for select using (true);"
                f"create policy own_rows on theke.{table} for all using ({own}) with check ({own})"
            )

    async def _hand_over(self, connection: asyncpg.Connection, service: str, keep: Iterable[str] = ()) -> None:
        """Tables that were made before there were roles."""
        rows = await connection.fetch(
            "select relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where n.nspname = $1 and c.relkind = 'r' and c.relowner <> $2::regrole and c.relname <> all($3::text[])",
            service, self.name(service), list(keep),
        )  # fmt: skip
        for row in rows:
            await connection.execute(f'alter table {service}."{row["relname"]}" owner to {self.name(service)}')


def verifier(password: str) -> str:
    """What Postgres keeps of a password (SCRAM-SHA-256, RFC 5803), so that the password itself never stands in a statement."""
    salt = os.urandom(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${SCRAM_ROUNDS}:{salt64}${stored64}:{server64}"


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S)
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
