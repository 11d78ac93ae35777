"""The blob store in Postgres. With auth's secrets the only thing beside the logs that is not derived: a backup must hold it.

A file belongs to an instance; the same bytes are kept once per instance. Whoever holds a file's id and its instance may read it.
What nothing refers to is swept: ``unnamed`` finds candidates, ``sweep`` lets them go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import asyncpg
import msgspec

from libs.domain.errors import DomainError, Kind, unavailable
from libs.eventstore.log import LOST

SCHEMA: Final = "blobs"
FILE_MAX_BYTES: Final = 25 * 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024
CONNECT_TIMEOUT_S: Final = 3.0
STATEMENT_TIMEOUT_MS: Final = 10_000
POOL_MAX_CONNECTIONS: Final = 4
SWEPT_AT_ONCE_MAX: Final = 100

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
create index if not exists variants_by_file on blobs.variants (instance, id);
"""
_IS_LAID: Final = "select to_regclass('blobs.chunks') is not null and to_regclass('blobs.variants_by_file') is not null"


class File(msgspec.Struct, frozen=True):
    """``type`` is its media type."""

    type: str
    content: bytes

    @property
    def id(self) -> str:
        return sha256(self.content).hexdigest()


class Kept(msgspec.Struct, frozen=True):
    """What was kept: ``at``: when it was last kept, by whomever; ``new``: it was not there before."""

    instance: int
    id: str
    at: datetime
    new: bool


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

    # keeping

    async def keep(self, instance: int, of: str, variants: Mapping[str, File]) -> None:
        """Keeps files as the variants of ``of`` (the id of what they were made from): all of them or none. Raises ``too_large``."""
        for file in variants.values():
            _require_size(len(file.content))
        async with self._acquired() as connection, connection.transaction():
            for name, file in sorted(variants.items(), key=lambda one: one[1].id):  # always in one order: nobody waits in a ring
                await _write(connection, instance, file.id, file.type, len(file.content), _chunks(file.content))
                await connection.execute(
                    "insert into blobs.variants (instance, of, name, id) values ($1, $2, $3, $4) on conflict do nothing",
                    instance, of, name, file.id,
                )  # fmt: skip

    async def put(self, instance: int, id: str, size: int, chunks: Iterable[bytes]) -> Kept:
        """Keeps one file whose SHA-256 ``id`` is known, all of it or nothing. ``chunks``: its bytes in pieces of at most CHUNK_BYTES, only
        looked at if it is not there yet. Raises ``too_large``."""
        _require_size(size)
        async with self._acquired() as connection, connection.transaction():
            at, new = await _write(connection, instance, id, "", size, chunks)
        return Kept(instance, id, at, new)

    async def take_back(self, kept: Kept) -> None:
        """Undoes a ``put`` of which nothing came: unless the file was there before, or somebody has kept it since."""
        if kept.new:
            async with self._acquired() as connection, connection.transaction():
                await _drop(connection, kept.instance, [kept.id], kept.at)

    # reading

    async def get(self, instance: int, of: str, name: str) -> File | None:
        """The variant, or None if there is none."""
        async with self._acquired() as connection:
            rows = await connection.fetch(
                "select f.type, c.bytes from blobs.variants v join blobs.files f on f.instance = v.instance and f.id = v.id "
                "join blobs.chunks c on c.instance = f.instance and c.id = f.id "
                "where v.instance = $1 and v.of = $2 and v.name = $3 order by c.ix",
                instance, of, name,
            )  # fmt: skip
        return File(rows[0]["type"], b"".join(row["bytes"] for row in rows)) if rows else None

    async def known(self, instance: int, ids: Collection[str]) -> frozenset[str]:
        """Those of these files that are there."""
        async with self._acquired() as connection:
            rows = await connection.fetch("select id from blobs.files where instance = $1 and id = any($2::text[])", instance, list(ids))
        return frozenset(row["id"] for row in rows)

    async def read(self, instance: int, id: str) -> AsyncIterator[bytes]:
        """The bytes of a file, chunk by chunk; nothing if it is not there. No connection is held between chunks."""
        ix = 0
        while True:
            async with self._acquired() as connection:
                chunk: bytes | None = await connection.fetchval(
                    "select bytes from blobs.chunks where instance = $1 and id = $2 and ix = $3", instance, id, ix
                )
            if chunk is None:
                return
            yield chunk
            ix += 1

    # sweeping

    async def unnamed(self, before: datetime, behind: tuple[int, str] = (0, "")) -> list[tuple[int, str]]:
        """(instance, id) of files that are variants of nothing and were last kept before then, in this order; SWEPT_AT_ONCE_MAX of them
        behind the last one. Others may name them all the same."""
        async with self._acquired() as connection:
            rows = await connection.fetch(
                "select f.instance, f.id from blobs.files f where f.at < $1 and (f.instance, f.id) > ($2, $3) and not exists "
                "(select 1 from blobs.variants v where v.instance = f.instance and v.id = f.id) order by f.instance, f.id limit $4",
                before, *behind, SWEPT_AT_ONCE_MAX,
            )  # fmt: skip
        return [(row["instance"], row["id"]) for row in rows]

    async def sweep(self, instance: int, ids: Sequence[str], before: datetime) -> int:
        """Lets files go unless they were kept again since ``before``, or are a variant by now. How many went."""
        async with self._acquired() as connection, connection.transaction():
            return await _drop(connection, instance, ids, before)

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Any]:
        try:
            pool = await self._opened()
            async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                yield connection
        except LOST as error:
            raise unavailable("blobs_unreachable") from error

    async def _opened(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await _open(self._dsn)
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
        await lay_ground(connection)
    return pool


async def lay_ground(connection: Any) -> None:
    """The store's tables, within a transaction. Where they are all there, no right to make any is needed."""
    await connection.execute("select pg_advisory_xact_lock(hashtext('migrate'), hashtext($1))", SCHEMA)
    if not await connection.fetchval(_IS_LAID):
        await connection.execute(_TABLES)


def _require_size(size: int) -> None:
    if size > FILE_MAX_BYTES:
        raise DomainError(Kind.TOO_LARGE, "file_too_large", {"max": FILE_MAX_BYTES})


def _chunks(content: bytes) -> Iterable[bytes]:
    return [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)] or [b""]


