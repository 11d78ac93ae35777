"""The read database as a projector sees it: tables of each revision, checkpoints, and one statement per table and batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import asyncpg

from libs.projections.declare import Key, Projection, Table
from libs.projections.rows import Row

SCHEMA_SQL = """
create schema if not exists theke;
create table if not exists theke.revisions (
  service text not null, projection text not null, active int not null, tables text[] not null, primary key (service, projection));
"""


class CheckpointMoved(Exception):
    """Another projector was here: this one is no leader any more."""


async def prepare(connection: asyncpg.Connection, service: str, projections: Iterable[Projection]) -> None:
    """Makes the tables of these revisions, if they are not there yet. Safe when several processes start at once."""
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(hashtext('read tables'))")
        await connection.execute(SCHEMA_SQL)
        await connection.execute(f'create schema if not exists "{service}"')
        await connection.execute(
            f"create table if not exists {service}.checkpoints (projection text not null, instance int not null, "
            "position bigint not null, held text, primary key (projection, instance)) with (fillfactor = 50)"
        )
        for projection in projections:
            for table in projection.tables:
                await _create(connection, service, projection.revision, table)


async def _create(connection: asyncpg.Connection, service: str, revision: int, table: Table) -> None:
    name = f"{table.name}_r{revision}"
    columns = ", ".join(f"{column} {type_}" for column, type_ in table.columns.items())
    await connection.execute(
        f"create table if not exists {service}.{name} (instance int not null, {columns}, primary key (instance, {', '.join(table.key)}))"
    )
    for number, index in enumerate(table.indexes):
        await connection.execute(f"create index if not exists {name}_{number} on {service}.{name} (instance, {', '.join(index)})")


async def activate(connection: asyncpg.Connection, service: str, projection: Projection) -> bool:
    """Makes readers use this revision; True if they used another one before."""
    before = await connection.fetchval(
        "select active from theke.revisions where service = $1 and projection = $2", service, projection.name
    )
    await connection.execute(
        "insert into theke.revisions (service, projection, active, tables) values ($1, $2, $3, $4) "
        "on conflict (service, projection) do update set active = excluded.active, tables = excluded.tables",
        service, projection.name, projection.revision, [table.name for table in projection.tables],
    )  # fmt: skip
    return before is not None and before != projection.revision


async def checkpoints(connection: asyncpg.Connection, service: str) -> dict[tuple[str, int], tuple[int, str | None]]:
    """(projection id, instance) → (position, why it is held or None)."""
    rows = await connection.fetch(f"select projection, instance, position, held from {service}.checkpoints")
    return {(row["projection"], row["instance"]): (row["position"], row["held"]) for row in rows}


async def read(
    connection: asyncpg.Connection, service: str, revision: int, table: Table, instance: int, keys: Sequence[Key]
) -> dict[Key, Row]:
    """The rows of these keys, as handlers see them (without the instance)."""
    rows = await connection.fetch(_read_sql(service, revision, table.name, _frozen(table)), instance, *zip(*keys, strict=True))
    return {tuple(row[column] for column in table.key): dict(row) for row in rows}


async def write(
    connection: asyncpg.Connection, service: str, revision: int, table: Table,
    upserts: Sequence[tuple[int, Row]], deletes: Sequence[tuple[int, Key]],
) -> None:  # fmt: skip
    """One upsert and one delete for a whole batch: rows and keys of any instances."""
    if upserts:
        columns = [[row.get(column) for _, row in upserts] for column in table.columns]
        await connection.execute(
            _upsert_sql(service, revision, table.name, _frozen(table)), [instance for instance, _ in upserts], *columns
        )
    if deletes:
        keys = list(zip(*(key for _, key in deletes), strict=True))
        await connection.execute(_delete_sql(service, revision, table.name, _frozen(table)), [instance for instance, _ in deletes], *keys)


async def advance(connection: asyncpg.Connection, service: str, moves: Mapping[tuple[str, int], tuple[int, int]]) -> None:
    """Moves checkpoints (projection, instance) from one position to another. Raises CheckpointMoved if one is elsewhere: the fence."""
    moved = await connection.fetch(
        f"insert into {service}.checkpoints as c (projection, instance, position) "
        "select u.projection, u.instance, u.new from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) "
        "u(projection, instance, old, new) "
        "on conflict (projection, instance) do update set position = excluded.position "
        "where c.position = (select o.old from unnest($1::text[], $2::int[], $3::bigint[]) o(projection, instance, old) "
        "where o.projection = c.projection and o.instance = c.instance) returning 1",
        [projection for projection, _ in moves],
        [instance for _, instance in moves],
        [old for old, _ in moves.values()],
        [new for _, new in moves.values()],
    )
    if len(moved) != len(moves):
        raise CheckpointMoved


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
def _read_sql(service: str, revision: int, name: str, shape: Frozen) -> str:
    columns, key = shape
    types = dict(columns)
    arrays = ", ".join(f"${ix}::{types[column]}[]" for ix, column in enumerate(key, start=2))
    return (
        f"select {', '.join('t.' + column for column, _ in columns)} from unnest({arrays}) k({', '.join(key)}) "
        f"join {service}.{name}_r{revision} t on t.instance = $1 and {' and '.join(f't.{c} = k.{c}' for c in key)}"
    )


@cache
def _upsert_sql(service: str, revision: int, name: str, shape: Frozen) -> str:
    columns, key = shape
    names = ", ".join(column for column, _ in columns)
    arrays = ", ".join(f"${ix}::{type_}[]" for ix, (_, type_) in enumerate(columns, start=2))
    changes = ", ".join(f"{column} = excluded.{column}" for column, _ in columns if column not in key)
    return (
        f"insert into {service}.{name}_r{revision} (instance, {names}) select * from unnest($1::int[], {arrays}) "
        f"on conflict (instance, {', '.join(key)}) do {'update set ' + changes if changes else 'nothing'}"
    )


@cache
def _delete_sql(service: str, revision: int, name: str, shape: Frozen) -> str:
    columns, key = shape
    types = dict(columns)
    arrays = ", ".join(f"${ix}::{types[column]}[]" for ix, column in enumerate(key, start=2))
    return (
        f"delete from {service}.{name}_r{revision} t using unnest($1::int[], {arrays}) k(instance, {', '.join(key)}) "
        f"where t.instance = k.instance and {' and '.join(f't.{c} = k.{c}' for c in key)}"
    )
