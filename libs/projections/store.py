"""The read database as a projector sees it: tables of each revision, checkpoints, and one statement per table and batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any

import asyncpg
import msgspec
import structlog

from libs.projections.declare import Build, Key, Projection, Table, suffix
from libs.projections.rows import Row

log = structlog.get_logger(__name__)

# Unlogged, so a crash of the server empties it: tables are written without waiting for the disk and may have lost their last rows
# then. Nobody reads them until their projector has caught up and signs them in again.
SCHEMA_SQL = """
create schema if not exists theke;
create unlogged table if not exists theke.revisions (
  service text not null, projection text not null, active int not null, tables text[] not null,
  generation int not null default 0, primary key (service, projection));
create table if not exists theke.builds (
  service text not null, projection text not null, revision int not null, generation int not null, state text not null,
  primary key (service, projection, revision, generation));
"""

IS_LAID_SQL = """select to_regclass('theke.builds') is not null and to_regclass($1 || '.checkpoints') is not null and
  exists (select from pg_attribute where attrelid = to_regclass('theke.revisions') and attname = 'generation')"""
HAS_GENERATIONS_SQL = "select exists (select from pg_attribute where attrelid = 'theke.revisions'::regclass and attname = 'generation')"


class State(StrEnum):
    """What a build is to its revision. ``ACTIVE`` and ``PREVIOUS`` are written live, so that switching is instant either way."""

    FILLING = "filling"
    FILLED = "filled"  # waits for the projector to take it over
    FAILED = "failed"  # the projector met an event that it cannot project
    ACTIVE = "active"
    PREVIOUS = "previous"
    RETIRED = "retired"  # nobody writes it any more
    DROPPED = "dropped"


LIVE = (State.ACTIVE, State.PREVIOUS)


STATISTICS_SINCE = 18  # version of Postgres
TRIGRAMS, WITH_INSTANCE = "pg_trgm", "btree_gin"
PENDING_KB = 256  # what an index has not sorted in yet, and every search reads


class CheckpointMoved(Exception):
    """Another projector was here: this one is no leader any more."""


async def prepare(connection: asyncpg.Connection, service: str, projections: Iterable[Projection]) -> None:
    """Makes the tables of these revisions, if they are not there yet. Safe when several processes start at once."""
    async with connection.transaction():
        await lay_ground(connection, service)
        known = await builds(connection, service)
        for projection in projections:
            own = {of: state for (name, revision, of), state in known.items() if (name, revision) == (projection.name, projection.revision)}
            if State.ACTIVE not in own.values():
                await set_state(connection, service, Build(projection), State.ACTIVE)
                own[0] = State.ACTIVE
            for generation, state in own.items():
                if state in LIVE:
                    await create(connection, service, Build(projection, generation))


async def lay_ground(connection: asyncpg.Connection, service: str) -> None:
    """What is there whatever is projected; within a transaction, one process at a time."""
    await connection.execute("select pg_advisory_xact_lock(hashtext('read tables'))")
    if await connection.fetchval(IS_LAID_SQL, service):  # a service's own role may not make schemas
        return
    await connection.execute(SCHEMA_SQL)
    if not await connection.fetchval(HAS_GENERATIONS_SQL):  # looked at first: altering would wait for every reader
        await connection.execute("alter table theke.revisions add column if not exists generation int not null default 0")
    await connection.execute(f'create schema if not exists "{service}"')
    await connection.execute(
        f"create table if not exists {service}.checkpoints (projection text not null, instance int not null, "
        "position bigint not null, held text, primary key (projection, instance)) with (fillfactor = 50)"
    )
    await _extend(connection)


async def _extend(connection: asyncpg.Connection) -> None:
    """The extensions for parts of texts, if there are any. Without them lists are right all the same, only slower in large tables."""
    rows = await connection.fetch("select name from pg_available_extensions where name = any($1::text[])", [TRIGRAMS, WITH_INSTANCE])
    try:
        async with connection.transaction():
            for row in rows:
                await connection.execute(f"create extension if not exists {row['name']} with schema public")
    except asyncpg.InsufficientPrivilegeError:
        log.warning("texts are searched without an index: this user may not create extensions", database="read")


async def _extensions(connection: asyncpg.Connection) -> frozenset[str]:
    rows = await connection.fetch("select extname from pg_extension where extname = any($1::text[])", [TRIGRAMS, WITH_INSTANCE])
    return frozenset(row["extname"] for row in rows)


async def create(connection: asyncpg.Connection, service: str, build: Build, *, indexes: bool = True) -> None:
    for table in build.projection.tables:
        columns = ", ".join(f"{column} {type_}" for column, type_ in table.columns.items())
        await connection.execute(
            f"create table if not exists {service}.{table.name}_{build.suffix} "
            f"(instance int not null, {columns}, primary key (instance, {', '.join(table.key)}))"
        )
    if indexes:
        await create_indexes(connection, service, build)


async def create_indexes(connection: asyncpg.Connection, service: str, build: Build) -> None:
    for table in build.projection.tables:
        name = f"{table.name}_{build.suffix}"
        for number, index in enumerate(table.indexes):
            await connection.execute(f"create index if not exists {name}_{number} on {service}.{name} (instance, {', '.join(index)})")
        extensions = await _extensions(connection) if table.searched else frozenset()
        for column in table.searched if TRIGRAMS in extensions else ():
            instance = "instance, " if WITH_INSTANCE in extensions else ""
            await connection.execute(
                f"create index if not exists {name}_{column} on {service}.{name} using gin ({instance}{column} public.gin_trgm_ops) "
                f"with (gin_pending_list_limit = {PENDING_KB:d})"
            )
        await _tell_planner(connection, service, name)


async def analyse(connection: asyncpg.Connection, service: str, build: Build) -> None:
    """So that the first reader's statement is not planned for an empty table."""
    for table in build.projection.tables:
        await connection.execute(f"analyze {service}.{table.name}_{build.suffix}")


