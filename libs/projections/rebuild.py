"""Query tables filled anew beside those that serve: the log is read from its beginning by whoever rebuilds, folded in large batches with
the handlers that project live, and copied into tables of the next generation. Nothing of it touches the projector; when the new tables
are nearly there, it takes them over and switches readers to them (``libs/projections/projector.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Final

import asyncpg

from libs.domain.events import Recorded
from libs.projections import skips, store
from libs.projections.declare import Build, Projection, Table
from libs.projections.projector import CONNECT_TIMEOUT_S, LogReader, seeded
from libs.projections.rows import Key, Row

BATCH_EVENTS: Final = 5_000
CONNECTIONS: Final = 3
NEAR_EVENTS: Final = 1_000  # so little is left to the projector
TAKEN_OVER_WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1
LOCK_TIMEOUT_MS: Final = 30_000  # of dropping tables that somebody still reads

OWNER_SQL: Final = "select nspowner::regrole::text from pg_namespace where nspname = $1 and nspowner <> current_user::regrole"

Done = Callable[[int], None]
"""How many events have been folded."""


class Stopped(Exception):
    """A rebuild that cannot go on; what serves is as it was. The message says what to do."""


@asynccontextmanager
async def connected(dsn: str, service: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(
        dsn,
        timeout=CONNECT_TIMEOUT_S,
        server_settings={
            "application_name": f"theke {service} rebuild",
            "synchronous_commit": "off",
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "plan_cache_mode": "force_custom_plan",  # an upsert planned on an empty table would scan the full one
            "jit": "off",
        },
    )
    try:
        owner = await connection.fetchval(OWNER_SQL, service)
        if owner is not None:  # what is made is to belong to whom the service's tables belong to
            await connection.execute(f"set role {owner}")
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def several(dsn: str, service: str, count: int = CONNECTIONS) -> AsyncIterator[list[asyncpg.Connection]]:
    """What a ``Rebuild`` works with: one, and ``count`` to fill tables."""
    async with AsyncExitStack() as opened:
        yield [await opened.enter_async_context(connected(dsn, service)) for _ in range(1 + count)]


class Rebuild:
    """Fills a new build of each of these projections of a service. One pass over the log for all of them. The first of ``connections``
    is for everything but filling."""

    def __init__(self, connections: Sequence[asyncpg.Connection], service: str, projections: Sequence[Projection], log_: LogReader) -> None:
        self._connection, *filling = connections
        self._service = service
        self._projections = tuple(projections)
        self._log = log_
        self._skips: Mapping[int, skips.Known] = {}
        self._positions: dict[tuple[str, int], int] = {}
        self._free: asyncio.LifoQueue[_Filling] = asyncio.LifoQueue()
        for connection in filling:
            self._free.put_nowait(_Filling(connection, service))
        self._filling = filling
        self.builds: tuple[Build, ...] = ()
        self.folded = 0

    async def begin(self) -> None:
        """New tables, empty. What an earlier rebuild left unfinished is dropped; what nobody serves any more too."""
        async with self._connection.transaction():
            await store.lay_ground(self._connection, self._service)
        await tidy(self._connection, self._service, self._projections)
        known = await store.builds(self._connection, self._service)
        made = []
        for projection in self._projections:
            generations = [generation for name, revision, generation in known if (name, revision) == (projection.name, projection.revision)]
            build = Build(projection, max(generations, default=-1) + 1)
            async with self._connection.transaction():
                await store.set_state(self._connection, self._service, build, store.State.FILLING)
                await store.create(self._connection, self._service, build, indexes=False)
            made.append(build)
        self.builds = tuple(made)
        self._skips = skips.known(await self._log.read_stream_everywhere(skips.STREAM))

    async def fill(self, done: Done = lambda _: None, *, near: int = NEAR_EVENTS) -> None:
        """Everything there is, until ``near`` events at most are left. Raises Stopped at an event that cannot be projected."""
        try:
            await self._fill(done, near)
        except BaseException:
            for connection in self._filling:  # one that is cut off in the middle of a COPY or an index would keep its locks
                connection.terminate()
            raise

    async def _fill(self, done: Done, near: int) -> None:
        indexed = False
        while True:
            heads = await self._log.heads()
            if sum(head - self._position(instance) for instance, head in heads.items()) <= (near if indexed else 0):
                if indexed:
                    break
                await asyncio.gather(*(self._finished(build) for build in self.builds))
                indexed = True
                continue
            await self._catch_up(heads, done)
        for build in self.builds:
            await store.set_state(self._connection, self._service, build, store.State.FILLED)

    def _position(self, instance: int) -> int:
        return min((self._positions.get((build.id, instance), 0) for build in self.builds), default=0)

    async def _finished(self, build: Build) -> None:
        async with self._lent() as fill:
            await store.create_indexes(fill.connection, self._service, build)
            await store.analyse(fill.connection, self._service, build)

    async def _catch_up(self, heads: Mapping[int, int], done: Done) -> None:
        """Two batches are on their way at most, and one is being read."""
        before: dict[str, asyncio.Task[None]] = {}
        count = 0
        try:
            async with asyncio.TaskGroup() as projecting, aclosing(self._batches(heads)) as batches:
                async for instance, at, events in batches:
                    now = {
                        build.id: projecting.create_task(self._project(build, instance, at, events, before.get(build.id)))
                        for build in self.builds
                    }
                    await self._are_through(before, count, done)
                    before, count = now, len(events)
                await self._are_through(before, count, done)
        except ExceptionGroup as failed:
            first = failed.exceptions[0]
            raise first from first.__cause__

    async def _are_through(self, batch: Mapping[str, asyncio.Task[None]], count: int, done: Done) -> None:
        if batch:
            await asyncio.gather(*batch.values())
            self.folded += count
            done(self.folded)

    async def _batches(self, heads: Mapping[int, int]) -> AsyncGenerator[tuple[int, int, Sequence[Recorded]], None]:
        """(instance, position before, events), each read while those before it are folded and written."""
        for instance, head in sorted(heads.items()):
            at = self._position(instance)
            if at >= head:
                continue
            reading = asyncio.ensure_future(self._log.read(instance, at, BATCH_EVENTS))
            try:
                while at < head:
                    events = await reading
                    if not events:
                        raise Stopped(f"the log of {self._service} i{instance} ends at {at}, its head is {head}")
                    end = events[-1].position
                    reading = asyncio.ensure_future(self._log.read(instance, end, BATCH_EVENTS))
                    yield instance, at, events
                    at = end
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[_Filling]:
        fill = await self._free.get()
        try:
            yield fill
        finally:
            self._free.put_nowait(fill)

    async def _project(self, build: Build, instance: int, at: int, events: Sequence[Recorded], before: asyncio.Task[None] | None) -> None:
        """``before``: the same build's batch before this one."""
        if before is not None:
            await before
        end = events[-1].position
        async with self._lent() as fill, fill.connection.transaction():
            await fill.write(build, instance, await self._folded(fill.connection, build, instance, events))
            await fill.move(build, instance, at, end)
        self._positions[build.id, instance] = end

    async def _folded(self, connection: asyncpg.Connection, build: Build, instance: int, events: Sequence[Recorded]) -> Any:
        handlers, passed = build.projection.handlers, self._skips.get(instance, frozenset())
        name, revision = build.projection.name, build.projection.revision
        mine = [event for event in events if event.type in handlers and not (passed and (name, revision, event.position) in passed)]
        event = None
        try:
            rows = await seeded(connection, self._service, build, instance, mine)
            for event in mine:
                handlers[event.type][0](rows, event)
        except asyncpg.PostgresError:
            raise
        except Exception as error:
            place = f"{event.type} at position {event.position}" if event is not None else f"an event behind {events[0].position - 1}"
            raise Stopped(f"{name} i{instance}: {place}: {type(error).__name__}: {error}") from error
        return rows

    async def give_up(self) -> None:
        """The new tables are dropped; what serves goes on serving."""
        for build in self.builds:
            tables = [table.name for table in build.projection.tables]
            name, revision = build.projection.name, build.projection.revision
            await store.drop(self._connection, self._service, name, revision, build.generation, tables)

    async def states(self) -> dict[str, store.State | None]:
        known = await store.builds(self._connection, self._service)
        return {build.id: known.get((build.projection.name, build.projection.revision, build.generation)) for build in self.builds}

    async def taken_over(self, *, within: float = TAKEN_OVER_WITHIN_S) -> None:
        """Waits until readers get the new tables. Raises Stopped if the projector refuses or is not there."""
        states = await self.states()
        try:
            async with asyncio.timeout(within):
                while store.State.FILLED in states.values():
                    await asyncio.sleep(LOOK_EVERY_S)
                    states = await self.states()
        except TimeoutError:
            raise Stopped("the tables are filled, but no projector took them over: is the service running? It will when it does") from None
        if refused := [id_ for id_, state in states.items() if state != store.State.ACTIVE]:
            raise Stopped(f"{', '.join(refused)}: an event could not be projected; the service's log says which. What serves is as it was")


