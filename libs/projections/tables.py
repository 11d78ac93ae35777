"""Statements on query tables. They name tables as ``{pos.receipts}``; the active revision is put in when they run.

Isolation between instances is enforced here: a statement in which a named table has no ``alias.instance = $1`` cannot be made.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from typing import Any

import asyncpg
import structlog

from libs.domain.decider import Referrer, RowsKept
from libs.domain.errors import DomainError, FieldError, Kind, invalid, unavailable
from libs.eventstore.connections import Connections, Loan
from libs.eventstore.log import LOST
from libs.projections.declare import BUILD_SQL, suffix
from libs.projections.kept import Kept

log = structlog.get_logger(__name__)

CONNECTIONS_MAX = 4
CONNECT_TIMEOUT_S = 3.0
QUERY_TIMEOUT_MS = 10_000
SUMMARIES_AT_ONCE_MAX = 2  # so that statements which read much leave connections for those which read little
SUMMARY_WAITS_MAX_S = 3.0
LISTS_MAX_CONNECTIONS = 3  # of their own, so that what callers make up leaves all else its connections
SEARCH_TIMEOUT_MS = 2_000  # of a statement that a caller made up
SEARCHES_AT_ONCE_MAX = 2  # of those that may take so long
EXPORTS_AT_ONCE_MAX = 2  # of a process
EXPORT_STEP_TIMEOUT_MS = 15_000  # until the first rows are there, and between pieces
EXPORT_ANSWER_WITHIN_S = 18.0  # of a server that is there: the step's time and a margin
EXPORT_WITHIN_S = 600.0  # as long as it may keep a snapshot
EXPORT_PIECE_ROWS = 1_000
PAGE_ROWS = 500
LOOKUP_MAX_KEYS = 5_000
NUL = "\x00"
NAMES_LAST_S = 5.0  # a switch is told; whoever missed it reads the build before, which stays live, so long

_COMPARED = {"key": "t.key = k.key", "id": "t.id = k.key::bigint"}  # how rows are looked up by a column: those that are indexed
_TABLE = re.compile(r"\{(\w+)\.(\w+)\}\s+(?:as\s+)?(\w+)")
_ANY_TABLE = re.compile(r"\{(\w+)\.(\w+)\}")
_BY_ITSELF = re.compile(r"\b\w+\.\w+_r\d+(?:g\d+)?\b")  # a revision's own table
_registered: list[Statement] = []


async def _turn(places: asyncio.Semaphore) -> None:
    """Raises ``unavailable`` if none gets free."""
    try:
        async with asyncio.timeout(SUMMARY_WAITS_MAX_S):
            await places.acquire()
    except TimeoutError:
        raise unavailable("overloaded", 1.0) from None


class _Regexes:
    """Regular expressions that are tried before a statement runs: where no row is looked at, a wrong one would pass. ``path``: of the one
    that is tried."""

    def __init__(self) -> None:
        self.path = ""

    async def try_out(self, connection: asyncpg.Connection, regexes: Sequence[tuple[str, str]]) -> None:
        for self.path, regex in regexes:
            await connection.fetchval("select '' ~ $1::text", regex)


class Unguarded(ValueError):
    """A statement names a table without tying it to the instance."""


class Statement:
    """A query whose first parameter is the instance. Raises Unguarded when made, if a table in it is not bound to it. ``lasting``: it is
    one of those that a process has for good, and is registered."""

    def __init__(self, text: str, *, lasting: bool = True) -> None:
        named = _TABLE.findall(text)
        if not named or len(named) != len(_ANY_TABLE.findall(text)):
            raise Unguarded(f"every table needs an alias: {text}")
        if past := _BY_ITSELF.search(text):
            raise Unguarded(f"{past[0]} is named past the guard, write it as {{service.table}}: {text}")
        aliases = [alias for _, _, alias in named]
        for service, table, alias in named:
            if len(re.findall(rf"(?<![\w.]){alias}\.instance = \$1(?!\d)", text)) < aliases.count(alias):
                raise Unguarded(f"{service}.{table} {alias} has no {alias}.instance = $1 in: {text}")
        self.text = text
        self.tables = [(service, table) for service, table, _ in named]
        if lasting:
            _registered.append(self)


def registered() -> Sequence[Statement]:
    """Every statement of the process, for the test that runs them all with a foreign instance."""
    return tuple(_registered)


class Tables:
    """Reads query tables. Implements ``libs.domain.decider.Lookup``."""

    def __init__(self, dsn: str, service: str) -> None:
        self._dsn = dsn
        self._service = service
        self._connections: Connections | None = None
        self._lists: Connections | None = None
        self._names: dict[tuple[str, str], str] = {}
        self._projections: dict[tuple[str, str], tuple[str, str]] = {}
        self._names_until = 0.0
        self._lookups: dict[tuple[str, tuple[str, ...], str], _Gathered] = {}
        self._references: dict[tuple[str, str], Statement] = {}
        self._referrers: dict[tuple[Referrer, ...], Statement] = {}
        self._kept = Kept(self)
        self._summaries = asyncio.Semaphore(SUMMARIES_AT_ONCE_MAX)
        self._searches = asyncio.Semaphore(SEARCHES_AT_ONCE_MAX)
        self._exports = asyncio.Semaphore(EXPORTS_AT_ONCE_MAX)

    async def open(self) -> None:
        self._connections = self._to("reads", CONNECTIONS_MAX, CONNECT_TIMEOUT_S, QUERY_TIMEOUT_MS)
        self._lists = self._to("lists", LISTS_MAX_CONNECTIONS, SUMMARY_WAITS_MAX_S, SEARCH_TIMEOUT_MS)
        await self._connections.open()

    def _to(self, purpose: str, most: int, within_s: float, timeout_ms: int) -> Connections:
        return Connections(
            self._dsn,
            most=most,
            timeout=within_s,
            begun=self.forget_revisions,  # the server may have crashed, and tables may not have caught up yet
            server_settings=self._session(purpose, timeout_ms),
        )

    def _session(self, purpose: str, timeout_ms: int) -> dict[str, str]:
        return {
            "application_name": f"theke {self._service} {purpose}",
            "statement_timeout": str(timeout_ms),
            "default_transaction_read_only": "on",
            "jit": "off",
        }

    async def close(self) -> None:
        for connections in (self._connections, self._lists):
            if connections is not None:
                connections.close()
        self._connections = self._lists = None

    def forget_revisions(self) -> None:
        """A projection switched to another revision: names are looked up again."""
        self._names.clear()
        self._projections.clear()

    def read_from(self, service: str, table: str) -> tuple[str, str] | None:
        """The projection and the build of it (``r4``) that a table is read from; None as long as nobody has read it."""
        return self._projections.get((service, table))

    async def _resolve(self, connection: asyncpg.Connection, text: str, tables: Sequence[tuple[str, str]]) -> str:
        if time.monotonic() >= self._names_until or any(table not in self._names for table in tables):
            statement = "select service, projection, active, generation, unnest(tables) as name from theke.revisions"
            for row in await connection.fetch(statement):
                table, build = (row["service"], row["name"]), suffix(row["active"], row["generation"])
                self._names[table] = f"{row['service']}.{row['name']}_{build}"
                self._projections[table] = row["projection"], build
            self._names_until = time.monotonic() + NAMES_LAST_S
        missing = [table for table in tables if table not in self._names]
        if missing:
            raise unavailable("tables_not_ready", tables=", ".join(".".join(table) for table in missing))
        return _ANY_TABLE.sub(lambda found: self._names[found[1], found[2]], text)

    async def fetch(self, statement: Statement, instance: int, *arguments: Any) -> list[Any]:
        """All rows of a statement that is bounded by itself."""
        return await self._read(statement, instance, arguments)

    async def _read(self, statement: Statement, instance: int, arguments: Sequence[Any], *, planned_anew: bool = False) -> list[Any]:
        try:
            async with self.lent() as connection:
                text = await self._resolve(connection, statement.text, statement.tables)
                source = await connection.prepare(text) if planned_anew else None
                rows: list[Any] = await (source.fetch(instance, *arguments) if source else connection.fetch(text, instance, *arguments))
                return rows
        except asyncpg.CharacterNotInRepertoireError:
            return []  # NUL in a text: no row can hold it
        except asyncpg.UndefinedTableError:
            self.forget_revisions()
            raise unavailable("tables_not_ready") from None
        except LOST as error:
            raise unavailable("read_database_unreachable") from error

    async def fetch_one(self, statement: Statement, instance: int, *arguments: Any) -> Any | None:
        rows = await self.fetch(statement, instance, *arguments)
        return rows[0] if rows else None

    async def summarise(self, statement: Statement, instance: int, *arguments: Any) -> list[Any]:
        """All rows of a statement that gives few but reads many. Raises ``unavailable`` if its turn does not come.

        It is planned for its arguments every time: a plan kept for any of them would take a year for a handful of rows."""
        await _turn(self._summaries)
        try:
            return await self._read(statement, instance, arguments, planned_anew=True)
        finally:
            self._summaries.release()

    async def search(
        self, statement: Statement, instance: int, *arguments: Any, regexes: Sequence[tuple[str, str]] = (), costly: bool = False
    ) -> list[Any]:
        """All rows of a statement that a caller made up; it gets SEARCH_TIMEOUT_MS. ``regexes``: (path, regular expression), tried before
        it runs; ``costly``: few of these at once. Raises ``invalid`` naming a bad expression, ``query_too_costly``, ``unavailable``."""
        if not costly:
            return await self._searched(statement, instance, arguments, regexes, planned_anew=False)
        await _turn(self._searches)
        try:
            return await self._searched(statement, instance, arguments, regexes, planned_anew=True)
        finally:
            self._searches.release()

    async def _searched(
        self, statement: Statement, instance: int, arguments: Sequence[Any], regexes: Sequence[tuple[str, str]], *, planned_anew: bool
    ) -> list[Any]:
        """``planned_anew``: a pattern decides whether an index helps."""
        with self._told(SEARCH_TIMEOUT_MS) as place:
            async with self._list_connection() as connection:
                await place.try_out(connection, regexes)
                text = await self._resolve(connection, statement.text, statement.tables)
                source = await connection.prepare(text) if planned_anew else None
                rows: list[Any] = await (source.fetch(instance, *arguments) if source else connection.fetch(text, instance, *arguments))
        return rows

    @contextlib.asynccontextmanager
    async def _list_connection(self) -> AsyncIterator[Any]:
        if self._lists is None:
            raise unavailable("read_database_unreachable")
        async with contextlib.AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._lists.lend())
            except TimeoutError:
                raise unavailable("overloaded", 1.0) from None
            yield connection

    @contextlib.contextmanager
    def _told(self, timeout_ms: int) -> Iterator[_Regexes]:
        """What can go wrong with a statement that a caller made up, in our words."""
        regexes = _Regexes()
        try:
            yield regexes
        except asyncpg.InvalidRegularExpressionError:
            raise invalid(FieldError(regexes.path, "bad_pattern")) from None
        except (asyncpg.QueryCanceledError, asyncpg.StatementTooComplexError):
            raise DomainError(Kind.INVALID, "query_too_costly", {"max": timeout_ms}) from None
        except asyncpg.UndefinedTableError:
            self.forget_revisions()
            raise unavailable("tables_not_ready") from None
        except LOST as error:
            raise unavailable("read_database_unreachable") from error

    async def export(
        self, statement: Statement, instance: int, *arguments: Any, regexes: Sequence[tuple[str, str]] = ()
    ) -> AsyncGenerator[list[Any], None]:
        """All rows of a statement that a caller made up, however many, in pieces of EXPORT_PIECE_ROWS and as they were at one moment.
        Raises as ``search`` does, ``unavailable`` if its turn does not come or EXPORT_WITHIN_S are over.

        The one read that holds a connection and a snapshot between its pieces: rows that change meanwhile must not show twice or not at
        all. The connection is its own, so whoever takes the pieces slowly keeps nobody waiting but the next export."""
        await _turn(self._exports)
        ends = time.monotonic() + EXPORT_WITHIN_S
        connection = None
        try:
            with self._told(EXPORT_STEP_TIMEOUT_MS) as place:
                session = self._session("export", EXPORT_STEP_TIMEOUT_MS)
                connection = await asyncpg.connect(self._dsn, timeout=CONNECT_TIMEOUT_S, server_settings=session)
                await connection.transaction(isolation="repeatable_read", readonly=True).start()
                await place.try_out(connection, regexes)
                text = await self._resolve(connection, statement.text, statement.tables)
                cursor = await connection.cursor(text, instance, *arguments)
                while rows := await cursor.fetch(EXPORT_PIECE_ROWS, timeout=EXPORT_ANSWER_WITHIN_S):
                    yield rows
                    if time.monotonic() > ends:
                        raise unavailable("timeout")
        finally:
            if connection is not None:
                connection.terminate()
            self._exports.release()

    async def stream(self, statement: Statement, instance: int, *arguments: Any, by: str, first: Any = 0) -> AsyncIterator[list[Any]]:
        """Rows in pieces of PAGE_ROWS, however many there are. The statement orders by its column ``by``; its last two parameters are
        the value of that column behind which it begins, and how many rows it gives. No connection is held between pieces, so whoever
        pulls slowly is in nobody's way; a row changed meanwhile shows as it is when its piece is read."""
        behind = first
        while rows := await self.fetch(statement, instance, *arguments, behind, PAGE_ROWS):
            yield rows
            if len(rows) < PAGE_ROWS:
                return
            behind = rows[-1][by]

    async def position(self, service: str, projections: Sequence[str], instance: int) -> int:
        """How far all of these projections of a service are in its log. What they show afterwards holds every event up to there."""
        return await self._position(service, "r.projection = any($3::text[])", projections, instance)

    async def position_of(self, service: str, tables: Sequence[str], instance: int) -> int:
        """The same of the projections that these tables belong to."""
        return await self._position(service, "r.tables && $3::text[]", tables, instance)

    async def _position(self, service: str, which: str, names: Sequence[str], instance: int) -> int:
        try:
            async with self.lent() as connection:
                found: int | None = await connection.fetchval(
                    f"select min(coalesce(c.position, 0)) from theke.revisions r left join {service}.checkpoints c on c.instance = $1 "
                    f"and c.projection = r.projection || '_' || {BUILD_SQL} where r.service = $2 and {which}",
                    instance, service, list(names),
                )  # fmt: skip
        except asyncpg.UndefinedTableError:
            raise unavailable("tables_not_ready") from None
        except LOST as error:
            raise unavailable("read_database_unreachable") from error
        return found or 0

    def lent(self) -> Loan:
        """A connection for one statement."""
        if self._connections is None:
            raise unavailable("read_database_unreachable")
        return self._connections.lend()

    # facts: many commands' look-ups share one statement

    async def referenced(self, table: str, column: str, instance: int, key: str, *, listed: bool = False) -> bool:
        """Whether any row of ``service.table`` has ``key`` in ``column``; ``listed``: among those in a column of lists."""
        service, name = table.split(".")
        statement = self._references.get((table, column))
        if statement is None:
            holds = f"t.{column} @> jsonb_build_array($2::text)" if listed else f"t.{column} = $2"
            text = f"select 1 from {{{service}.{name}}} t where t.instance = $1 and {holds} limit 1"
            statement = self._references[table, column] = Statement(text)
        return await self.fetch_one(statement, instance, key) is not None

    async def referrers(
        self, referrers: tuple[Referrer, ...], instance: int, ids: Sequence[int], limit: int, *, named: str = ""
    ) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in referrers]
        if not referrers:
            return found
        statement = self._referrers.get(referrers)
        if statement is None:
            text = _REFERRERS_AND.join(map(_referring, range(len(referrers)), referrers))
            statement = self._referrers[referrers] = Statement(text, lasting=False)
        for row in await self.fetch(statement, instance, list(ids), limit, *([named] if any(one.by for one in referrers) else [])):
            found[row["place"]].append(row["id"])
        for rows in found:
            rows.sort()
        return found

    def rows(
        self, table: str, instance: int, keys: Sequence[str], columns: tuple[str, ...], by: str = "key"
    ) -> Awaitable[Mapping[str, Sequence[Any]]]:
        """Rows of ``service.table`` by a column (as text); look-ups that come while one is under way are asked together in the next.
        The question is on its way when this returns, so several can be asked before the first is awaited."""
        gathered = self._lookups.get((table, columns, by))
        if gathered is None:
            gathered = self._lookups[table, columns, by] = _Gathered(self, table, columns, by)
        return gathered.ask(instance, keys)

    async def row(self, table: str, instance: int, key: str, columns: tuple[str, ...]) -> Any | None:
        """The row of a key, or None; asked together with others like ``rows``."""
        found = (await self.rows(table, instance, [key], columns)).get(key)
        return found[0] if found else None

    def kept(self, what: RowsKept, instance: int, keys: Sequence[str]) -> Awaitable[Mapping[str, Any]]:
        """What is made of rows that seldom change, as they are now."""
        return self._kept.ask(what, instance, keys)