async def _tell_planner(connection: asyncpg.Connection, service: str, name: str) -> None:
    """Statements are planned once, perhaps while the table is still empty and all its indexes seem to cost the same: each begins with
    the instance, and by one that says no more, every row of the instance is read to find one. So until the table is first analysed it
    is said to hold one instance. Servers before 18 cannot be told."""
    if connection.get_server_version().major >= STATISTICS_SINCE:
        await connection.execute(
            "select pg_restore_attribute_stats('schemaname', $1::text, 'relname', $2::text, 'attname', 'instance', 'inherited', false, "
            "'null_frac', 0::real, 'avg_width', 4, 'n_distinct', 1::real) where not exists "
            "(select from pg_stats where schemaname = $1 and tablename = $2 and attname = 'instance')",
            service, name,
        )  # fmt: skip


async def drop(
    connection: asyncpg.Connection, service: str, projection: str, revision: int, generation: int, tables: Sequence[str]
) -> None:
    """A build that nobody writes and nobody reads any more. Its number is not given again: readers may still keep rows by it."""
    end = suffix(revision, generation)
    async with connection.transaction():
        for table in tables:
            await connection.execute(f"drop table if exists {service}.{table}_{end}")
        await connection.execute(f"delete from {service}.checkpoints where projection = $1", f"{projection}_{end}")
        await connection.execute(
            "update theke.builds set state = $5 where service = $1 and projection = $2 and revision = $3 and generation = $4",
            service, projection, revision, generation, State.DROPPED,
        )  # fmt: skip


async def builds(connection: asyncpg.Connection, service: str) -> dict[tuple[str, int, int], State]:
    """(projection, revision, generation) → state."""
    rows = await connection.fetch("select projection, revision, generation, state from theke.builds where service = $1", service)
    return {(row["projection"], row["revision"], row["generation"]): State(row["state"]) for row in rows}