async def _write(connection: Any, instance: int, id: str, type: str, size: int, chunks: Iterable[bytes]) -> tuple[datetime, bool]:
    """When it was kept, and whether it is new. One that is there already is not written again, but counts as kept now: whoever sweeps
    looks at that. A media type is known to those who keep variants only."""
    row = await connection.fetchrow(
        "insert into blobs.files as f (instance, id, type, size) values ($1, $2, $3, $4) on conflict (instance, id) do update "
        "set at = clock_timestamp(), type = case when excluded.type = '' then f.type else excluded.type end returning at, xmax = 0 as new",
        instance, id, type, size,
    )  # fmt: skip
    if row["new"]:
        for ix, chunk in enumerate(chunks):
            await connection.execute("insert into blobs.chunks (instance, id, ix, bytes) values ($1, $2, $3, $4)", instance, id, ix, chunk)
    return row["at"], row["new"]


async def _drop(connection: Any, instance: int, ids: Sequence[str], until: datetime) -> int:
    """Whoever keeps one of them meanwhile waits, and then finds it gone."""
    locked = await connection.fetch(
        "select f.id from blobs.files f where f.instance = $1 and f.id = any($2::text[]) and f.at <= $3 and not exists "
        "(select 1 from blobs.variants v where v.instance = f.instance and v.id = f.id) order by f.id for update",
        instance, list(ids), until,
    )  # fmt: skip
    going = [row["id"] for row in locked]
    await connection.execute("delete from blobs.chunks where instance = $1 and id = any($2::text[])", instance, going)
    await connection.execute("delete from blobs.files where instance = $1 and id = any($2::text[])", instance, going)
    return len(going)