_REFERRERS_AND = " union all "


def _referring(place: int, one: Referrer) -> str:
    also = f" and t{place}.{one.by} = $4" if one.by else ""
    where = f"t{place}.instance = $1 and t{place}.{one.column} = any($2::bigint[]){also}"
    return f"(select {place} as place, t{place}.id from {{{one.table}}} t{place} where {where} limit $3)"


class _Gathered:
    """Look-ups of one table and column list, gathered while the one before is under way."""

    def __init__(self, tables: Tables, table: str, columns: tuple[str, ...], by: str) -> None:
        service, name = table.split(".")
        self._tables = tables
        self._named = [(service, name)]
        self._text = (
            f"select k.ix::int as ix, k.key as asked, {', '.join('t.' + column for column in columns)} "
            "from unnest($1::int[], $2::text[]) with ordinality k(instance, key, ix) "
            f"join {{{service}.{name}}} t on t.instance = k.instance and {_COMPARED.get(by, f't.{by}::text = k.key')}"
        )
        self._waiting: list[tuple[int, Sequence[str], asyncio.Future[dict[str, list[Any]]]]] = []
        self._task: asyncio.Task[None] | None = None

    def ask(self, instance: int, keys: Sequence[str]) -> asyncio.Future[dict[str, list[Any]]]:
        future: asyncio.Future[dict[str, list[Any]]] = asyncio.get_running_loop().create_future()
        if not keys:
            future.set_result({})
            return future
        self._waiting.append((instance, keys, future))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())
        return future

    async def _work(self) -> None:
        while self._waiting:
            batch, count = [], 0
            while self._waiting and count < LOOKUP_MAX_KEYS:
                batch.append(self._waiting.pop(0))
                count += len(batch[-1][1])
            try:
                await self._answer(batch)
            except Exception as error:
                for _, _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                        future.exception()  # who asked several things at once may never look at this one

    async def _answer(self, batch: Sequence[tuple[int, Sequence[str], asyncio.Future[dict[str, list[Any]]]]]) -> None:
        owners: dict[tuple[int, str], list[dict[str, list[Any]]]] = {}  # many ask for the same few rows: each is fetched once
        answers: list[dict[str, list[Any]]] = []
        for instance, wanted, _ in batch:
            answers.append({})
            for key in dict.fromkeys(wanted):
                if NUL not in key:  # no row can hold it, and the database would refuse the others' keys with it
                    owners.setdefault((instance, key), []).append(answers[-1])
        asking = list(owners.values())
        for row in await self._fetch([instance for instance, _ in owners], [key for _, key in owners]):
            for owner in asking[row["ix"] - 1]:
                owner.setdefault(row["asked"], []).append(row)
        for (_, _, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    async def _fetch(self, instances: list[int], keys: list[str]) -> list[Any]:
        tables = self._tables
        try:
            async with tables.lent() as connection:
                text = await tables._resolve(connection, self._text, self._named)
                rows: list[Any] = await connection.fetch(text, instances, keys)
                return rows
        except asyncpg.UndefinedTableError:
            tables.forget_revisions()
            raise unavailable("tables_not_ready") from None
        except LOST as error:
            raise unavailable("read_database_unreachable") from error
