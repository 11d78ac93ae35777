"""Query tables held against an independent fold of their log: the same handlers, event by event, into a scratch file instead of Postgres.

Live tables come out of batches, upserts and checkpoints; here is none of that. Both are compared row by row and column by column.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypedDict

import asyncpg
import msgspec

from libs.domain.events import Recorded
from libs.eventstore.audit import PAGE_ROWS, Findings
from libs.eventstore.codec import UnknownEvent, recorded
from libs.projections import store
from libs.projections.declare import Build, Key, Projection, Table
from libs.projections.rows import Rows
from libs.projections.skips import Known

# what a column's value is in Python, by its type in Postgres
TYPES: Final[Mapping[str, Any]] = {
    "text": str,
    "int": int,
    "bigint": int,
    "numeric": Decimal,
    "boolean": bool,
    "date": date,
    "timestamptz": datetime,
    "jsonb": str,
}

Row = Mapping[str, Any]


class Standing(msgspec.Struct, frozen=True):
    """A projection of an instance as the read database has it: up to where, and why it goes no further."""

    position: int = 0
    held: str | None = None


class Folded:
    """The tables of one projection and instance after the events shown to it, kept in a scratch file."""

    def __init__(self, projection: Projection, scratch: sqlite3.Connection) -> None:
        self.projection = projection
        self._scratch = scratch
        self._encoder = msgspec.msgpack.Encoder()
        self._decoders = {table.name: _decoder(table) for table in projection.tables}
        for table in projection.tables:
            scratch.execute(f'create table "{self._name(table.name)}" (key blob primary key, row blob not null) without rowid')

    def _name(self, table: str) -> str:
        return f"{self.projection.name}/{table}"

    def fold(self, events: Iterable[Recorded]) -> None:
        """Raises what a handler raises, with nothing of these events kept."""
        rows = Rows()
        for event in events:
            handle, reads = self.projection.handlers.get(event.type, (None, None))
            for table, key in reads(event) if reads is not None else ():
                if not rows.knows(table, key):
                    rows.seed(table, key, self.get(table, key))
            if handle is not None:
                handle(rows, event)
        self._scratch.execute("begin")
        for table, changed, dropped in rows.written():
            declared = self.projection.table(table)
            name = self._name(table)
            whole = ((key, {**row, **dict(zip(declared.key, key, strict=True))}) for key, row in changed)
            kept = [(self._key(key), self._encoder.encode({column: row.get(column) for column in declared.columns})) for key, row in whole]
            self._scratch.executemany(f'insert or replace into "{name}" values (?, ?)', kept)
            self._scratch.executemany(f'delete from "{name}" where key = ?', [(self._key(key),) for key in dropped])
        self._scratch.execute("commit")

    def _key(self, key: Key) -> bytes:
        return self._encoder.encode(key)

    def get(self, table: str, key: Key) -> dict[str, Any] | None:
        found = self._scratch.execute(f'select row from "{self._name(table)}" where key = ?', (self._key(key),)).fetchone()
        return self._decoders[table].decode(found[0]) if found is not None else None

    def drop(self, table: str, keys: Sequence[Key]) -> None:
        self._scratch.executemany(f'delete from "{self._name(table)}" where key = ?', [(self._key(key),) for key in keys])

    def keys(self, table: str, limit: int) -> list[Any]:
        """Some of the keys that are there."""
        found = self._scratch.execute(f'select key from "{self._name(table)}" order by key limit ?', (limit,)).fetchall()
        return [tuple(msgspec.msgpack.decode(key)) for (key,) in found]


class Shown:
    """A check of the log's walk: folds for one projection, up to where its tables are, and compares at the end."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        service: str,
        instance: int,
        build: Build,
        standing: Standing,
        scratch: sqlite3.Connection,
        passed: Known = frozenset(),
    ) -> None:
        self.findings = Findings("tables")
        self.projection = build.projection
        self.rows = 0
        self._connection = connection
        self._service = service
        self._instance = instance
        self._standing = standing
        self._folded = Folded(build.projection, scratch)
        self._build = build
        self._passed = passed
        self._at = 0
        if standing.held is not None:
            self.findings.add(f"{service}.{build.projection.name} is held: {standing.held}", standing.position + 1)

    async def page(self, rows: Sequence[Row]) -> None:
        wanted = [row for row in rows if row["position"] <= self._standing.position] if not self.findings.full else []
        if not wanted or self._at < 0:
            return
        self._at = wanted[-1]["position"]
        try:
            self._folded.fold([recorded(row) for row in wanted if self._counts(row)])
        except UnknownEvent as unknown:
            self._stop(f"{self.projection.name} cannot be folded by this version: {unknown}", wanted[0])
        except Exception as error:  # an altered row makes a handler stumble over anything
            self._stop(f"{self.projection.name} cannot be folded: {type(error).__name__}: {error}", wanted[0])

    def _counts(self, row: Row) -> bool:
        """Whether it changes these tables: an event that an operator let them pass over does not."""
        place = (self.projection.name, self.projection.revision, row["position"])
        return row["type"] in self.projection.handlers and place not in self._passed

    def _stop(self, what: str, row: Row) -> None:
        self.findings.add(what, row["position"])
        self._at = -1

    async def end(self) -> None:
        if self._at < 0:
            return
        if self._at < self._standing.position:
            what = f"{self.projection.name} has its tables up to {self._standing.position}, the log ends at {self._at}"
            self.findings.add(what, self._at)
        for table in self.projection.tables:
            await self._compare(table)

    async def _compare(self, table: Table) -> None:
        name = f"{self._service}.{table.name}"
        statement = f"select * from {self._service}.{table.name}_{self._build.suffix} where instance = $1"
        cursor = await self._connection.cursor(statement, self._instance)
        while stored := await cursor.fetch(PAGE_ROWS):
            self.rows += len(stored)
            met = []
            for row in stored:
                key = tuple(row[column] for column in table.key)
                wanted = self._folded.get(table.name, key)
                if wanted is None:
                    self.findings.add(f"{name} {key}: the row is there, no event made it")
                    continue
                met.append(key)
                if different := [column for column in table.columns if _plain(table, column, row) != _plain(table, column, wanted)]:
                    column = different[0]
                    self.findings.add(f"{name} {key}: {column} is {_short(row[column])}, the events say {_short(wanted[column])}")
            self._folded.drop(table.name, met)
        for key in self._folded.keys(table.name, PAGE_ROWS):
            self.findings.add(f"{name} {key}: the events make this row, it is not there")


async def standings(connection: asyncpg.Connection, service: str, instance: int) -> dict[str, Standing]:
    """Projection id → how far it is."""
    found = await store.checkpoints(connection, service)
    return {id_: Standing(position, held) for (id_, of), (position, held) in found.items() if of == instance}


async def serving(connection: asyncpg.Connection, service: str) -> dict[str, tuple[int, int]]:
    """Projection → the revision that readers get, and which generation of it."""
    rows = await connection.fetch("select projection, active, generation from theke.revisions where service = $1", service)
    return {row["projection"]: (row["active"], row["generation"]) for row in rows}


def _decoder(table: Table) -> msgspec.msgpack.Decoder[dict[str, Any]]:
    # the type checker wants its names in the source; they are the table's columns
    row = TypedDict("row", {column: TYPES[type_] | None for column, type_ in table.columns.items()})  # type: ignore[misc]  # its fields are known at run time only
    return msgspec.msgpack.Decoder(row, strict=False)


def _plain(table: Table, column: str, row: Row) -> Any:
    """JSON compares by what it says."""
    value = row[column]
    return json.loads(value, parse_float=Decimal) if table.columns[column] == "jsonb" and isinstance(value, str) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
