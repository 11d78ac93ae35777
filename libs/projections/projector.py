"""The projector of a service: the one process at a time that turns its log into query tables.

Events come straight from this process's own appends; a gap, a start and other processes' appends are read from the log. A batch is
folded in memory and written with one statement per table, in the transaction that moves the checkpoints. The checkpoint is the fence:
whoever finds it moved is no leader any more and steps back.

A handler that raises holds its instance in that projection, loudly, and nobody else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import asyncpg
import structlog

from libs.domain.events import Recorded
from libs.eventstore.codec import UnknownEvent
from libs.eventstore.log import LOST, LogUnreachable
from libs.projections import skips, store
from libs.projections.declare import Build, Key, Projection
from libs.projections.measures import Projecting
from libs.projections.remembered import Remembered
from libs.projections.rows import Row, Rows

log = structlog.get_logger(__name__)

BATCH_MAX_EVENTS = 2_000
OFFERED_MAX_EVENTS = 20_000
LEADER_POLL_S = 1.0
LOOK_AGAIN_S = 2.0
REVIEW_EVERY_S = 2.0  # what operators did: builds, holds
PAUSE_AFTER_ERROR_S = 0.5
CONNECT_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_MS = 30_000
COMMAND_TIMEOUT_S = 35.0  # a server that fell silent; a slow statement ends earlier


class LogReader(Protocol):
    async def read(self, instance: int, after: int, limit: int) -> list[Recorded]: ...

    async def heads(self) -> dict[int, int]: ...

    async def read_stream_everywhere(self, stream: str) -> list[Recorded]: ...


Announce = Callable[[Mapping[int, int]], Awaitable[None]]
Batch = dict[int, list[Recorded]]
Moves = dict[tuple[str, int], tuple[int, int]]


POISON = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)


def _is_poison(error: Exception) -> bool:
    """Whether an event is to blame, and not the database or another projector."""
    if isinstance(error, asyncpg.PostgresError):
        return isinstance(error, POISON)
    return not isinstance(error, (store.CheckpointMoved, *LOST))


async def _silent(_: Mapping[int, int]) -> None:
    return None


class Projector:
    """``announce`` tells other processes of this service how far the tables are (instance → position), ``switched`` all readers that
    tables have another name now."""

    def __init__(
        self,
        dsn: str,
        service: str,
        projections: Sequence[Projection],
        log_: LogReader,
        announce: Announce = _silent,
        switched: Callable[[], None] = lambda: None,
    ) -> None:
        self._dsn = dsn
        self._service = service
        self._projections = tuple(projections)
        self._builds = tuple(Build(projection) for projection in projections)  # all that are live
        self._ids = tuple(build.id for build in self._builds)
        self._active = frozenset(self._ids)
        self._skips: dict[int, skips.Known] = {}
        self._review_at = 0.0
        self._log = log_
        self._announce = announce
        self._switched = switched
        self._connection: asyncpg.Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._offered: Batch = {}
        self._offered_count = 0
        self._heads: dict[int, int] = {}
        self._behind: set[int] = set()  # instances whose head moved since they were found to be at it
        self._positions: dict[tuple[str, int], int] = {}
        self._held: dict[tuple[str, int], str] = {}
        self._seen: dict[int, int] = {}
        self._remembered = Remembered()
        self._heads_at_start: dict[int, int] | None = None
        self._known: Mapping[tuple[str, int, int], store.State] = {}  # builds, of whatever state
        self._waiters: dict[int, list[tuple[int, asyncio.Future[bool]]]] = {}
        self._filling: dict[str, int] = {}
        self._measures = Projecting(service)
        self.leading = False
        self.ready = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"projector {self._service}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._disconnect()

    # what others tell the projector

    def offer(self, events: Sequence[Recorded]) -> None:
        """Events that this process just appended, in order."""
        if not events or not self._projections:
            return
        instance = events[0].instance
        self.poke(instance, events[-1].position)
        if self.leading and self._offered_count < OFFERED_MAX_EVENTS:
            self._offered.setdefault(instance, []).extend(events)
            self._offered_count += len(events)

    def poke(self, instance: int, head: int) -> None:
        """Somebody appended up to ``head``."""
        if head > self._heads.get(instance, 0):
            self._heads[instance] = head
            self._behind.add(instance)
            self._wake.set()

    def projected(self, positions: Mapping[int, int]) -> None:
        """The leader, in another process, says how far it is."""
        if not self.leading:
            for instance, position in positions.items():
                self._reached(instance, position)

    def review(self) -> None:
        """An operator did something: look at builds and holds now."""
        self._review_at = 0.0
        self._wake.set()

    # what others ask

    async def wait(self, instance: int, position: int, timeout: float) -> bool:
        """True once every projection has reached ``position``; False if one is held or the time is over."""
        began = time.perf_counter()
        reached = await self._wait(instance, position, timeout)
        self._measures.wait.observe(time.perf_counter() - began)
        if not reached:
            self._measures.timeouts.inc()
        return reached

    async def _wait(self, instance: int, position: int, timeout: float) -> bool:
        if not self._projections or self._seen.get(instance, 0) >= position:
            return True
        if any(held_instance == instance and id_ in self._active for id_, held_instance in self._held):
            return False
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(instance, []).append((position, waiter))
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        except TimeoutError:
            return False
        finally:
            self._leave(instance, position, waiter)

    def _leave(self, instance: int, position: int, waiter: asyncio.Future[bool]) -> None:
        waiting = self._waiters.get(instance, [])
        if (position, waiter) in waiting:
            waiting.remove((position, waiter))
            if not waiting:
                del self._waiters[instance]

    def status(self) -> dict[str, dict[int, dict[str, int | str | None]]]:
        """projection → instance → position and why it is held, of what readers get."""
        found: dict[str, dict[int, dict[str, int | str | None]]] = {projection.name: {} for projection in self._projections}
        names = {build.id: build.projection.name for build in self._builds if build.id in self._active}
        for (id_, instance), position in self._positions.items():
            if id_ in names:
                found[names[id_]][instance] = {"position": position, "held": self._held.get((id_, instance))}
        return found

    def heads(self) -> Mapping[int, int]:
        """instance → the newest position of its log that this process knows of."""
        return self._heads

    def filling(self) -> Mapping[str, int]:
        """Tables that are being rebuilt (``sales_r2g1``) → events folded into them, of all instances."""
        return self._filling

    # the loop

    async def _run(self) -> None:
        if not self._projections:
            self.ready.set()
            return
        while True:
            try:
                await self._lead()
            except store.CheckpointMoved:
                log.warning("another projector moved the checkpoint, stepping back", service=self._service)
            except UnknownEvent as error:
                log.error("newer events in the log, stepping back", service=self._service, unknown=str(error))
                self._disconnect()
                await asyncio.sleep(2 * LEADER_POLL_S)  # a process that knows them may look after this by then
            except (LogUnreachable, asyncpg.PostgresError, *LOST) as error:
                log.warning("projector lost its database", service=self._service, error=str(error) or type(error).__name__)
            except Exception:
                log.exception("projector failed, beginning again", service=self._service)
            self._measures.restarts.inc()
            self._disconnect()
            await asyncio.sleep(PAUSE_AFTER_ERROR_S)

    def _disconnect(self) -> None:
        self.leading = False
        self._seen.clear()  # a server that crashed may have lost the last rows
        self._offered.clear()
        self._offered_count = 0
        self._remembered.clear()
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _lead(self) -> None:
        connection = self._connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={
                "application_name": f"theke {self._service} projector",
                "synchronous_commit": "off",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                # a batch's statement is planned once; index probes only, whatever the planner believed when the tables were empty
                "plan_cache_mode": "force_generic_plan",
                "enable_seqscan": "off",
                "enable_hashjoin": "off",
                "enable_mergejoin": "off",
                "jit": "off",
            },
        )
        connection.add_termination_listener(lambda _: self._wake.set())
        await store.prepare(connection, self._service, self._projections)
        while not await connection.fetchval("select pg_try_advisory_lock(hashtext('projector'), hashtext($1))", self._service):
            await self._follow(connection)
            await asyncio.sleep(LEADER_POLL_S)
        await self._load_checkpoints(connection)
        self._skips = skips.known(await self._log.read_stream_everywhere(skips.STREAM))
        self.leading = True
        log.info("projecting", service=self._service)
        await self._look()
        await self._catch_up(connection)
        for build in self._builds:
            if build.id in self._active:
                await store.activate(connection, self._service, build.projection, build.generation)
        self.ready.set()
        while True:
            try:
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._wake.wait()
            except TimeoutError:
                await self._look()
            self._wake.clear()
            if connection.is_closed():  # and with it the leadership; an idle projector would not find out by itself
                raise ConnectionResetError("the connection of the projector was closed")
            if (now := asyncio.get_running_loop().time()) >= self._review_at:
                asked, self._review_at = not self._review_at, now + REVIEW_EVERY_S
                await self._review(connection, asked=asked)
            await self._catch_up(connection)

    # what operators do

    async def _review(self, connection: asyncpg.Connection, *, asked: bool) -> None:
        """Takes over builds that were filled, lets go of retired ones, goes on where a hold was lifted. Unless somebody asked for it, all
        places are read again only where builds or holds are others than known: there are as many as instances times projections."""
        held = dict(self._held)
        await self._look()
        known = await store.builds(connection, self._service)
        holds = {key for key in await store.holds(connection, self._service) if key[0] in self._ids}
        if asked or known != self._known or holds != held.keys():
            await self._load_checkpoints(connection)
            if held.keys() - self._held.keys():
                self._skips = skips.known(await self._log.read_stream_everywhere(skips.STREAM))
        await self._look_at_rebuilds(connection, known)
        for projection in self._projections:
            for (name, revision, generation), state in known.items():
                if (name, revision, state) == (projection.name, projection.revision, store.State.FILLED):
                    await self._take_over(connection, Build(projection, generation))

    async def _look_at_rebuilds(self, connection: asyncpg.Connection, known: Mapping[tuple[str, int, int], store.State]) -> None:
        filled = {
            Build(projection, generation).id: 0
            for projection in self._projections
            for (name, revision, generation), state in known.items()
            if (name, revision, state) == (projection.name, projection.revision, store.State.FILLING)
        }
        if filled:
            for (id_, _), (position, _) in (await store.checkpoints(connection, self._service)).items():
                if id_ in filled:
                    filled[id_] += position
        self._filling = filled

    async def _take_over(self, connection: asyncpg.Connection, build: Build) -> None:
        """Brings a filled build to where the others are, and switches readers to it. It was filled to near the head, so this is short."""
        self._skips = skips.known(await self._log.read_stream_everywhere(skips.STREAM))
        self._stand_at(await store.checkpoints(connection, self._service), {build.id})
        heads = dict(self._heads)
        for instance, head in heads.items():
            while (at := self._positions.get((build.id, instance), 0)) < head and (build.id, instance) not in self._held:
                events = await self._log.read(instance, at, BATCH_MAX_EVENTS)
                if not events:
                    break  # a head is what somebody said; the log may have lost its last rows since
                await self._project(connection, {instance: events}, (build,))
        if any(id_ == build.id for id_, _ in self._held):
            log.error("rebuilt tables are held and not switched to", service=self._service, build=build.id)
            await store.set_state(connection, self._service, build, store.State.FAILED)
            self._held = {key: why for key, why in self._held.items() if key[0] != build.id}
            return
        await store.switch(connection, self._service, build)
        await self._load_checkpoints(connection)
        log.info("switched", service=self._service, build=build.id)
        self._switched()

    async def _follow(self, connection: asyncpg.Connection) -> None:
        """Another process leads: learn from its checkpoints how far the tables are."""
        await self._load_checkpoints(connection)
        if self._heads_at_start is None:
            self._heads_at_start = await self._log.heads()
        held = {instance for _, instance in self._held}
        if all(instance in held or self._seen.get(instance, 0) >= head for instance, head in self._heads_at_start.items()):
            self.ready.set()

    async def _load_checkpoints(self, connection: asyncpg.Connection) -> None:
        """Which builds are live, how far they are, and what is held. All of it changes at once, for whoever asks meanwhile."""
        before = {instance: self._lowest(instance) for _, instance in self._positions}
        known = self._known = await store.builds(connection, self._service)
        checkpoints = await store.checkpoints(connection, self._service)
        live = [
            (Build(projection, generation), state)
            for projection in self._projections
            for (name, revision, generation), state in sorted(known.items())
            if (name, revision) == (projection.name, projection.revision) and state in store.LIVE
        ]
        self._builds = tuple(build for build, _ in live)
        self._ids = tuple(build.id for build in self._builds)
        self._active = frozenset(build.id for build, state in live if state == store.State.ACTIVE)
        self._positions, self._held, self._behind = {}, {}, set(self._heads)
        self._stand_at(checkpoints, set(self._ids))
        for instance in {instance for _, instance in self._positions} | before.keys():
            if self._lowest(instance) < before.get(instance, 0):  # made anew of a log that lost its tail
                self._seen.pop(instance, None)
            self._reached(instance, self._lowest(instance))

    def _stand_at(self, checkpoints: Mapping[tuple[str, int], tuple[int, str | None]], ids: set[str]) -> None:
        for key, (position, why) in checkpoints.items():
            if key[0] in ids:
                self._positions[key] = position
                if why is not None:
                    self._held[key] = why

    async def _look(self) -> None:
        known, heads = dict(self._heads), await self._log.heads()
        for instance in known.keys() | heads.keys():
            if heads.get(instance, 0) < known.get(instance, 0):  # it lost its tail
                self._heads[instance] = heads.get(instance, 0)
            self.poke(instance, heads.get(instance, 0))

    def _lowest(self, instance: int) -> int:
        """How far what readers get is."""
        return min((self._positions.get((id_, instance), 0) for id_ in self._active), default=0)

    def _reached(self, instance: int, position: int) -> None:
        self._seen[instance] = max(position, self._seen.get(instance, 0))
        waiting = self._waiters.get(instance)
        if not waiting:
            return
        behind = [(wanted, waiter) for wanted, waiter in waiting if wanted > position]
        for wanted, waiter in waiting:
            if wanted <= position and not waiter.done():
                waiter.set_result(True)
        if behind:
            self._waiters[instance] = [(wanted, waiter) for wanted, waiter in behind if not waiter.done()]
        else:
            del self._waiters[instance]

    async def _catch_up(self, connection: asyncpg.Connection) -> None:
        """Projects until every instance that is not held is at its known head."""
        while True:
            self._behind = {instance for instance in self._behind if self._target(instance) < self._heads[instance]}
            if not self._behind:
                return
            behind = tuple(self._behind)
            offered, self._offered, self._offered_count = self._offered, {}, 0
            room = max(1, BATCH_MAX_EVENTS // len(behind))
            batch: Batch = {}
            for instance in behind:
                events = await self._next(instance, offered.get(instance, []), room)
                if events:
                    batch[instance] = events
            if not batch:
                return
            await self._project(connection, batch, self._builds)

    def _target(self, instance: int) -> int:
        """The lowest position of a projection that is not held; held ones do not keep the loop busy."""
        return min(
            (self._positions.get((id_, instance), 0) for id_ in self._ids if (id_, instance) not in self._held),
            default=self._heads.get(instance, 0),
        )

    async def _next(self, instance: int, offered: list[Recorded], room: int) -> list[Recorded]:
        """The events behind the checkpoint: as offered if they follow on it without a gap, else from the log."""
        after = self._target(instance)
        fresh = [event for event in offered if event.position > after]
        contiguous = all(event.position == after + ix for ix, event in enumerate(fresh, start=1))
        if fresh and contiguous and len(fresh) <= OFFERED_MAX_EVENTS:
            return fresh
        self._measures.gap_fills.inc()
        return await self._log.read(instance, after, room)

    async def _project(self, connection: asyncpg.Connection, batch: Batch, builds: Sequence[Build]) -> None:
        writes: list[store.Write] = []
        moves: Moves = {}
        began = time.perf_counter()
        try:
            for build in builds:
                folded, moved = await self._folded(connection, build, batch)
                writes += folded
                moves.update(moved)
            if moves:
                await store.commit(connection, self._service, writes, moves)
        except Exception as error:
            if not _is_poison(error):
                raise
            await self._isolate(connection, batch, builds, error)
            return
        self._measures.apply.observe(time.perf_counter() - began)
        self._measures.events.observe(sum(map(len, batch.values())))
        self._remembered.keep(writes)
        for key, (_, position) in moves.items():
            self._positions[key] = position
        reached = {instance: self._lowest(instance) for instance in batch}
        for instance, position in reached.items():
            self._reached(instance, position)
        for instance in {instance for id_, instance in self._held if id_ in self._active} & batch.keys():
            self._give_up_waiting(instance)
        await self._announce(reached)

    async def _isolate(self, connection: asyncpg.Connection, batch: Batch, builds: Sequence[Build], error: Exception) -> None:
        """A row that its table refuses, or keys that cannot be named: find the event and the projection, and hold its instance there."""
        self._remembered.clear()
        [(instance, events), *others] = batch.items()
        if others:
            for each, its in batch.items():
                await self._project(connection, {each: its}, builds)
        elif len(events) > 1:
            for event in events:
                await self._project(connection, {instance: [event]}, builds)
        elif len(builds) > 1:
            for build in builds:
                await self._project(connection, batch, (build,))
        else:
            await self._hold(connection, builds[0], events[0], error)
            if builds[0].id in self._active:
                self._give_up_waiting(instance)

    async def _hold(self, connection: asyncpg.Connection, build: Build, event: Recorded, error: Exception) -> None:
        why = f"{event.type} at position {event.position}: {type(error).__name__}: {error}"
        log.error("projection held", service=self._service, projection=build.id, instance=event.instance, why=why, exc_info=error)
        self._held[build.id, event.instance] = why
        await store.hold(connection, self._service, build.id, event.instance, why)

    def _is_skipped(self, build: Build, event: Recorded) -> bool:
        passed = self._skips.get(event.instance)
        return passed is not None and (build.projection.name, build.projection.revision, event.position) in passed

    def _give_up_waiting(self, instance: int) -> None:
        for _, waiter in self._waiters.pop(instance, []):
            if not waiter.done():
                waiter.set_result(False)

    async def _folded(self, connection: asyncpg.Connection, build: Build, batch: Batch) -> tuple[list[store.Write], Moves]:
        """A batch folded for one build: what to write, and how its checkpoints move."""
        moves: Moves = {}
        upserts: dict[str, list[tuple[int, Row]]] = {}
        deletes: dict[str, list[tuple[int, Key]]] = {}
        for instance, events in batch.items():
            at = self._positions.get((build.id, instance), 0)
            fresh = events if events[0].position > at else [event for event in events if event.position > at]
            if not fresh or (build.id, instance) in self._held:
                continue
            if fresh[0].position != at + 1:
                continue  # this build is further behind than the batch begins; it is read for it in the next round
            rows, good = await self._fold(connection, build, instance, fresh)
            if good == 0:
                continue
            moves[build.id, instance] = (at, fresh[good - 1].position)
            for name, changed, dropped in rows.written():
                key_columns = build.projection.table(name).key
                upserts.setdefault(name, []).extend((instance, {**row, **dict(zip(key_columns, key, strict=True))}) for key, row in changed)
                deletes.setdefault(name, []).extend((instance, key) for key in dropped)
        writes = [
            store.Write(build.suffix, table, upserts.get(table.name, ()), deletes.get(table.name, ()))
            for table in build.projection.tables
            if table.name in upserts or table.name in deletes
        ]
        return writes, moves

    async def _fold(self, connection: asyncpg.Connection, build: Build, instance: int, events: Sequence[Recorded]) -> tuple[Rows, int]:
        """Applies events until one raises, which holds the instance: the rows, and how many events made them."""
        wanted = [event for event in events if not self._is_skipped(build, event)]
        rows = await seeded(connection, self._service, build, instance, wanted, self._remembered)
        for done, event in enumerate(events):
            handler = build.projection.handlers.get(event.type)
            if handler is None or self._is_skipped(build, event):
                continue
            try:
                handler[0](rows, event)
            except Exception as error:
                await self._hold(connection, build, event, error)
                # what the poison half did is thrown away: the good events, folded again without it
                return (await self._fold(connection, build, instance, events[:done]))[0], done
        return rows, len(events)


async def seeded(
    connection: asyncpg.Connection,
    service: str,
    build: Build,
    instance: int,
    events: Sequence[Recorded],
    remembered: Remembered | None = None,
) -> Rows:
    """The rows that these events' handlers want to see, as the tables have them."""
    rows = Rows()
    wanted: dict[str, dict[Key, None]] = {}
    for event in events:
        handler = build.projection.handlers.get(event.type)
        if handler is not None and handler[1] is not None:
            for table, key in handler[1](event):
                wanted.setdefault(table, {})[key] = None
    for name, keys in wanted.items():
        declared = build.projection.table(name)
        found = remembered.recall(declared, build.suffix, instance, keys) if remembered is not None else {}
        if unknown := [key for key in keys if key not in found]:
            found |= await store.read(connection, service, build.suffix, declared, instance, unknown)
        for key in keys:
            rows.seed(name, key, found.get(key))
    return rows