async def tidy(connection: asyncpg.Connection, service: str, projections: Sequence[Projection]) -> None:
    """Drops what earlier rebuilds of these projections left unfinished, and builds that are retired."""
    gone = (store.State.FILLING, store.State.FAILED, store.State.RETIRED)
    for (name, revision, generation), state in (await store.builds(connection, service)).items():
        for projection in projections:
            if projection.name == name and state in gone:
                await store.drop(connection, service, name, revision, generation, [table.name for table in projection.tables])


class _Filling:
    """Writes folded rows: what is new is copied straight into its table, what may be there already by way of a table beside it."""

    def __init__(self, connection: asyncpg.Connection, service: str) -> None:
        self.connection = connection
        self._service = service
        self._staged: set[str] = set()  # tables whose rows come again without having been read

    async def write(self, build: Build, instance: int, rows: Any) -> None:
        for name, changed, dropped in rows.written():
            table = build.projection.table(name)
            target = f"{name}_{build.suffix}"
            if dropped:
                await self._delete(table, target, instance, dropped)
            if changed:
                await self._put(table, target, _records(table, instance, changed))

    async def _put(self, table: Table, target: str, records: list[tuple[Any, ...]]) -> None:
        columns = ["instance", *table.columns]
        if target not in self._staged:
            try:
                async with self.connection.transaction():
                    await self.connection.copy_records_to_table(target, schema_name=self._service, records=records, columns=columns)
                return
            except asyncpg.UniqueViolationError:
                await self._stage(target)
        await self.connection.copy_records_to_table(f"staged_{target}", records=records, columns=columns)
        names = ", ".join(columns)
        key = ("instance", *table.key)
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
        await self.connection.execute(
            f"insert into {self._service}.{target} ({names}) select {names} from staged_{target} "
            f"on conflict ({', '.join(key)}) do {'update set ' + changes if changes else 'nothing'}"
        )
        await self.connection.execute(f"truncate staged_{target}")

    async def _stage(self, target: str) -> None:
        await self.connection.execute(f"create temp table if not exists staged_{target} (like {self._service}.{target})")
        self._staged.add(target)

    async def _delete(self, table: Table, target: str, instance: int, keys: Sequence[tuple[Any, ...]]) -> None:
        arrays = ", ".join(f"${ix}::{table.columns[column]}[]" for ix, column in enumerate(table.key, start=2))
        same = " and ".join(f"t.{column} = k.{column}" for column in table.key)
        await self.connection.execute(
            f"delete from {self._service}.{target} t using unnest({arrays}) k({', '.join(table.key)}) where t.instance = $1 and {same}",
            instance, *(list(part) for part in zip(*keys, strict=True)),
        )  # fmt: skip

    async def move(self, build: Build, instance: int, at: int, end: int) -> None:
        """The same fence as live: whoever moved the checkpoint meanwhile wins, and this transaction is thrown away."""
        moved = await self.connection.execute(
            f"insert into {self._service}.checkpoints as c (projection, instance, position) values ($1, $2, $4) "
            "on conflict (projection, instance) do update set position = excluded.position where c.position = $3",
            build.id, instance, at, end,
        )  # fmt: skip
        if moved != "INSERT 0 1":
            raise Stopped(f"{build.id} i{instance}: somebody else fills these tables")


def _records(table: Table, instance: int, changed: Sequence[tuple[Key, Row]]) -> list[tuple[Any, ...]]:
    """In the order of the columns; those of the key are not in the row of who put it."""
    places = [(column, table.key.index(column) if column in table.key else None) for column in table.columns]
    return [(instance, *[row.get(column) if place is None else key[place] for column, place in places]) for key, row in changed]
