"""A log looked at as a stranger would: read row by row as it lies in the database, everything recomputed, nothing believed.

Each *check* sees every page of rows in order and says at the end what does not hold. All read in one snapshot of the database, so
appending goes on meanwhile. Memory does not grow with the log: what is as long as it is compared in sorted order, or kept in ``Scratch``.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Protocol

import asyncpg
import msgspec

from libs.eventstore.chain import Broken, Chain
from libs.eventstore.codec import Meta

PAGE_ROWS: Final = 1_000
FINDINGS_MAX: Final = 20  # per check; whoever has so many needs the first ones
CONNECT_TIMEOUT_S: Final = 10.0
SHOWN_CHARS: Final = 120

Row = Mapping[str, Any]
Seen = Callable[[int], None]
"""How many rows have been looked at."""


class Finding(msgspec.Struct, frozen=True):
    """Something that does not hold. ``check``: what was looked at; ``position``: the row of the log it is about, if it is about one."""

    check: str
    what: str
    position: int | None = None


class Check(Protocol):
    @property
    def findings(self) -> Sequence[Finding]: ...

    async def page(self, rows: Sequence[Row]) -> None:
        """The next rows of the log, in order of position."""
        ...

    async def end(self) -> None:
        """There are no more."""
        ...


class Findings(list[Finding]):
    """At most FINDINGS_MAX of one check."""

    def __init__(self, check: str) -> None:
        super().__init__()
        self._check = check

    def add(self, what: str, position: int | None = None) -> None:
        if not self.full:
            self.append(Finding(self._check, what, position))

    @property
    def full(self) -> bool:
        return len(self) >= FINDINGS_MAX


class Anchor(msgspec.Struct, frozen=True):
    """What a log's digest was at a position when somebody looked; kept where the log's owner cannot change it."""

    service: str
    instance: int
    position: int
    digest: str


class Scratch:
    """A file for what is too much to keep in memory, gone with the block it is opened in."""

    def __enter__(self) -> sqlite3.Connection:
        self._file = tempfile.NamedTemporaryFile(prefix="theke-proof-")
        self._connection = sqlite3.connect(self._file.name, isolation_level=None)
        for setting in ("journal_mode = off", "synchronous = off", "cache_size = -16384"):  # KiB
            self._connection.execute(f"pragma {setting}")
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()
        self._file.close()


@asynccontextmanager
async def snapshot(dsn: str, schema: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees a database as it is now for as long as it is open, and cannot change it."""
    settings = {"search_path": schema, "application_name": "theke proof", "statement_timeout": "0", "jit": "off"}
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, server_settings=settings)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.fetchval("select 1")  # the snapshot is taken with the first statement
            yield connection
    finally:
        connection.terminate()


async def head(connection: asyncpg.Connection, instance: int) -> int:
    return int(await connection.fetchval("select coalesce(max(position), 0) from events where instance = $1", instance))


async def walk(connection: asyncpg.Connection, instance: int, checks: Sequence[Check], seen: Seen = lambda _: None) -> None:
    """Shows every row of an instance's log to every check."""
    rows = await connection.cursor("select * from events where instance = $1 order by position", instance)
    looked_at = 0
    while page := await rows.fetch(PAGE_ROWS):
        for check in checks:
            await check.page(page)
        looked_at += len(page)
        seen(looked_at)
    for check in checks:
        await check.end()


