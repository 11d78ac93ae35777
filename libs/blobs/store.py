"""The blob store in Postgres. With auth's secrets the only thing beside the logs that is not derived: a backup must hold it.

A file belongs to an instance; the same bytes are kept once per instance. Whoever holds a file's id and its instance may read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import asyncpg
import msgspec

from libs.domain.errors import DomainError, Kind, unavailable
from libs.eventstore.log import LOST

SCHEMA: Final = "blobs"
FILE_MAX_BYTES: Final = 16 * 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024
CONNECT_TIMEOUT_S: Final = 3.0
STATEMENT_TIMEOUT_MS: Final = 10_000
POOL_MAX_CONNECTIONS: Final = 2

_TABLES: Final = """
create schema if not exists blobs;
create table if not exists blobs.files (
  instance int not null, id text not null, type text not null, size int not null, at timestamptz not null default clock_timestamp(),
  primary key (instance, id));
create table if not exists blobs.chunks (
  instance int not null, id text not null, ix int not null, bytes bytea not null, primary key (instance, id, ix),
  foreign key (instance, id) references blobs.files);
create table if not exists blobs.variants (
  instance int not null, of text not null, name text not null, id text not null, primary key (instance, of, name),
  foreign key (instance, id) references blobs.files);
"""


class File(msgspec.Struct, frozen=True):
    """``type`` is its media type."""

    type: str
    content: bytes

    @property
    def id(self) -> str:
        return sha256(self.content).hexdigest()


class Blobs:
    """Every method raises ``unavailable`` while the database is away. It is opened when it is first needed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def keep(self, instance: int, of: str, variants: Mapping[str, File]) -> None:
        """Keeps files as the variants of ``of`` (the id of what they were made from): all of them or none. Raises ``too_large``."""
        if any(len(file.content) > FILE_MAX_BYTES for file in variants.values()):
            raise DomainError(Kind.TOO_LARGE, "file_too_large", {"max": FILE_MAX_BYTES})
        pool = await self._opened()
        try:
            async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection, connection.transaction():
                for name, file in sorted(variants.items(), key=lambda one: one[1].id):  # always in one order: nobody waits in a ring
                    await _write(connection, instance, file)
                    await connection.execute(
                        "insert into blobs.variants (instance, of, name, id) values ($1, $2, $3, $4) on conflict do nothing",
                        instance, of, name, file.id,
                    )  # fmt: skip
        except LOST as error:
            raise unavailable("blobs_unreachable") from error

    async def get(self, instance: int, of: str, name: str) -> File | None:
        """The variant, or None if there is none."""
        pool = await self._opened()
        try:
            async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                rows = await connection.fetch(
                    "select f.type, c.bytes from blobs.variants v join blobs.files f on f.instance = v.instance and f.id = v.id "
                    "join blobs.chunks c on c.instance = f.instance and c.id = f.id "
                    "where v.instance = $1 and v.of = $2 and v.name = $3 order by c.ix",
                    instance, of, name,
                )  # fmt: skip
        except LOST as error:
            raise unavailable("blobs_unreachable") from error
        return File(rows[0]["type"], b"".join(row["bytes"] for row in rows)) if rows else None

    async def _opened(self) -> Any:
        async with self._opening:
            if self._pool is None:
                try:
                    self._pool = await _open(self._dsn)
                except LOST as error:
                    raise unavailable("blobs_unreachable") from error
            return self._pool


async def _open(dsn: str) -> Any:
    pool = await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=POOL_MAX_CONNECTIONS,
        timeout=CONNECT_TIMEOUT_S,
        server_settings={"application_name": "theke blobs", "statement_timeout": str(STATEMENT_TIMEOUT_MS)},
    )
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(hashtext('migrate'), hashtext($1))", SCHEMA)
        await connection.execute(_TABLES)
    return pool


async def _write(connection: Any, instance: int, file: File) -> None:
    """A file that is there already is not written again."""
    new = await connection.fetchval(
        "insert into blobs.files (instance, id, type, size) values ($1, $2, $3, $4) on conflict do nothing returning true",
        instance, file.id, file.type, len(file.content),
    )  # fmt: skip
    if new:
        chunks = [file.content[at : at + CHUNK_BYTES] for at in range(0, len(file.content), CHUNK_BYTES)] or [b""]
        await connection.executemany(
            "insert into blobs.chunks (instance, id, ix, bytes) values ($1, $2, $3, $4)",
            [(instance, file.id, ix, chunk) for ix, chunk in enumerate(chunks)],
        )