async def set_state(connection: asyncpg.Connection, service: str, build: Build, state: State) -> None:
    await connection.execute(
        "insert into theke.builds (service, projection, revision, generation, state) values ($1, $2, $3, $4, $5) "
        "on conflict (service, projection, revision, generation) do update set state = excluded.state",
        service, build.projection.name, build.projection.revision, build.generation, state,
    )  # fmt: skip


async def switch(connection: asyncpg.Connection, service: str, build: Build) -> None:
    """Readers get this build from now on; what they got before stays live beside it, what was before that is retired."""
    name, revision = build.projection.name, build.projection.revision
    async with connection.transaction():
        await connection.execute(
            "update theke.builds set state = case when generation = $4 then $5 when state = $5 then $6 else $7 end "
            "where service = $1 and projection = $2 and revision = $3 and (generation = $4 or state = any($8::text[]))",
            service, name, revision, build.generation, State.ACTIVE, State.PREVIOUS, State.RETIRED, list(LIVE),
        )  # fmt: skip
        await activate(connection, service, build.projection, build.generation)


async def activate(connection: asyncpg.Connection, service: str, projection: Projection, generation: int = 0) -> None:
    """Makes readers use this revision."""
    await connection.execute(
        "insert into theke.revisions (service, projection, active, generation, tables) values ($1, $2, $3, $4, $5) "
        "on conflict (service, projection) do update "
        "set active = excluded.active, generation = excluded.generation, tables = excluded.tables",
        service, projection.name, projection.revision, generation, [table.name for table in projection.tables],
    )  # fmt: skip


async def checkpoints(connection: asyncpg.Connection, service: str) -> dict[tuple[str, int], tuple[int, str | None]]:
    """(projection id, instance) → (position, why it is held or None)."""
    rows = await connection.fetch(f"select projection, instance, position, held from {service}.checkpoints")
    return {(row["projection"], row["instance"]): (row["position"], row["held"]) for row in rows}


async def holds(connection: asyncpg.Connection, service: str) -> set[tuple[str, int]]:
    """(projection id, instance) of what is held."""
    rows = await connection.fetch(f"select projection, instance from {service}.checkpoints where held is not null")
    return {(row["projection"], row["instance"]) for row in rows}


async def read(connection: asyncpg.Connection, service: str, end: str, table: Table, instance: int, keys: Sequence[Key]) -> dict[Key, Row]:
    """The rows of these keys, as handlers see them (without the instance)."""
    rows = await connection.fetch(_read_sql(service, end, table.name, _frozen(table)), instance, *zip(*keys, strict=True))
    return {tuple(row[column] for column in table.key): dict(row) for row in rows}


class Write(msgspec.Struct, frozen=True):
    """What a batch changes in one table: rows and keys of any instances."""

    suffix: str
    table: Table
    upserts: Sequence[tuple[int, Row]]
    deletes: Sequence[tuple[int, Key]]


async def commit(
    connection: asyncpg.Connection, service: str, writes: Sequence[Write], moves: Mapping[tuple[str, int], tuple[int, int]]
) -> None:
    """Writes a batch and moves checkpoints (projection, instance) from one position to another: one statement, so one transaction and
    one round trip. Raises CheckpointMoved, with nothing written, if a checkpoint is not where it should be: the fence."""
    arguments: list[Any] = [
        [projection for projection, _ in moves],
        [instance for _, instance in moves],
        [old for old, _ in moves.values()],
        [new for _, new in moves.values()],
    ]
    shape = []
    for write in writes:
        if write.upserts:
            arguments.append([instance for instance, _ in write.upserts])
            arguments += [[row.get(column) for _, row in write.upserts] for column in write.table.columns]
        if write.deletes:
            arguments.append([instance for instance, _ in write.deletes])
            arguments += [list(part) for part in zip(*(key for _, key in write.deletes), strict=True)]
        shape.append((write.suffix, write.table.name, _frozen(write.table), bool(write.upserts), bool(write.deletes)))
    try:
        await connection.fetch(_commit_sql(service, tuple(shape)), *arguments)
    except asyncpg.DivisionByZeroError:
        raise CheckpointMoved from None