class Following:
    """The hash chain, commit by commit, and that times never run backwards."""

    def __init__(self, connection: asyncpg.Connection, instance: int, anchors: Iterable[Anchor] = ()) -> None:
        self.findings = Findings("chain")
        self.chain = Chain()
        self._connection = connection
        self._instance = instance
        self._commits: _Pages | None = None
        self._anchors = {anchor.position: anchor.digest for anchor in anchors}
        self._latest: datetime | None = None

    async def page(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if self.chain.wants:
                self.chain.commit(await self._next())
            self.chain.row(row)
            if self.chain.at == row["position"]:
                self._anchored(self.chain.at)
            if self._latest is not None and row["at"] < self._latest:
                self.findings.add(f"row {row['position']} is older than the one before it", row["position"])
            self._latest = row["at"]

    async def _next(self) -> Row | None:
        if self._commits is None:
            statement = "select first_position, last_position, digest from commits where instance = $1 order by last_position"
            self._commits = _Pages(await self._connection.cursor(statement, self._instance))
        return await self._commits.next()

    def _anchored(self, position: int) -> None:
        known = self._anchors.pop(position, None)
        if known is not None and known != self.chain.digest.hex():
            self.findings.add(f"up to row {position} this is another log than the one whose digest was kept", position)

    async def end(self) -> None:
        if self.chain.wants and (commit := await self._next()) is not None:
            self.chain.commit(commit)
        self.chain.end()
        broken: Broken | None = self.chain.broken
        if broken is not None:
            self.findings.insert(0, Finding("chain", broken.what, broken.position))
        for position in sorted(self._anchors):
            if broken is None or position < broken.position:
                self.findings.add(f"no commit ends at row {position}, whose digest was kept: the log is shorter or another one", position)


class Remembered:
    """The commands that are remembered (those of the last days) cover the end of the log, and each event names the one that made it."""

    def __init__(self, connection: asyncpg.Connection, instance: int) -> None:
        self.findings = Findings("commands")
        self._connection = connection
        self._instance = instance
        self._commands: _Pages | None = None
        self._current: Row | None = None
        self._begun = False
        self._last = 0

    async def page(self, rows: Sequence[Row]) -> None:
        self._last = rows[-1]["position"]
        if self._commands is None:
            statement = (
                "select id, first_position, last_position from commands where instance = $1 and last_position >= first_position "
                "order by first_position, last_position"
            )
            self._commands = _Pages(await self._connection.cursor(statement, self._instance))
            self._current = await self._commands.next()
        for row in rows:
            await self._see(self._commands, row)

    async def _see(self, commands: _Pages, row: Row) -> None:
        position = row["position"]
        while self._current is not None and self._current["last_position"] < position:
            before, self._current = self._current, await commands.next()
            if self._current is not None and self._current["first_position"] <= before["last_position"]:
                what = f"commands {before['id']} and {self._current['id']} both stand for row {self._current['first_position']}"
                self.findings.add(what, self._current["first_position"])
        if self._current is None or self._current["first_position"] > position:
            if self._begun:
                self.findings.add(f"the command of row {position} is not remembered, though older ones are", position)
            return
        self._begun = True
        if (named := _command(row)) != self._current["id"]:
            self.findings.add(f"row {position} was made by command {named}, but stands under {self._current['id']}", position)

    async def end(self) -> None:
        while self._commands is not None and self._current is not None:
            if (last := self._current["last_position"]) > self._last:
                self.findings.add(f"command {self._current['id']} is remembered with rows up to {last}, the log ends at {self._last}", last)
            self._current = await self._commands.next()


class Claimed:
    """The values that are taken are those that the events took and did not give up."""

    def __init__(self, connection: asyncpg.Connection, instance: int, scratch: sqlite3.Connection) -> None:
        self.findings = Findings("claims")
        self._connection = connection
        self._instance = instance
        self._scratch = scratch
        self._command: Any = None
        self._noted: set[tuple[str, ...]] = set()
        scratch.execute("create table claims (scope text, value text, stream text, primary key (scope, value)) without rowid")

    async def page(self, rows: Sequence[Row]) -> None:
        self._scratch.execute("begin")
        for row in rows:
            meta = _meta_of(row)
            if meta is not None and meta.claims:
                self._note(meta, row["stream"])
        self._scratch.execute("commit")

    def _note(self, meta: Meta, stream: str) -> None:
        """A command's claims are noted on each of its events, or on those of the stream that holds them: the first one counts."""
        if meta.command != self._command:
            self._command, self._noted = meta.command, set()
        if meta.claims in self._noted:
            return
        self._noted.add(meta.claims)
        for note in meta.claims:
            scope, _, value = note[1:].partition(":")
            if note[0] == "+":
                self._scratch.execute("insert or replace into claims values (?, ?, ?)", (scope, value, stream))
            else:
                self._scratch.execute("delete from claims where scope = ? and value = ?", (scope, value))

    async def end(self) -> None:
        statement = "select scope, value, stream from claims where instance = $1 order by scope, value"
        stored = _Pages(await self._connection.cursor(statement, self._instance))
        made = self._scratch.execute("select scope, value, stream from claims order by scope, value")
        found, wanted = await stored.next(), made.fetchone()
        while (found is not None or wanted is not None) and not self.findings.full:
            of_found = (found["scope"], found["value"]) if found is not None else None
            of_wanted = wanted[:2] if wanted is not None else None
            if of_wanted is None or (of_found is not None and of_found < of_wanted):
                assert found is not None
                self.findings.add(f"{_shown(of_found)} is taken by {found['stream']}, but no event took it")
                found = await stored.next()
            elif of_found is None or of_wanted < of_found:
                self.findings.add(f"{_shown(of_wanted)} was taken by {wanted[2]}, but is not")
                wanted = made.fetchone()
            else:
                assert found is not None
                if found["stream"] != wanted[2]:
                    self.findings.add(f"{_shown(of_found)} is taken by {found['stream']}, the events say {wanted[2]}")
                found, wanted = await stored.next(), made.fetchone()


class Runs:
    """Versions of every stream and numbers of every series run from 1 without a gap up to their noted ends; no id stands twice."""

    RUNS: Final = (
        ("stream", "version", "versions", "select stream as name, version as last from streams where instance = $1 order by stream"),
        ("series", "number", "numbers", "select series as name, last from series where instance = $1 order by series"),
    )

    def __init__(self, connection: asyncpg.Connection, instance: int) -> None:
        self.findings = Findings("runs")
        self._connection = connection
        self._instance = instance

    async def page(self, rows: Sequence[Row]) -> None:
        return None

    async def end(self) -> None:
        for name, counted, what, heads in self.RUNS:
            await self._compare(name, counted, what, heads)
        statement = (
            "select id, min(position) as first, max(position) as again from events where instance = $1 "
            f"group by id having count(*) > 1 order by min(position) limit {FINDINGS_MAX:d}"
        )
        for row in await self._connection.fetch(statement, self._instance):
            self.findings.add(f"rows {row['first']} and {row['again']} have the same id {row['id']}", row["again"])

    async def _compare(self, name: str, counted: str, what: str, heads: str) -> None:
        statement = (
            f"select {name} as name, count(*) as n, min({counted}) as low, max({counted}) as high, count(distinct {counted}) as different "
            f"from events where instance = $1 and {name} is not null group by {name} order by {name}"
        )
        runs = _Pages(await self._connection.cursor(statement, self._instance))
        noted = _Pages(await self._connection.cursor(heads, self._instance))
        run, note = await runs.next(), await noted.next()
        while (run is not None or note is not None) and not self.findings.full:
            if run is None or (note is not None and note["name"] < run["name"]):
                assert note is not None
                self.findings.add(f"{what} of {note['name']}: noted up to {note['last']}, there is no event")
                note = await noted.next()
                continue
            if (run["low"], run["high"], run["different"]) != (1, run["n"], run["n"]):
                await self._gap(name, counted, what, run["name"])
            if note is None or run["name"] < note["name"]:
                self.findings.add(f"{what} of {run['name']}: there are {run['n']}, none is noted")
            else:
                if note["last"] != run["high"]:
                    self.findings.add(f"{what} of {run['name']}: noted up to {note['last']}, the events end at {run['high']}")
                note = await noted.next()
            run = await runs.next()

    async def _gap(self, name: str, counted: str, what: str, of: str) -> None:
        statement = (
            f"select position, {counted} as found, place from "
            f"(select position, {counted}, row_number() over (order by {counted}, position) as place from events "
            f"where instance = $1 and {name} = $2) e where {counted} <> place order by place limit 1"
        )
        row = await self._connection.fetchrow(statement, self._instance, of)
        if row is not None:
            self.findings.add(f"{what} of {of}: {row['place']} is missing, row {row['position']} has {row['found']}", row["position"])


class _Pages:
    """A cursor's rows one by one."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._page: list[Any] = []

    async def next(self) -> Any | None:
        if not self._page:
            self._page = list(reversed(await self._cursor.fetch(PAGE_ROWS)))
        return self._page.pop() if self._page else None


_meta: Final = msgspec.json.Decoder(Meta)


def _meta_of(row: Row) -> Meta | None:
    """None for a row that was altered beyond reading; the chain names it."""
    try:
        return _meta.decode(row["meta"])
    except msgspec.DecodeError:
        return None


def _command(row: Row) -> Any:
    meta = _meta_of(row)
    return meta.command if meta is not None else None


def _shown(value: Any) -> str:
    text = ":".join(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