async def hold(connection: asyncpg.Connection, service: str, projection: str, instance: int, why: str | None) -> None:
    """Marks a projection of an instance as held (or, with None, as free again)."""
    await connection.execute(
        f"insert into {service}.checkpoints (projection, instance, position, held) values ($1, $2, 0, $3) "
        "on conflict (projection, instance) do update set held = excluded.held",
        projection, instance, why,
    )  # fmt: skip


Frozen = tuple[tuple[tuple[str, str], ...], tuple[str, ...]]


def _frozen(table: Table) -> Frozen:
    return tuple(table.columns.items()), table.key


@cache
def _read_sql(service: str, end: str, name: str, shape: Frozen) -> str:
    columns, key = shape
    types = dict(columns)
    arrays = ", ".join(f"${ix}::{types[column]}[]" for ix, column in enumerate(key, start=2))
    return (
        f"select {', '.join('t.' + column for column, _ in columns)} from unnest({arrays}) k({', '.join(key)}) "
        f"join {service}.{name}_{end} t on t.instance = $1 and {' and '.join(f't.{c} = k.{c}' for c in key)}"
    )


Shape = tuple[tuple[str, str, Frozen, bool, bool], ...]


@cache
def _commit_sql(service: str, shape: Shape) -> str:
    """The division fails, and with it the statement, unless every checkpoint moved."""
    parts = [
        f"moved as (insert into {service}.checkpoints as c (projection, instance, position) "
        "select u.projection, u.instance, u.new from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) "
        "u(projection, instance, old, new) on conflict (projection, instance) do update set position = excluded.position "
        "where c.position = (select o.old from unnest($1::text[], $2::int[], $3::bigint[]) o(projection, instance, old) "
        "where o.projection = c.projection and o.instance = c.instance) returning 1)"
    ]
    parameter = 5
    for end, name, frozen, upserts, deletes in shape:
        table = f"{service}.{name}_{end}"
        columns, key = frozen
        if upserts:
            parts.append(f"put_{name}_{end} as ({_upsert_sql(table, columns, key, parameter)})")
            parameter += 1 + len(columns)
        if deletes:
            parts.append(f"drop_{name}_{end} as ({_delete_sql(table, columns, key, parameter)})")
            parameter += 1 + len(key)
    return f"with {', '.join(parts)} select 1 / (case when count(*) = cardinality($1::text[]) then 1 else 0 end) from moved"


def _upsert_sql(table: str, columns: tuple[tuple[str, str], ...], key: tuple[str, ...], first: int) -> str:
    names = ", ".join(column for column, _ in columns)
    arrays = ", ".join(f"${ix}::{type_}[]" for ix, (_, type_) in enumerate(columns, start=first + 1))
    changes = ", ".join(f"{column} = excluded.{column}" for column, _ in columns if column not in key)
    return (
        f"insert into {table} (instance, {names}) select * from unnest(${first}::int[], {arrays}) "
        f"on conflict (instance, {', '.join(key)}) do {'update set ' + changes if changes else 'nothing'}"
    )


def _delete_sql(table: str, columns: tuple[tuple[str, str], ...], key: tuple[str, ...], first: int) -> str:
    types = dict(columns)
    arrays = ", ".join(f"${ix}::{types[column]}[]" for ix, column in enumerate(key, start=first + 1))
    return (
        f"delete from {table} t using unnest(${first}::int[], {arrays}) k(instance, {', '.join(key)}) "
        f"where t.instance = k.instance and {' and '.join(f't.{c} = k.{c}' for c in key)}"
    )
