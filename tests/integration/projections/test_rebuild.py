"""Rebuilding beside what serves: the same handlers, the same tables, an instant switch and the way back; only poison stops it."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest

from libs.domain.events import Recorded
from libs.projections import projector as projector_module
from libs.projections import rebuild, store
from libs.projections.declare import Build, Projection
from libs.projections.projector import Projector
from libs.projections.rebuild import Rebuild, Stopped
from libs.projections.skips import STREAM, ProjectionSkipped
from libs.projections.tables import Statement, Tables
from tests.integration.projections.shelves import NOON, Cleared, Labelled, MemoryLog, Reading, labels, settled, shelves, stock

SHELVES = Statement("select s.key, s.amount, s.times from {rebuilt.shelves} s where s.instance = $1 order by s.key")

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "BATCH_EVENTS", 3)
    monkeypatch.setattr(projector_module, "REVIEW_EVERY_S", 0.0)
    monkeypatch.setattr(projector_module, "LOOK_AGAIN_S", 0.05)


def busy(log: MemoryLog, dice: random.Random, count: int = 20) -> list[Recorded]:
    """Some events of two instances; those of the first are returned."""
    happened: list[Any] = []
    for _ in range(count):
        name = dice.choice("abcde")
        happened.append(dice.choice([*stock(name, 1, 2, 3), (name, Cleared()), (name, Labelled(label="Käse"))]))
    log.append(*happened[: count // 2], instance=2)
    return log.append(*happened)


async def rebuilt(reading: Reading, log: Any, *projections: Projection) -> tuple[Build, ...]:
    async with rebuild.several(reading.dsn, reading.service) as connections:
        work = Rebuild(connections, reading.service, projections or (shelves(), labels()), log)
        await work.begin()
        try:
            await work.fill(near=0)
        except Stopped:
            await work.give_up()
            raise
        await work.taken_over(within=20)
        return work.builds


async def states(reading: Reading, name: str = "shelves") -> dict[int, str]:
    rows = await reading.execute("select generation, state from theke.builds where service = $1 and projection = $2", reading.service, name)
    return dict(rows)


async def test_rebuilt_tables_are_those_that_were_projected_and_both_stay_live(reading: Reading) -> None:
    log, dice = MemoryLog(), random.Random(5)
    async with reading.projecting(log) as projector:
        await settled(projector, busy(log, dice))
        builds = await rebuilt(reading, log)
        assert [build.id for build in builds] == ["shelves_r1g1", "labels_r1g1"]
        assert await states(reading) == {0: "previous", 1: "active"}
        await settled(projector, busy(log, dice))
        for instance in (1, 2):
            for table in ("shelves", "labels"):
                assert await reading.rows(f"{table}_r1g1", instance) == await reading.rows(f"{table}_r1", instance) != {}
        before = await reading.rows("shelves_r1")

        await rebuilt(reading, log, shelves())  # and once more: what was before the last one is let go
        assert await states(reading) == {0: "retired", 1: "previous", 2: "active"}
        await settled(projector, busy(log, dice))
        assert await reading.rows("shelves_r1") == before, "nobody writes it any more"
        assert await reading.rows("shelves_r1g2") == await reading.rows("shelves_r1g1") != before
        async with rebuild.connected(reading.dsn, reading.service) as connection:
            await rebuild.tidy(connection, reading.service, (shelves(),))
            assert await connection.fetchval("select to_regclass($1)", f"{reading.service}.shelves_r1") is None
        assert await states(reading) == {0: "dropped", 1: "previous", 2: "active"}

    async with reading.projecting(log) as projector:  # a restart knows what serves
        await settled(projector, busy(log, dice))
        assert await reading.rows("shelves_r1g2") == await reading.rows("shelves_r1g1")
        assert projector.status()["shelves"][1] == {"position": len(log.events[1]), "held": None}


async def test_rebuilt_tables_are_switched_to_though_the_log_ends_before_the_head_that_was_told(reading: Reading) -> None:
    """Once a head beyond the last row, as after a log that lost its tail, made the projector begin again for ever."""
    log, dice = MemoryLog(), random.Random(6)
    async with reading.projecting(log) as projector:
        await settled(projector, busy(log, dice))
        projector.poke(1, len(log.events[1]) + 3)
        await rebuilt(reading, log)
        assert await states(reading) == {0: "previous", 1: "active"}
        await settled(projector, busy(log, dice))
        assert await reading.rows("shelves_r1g1") == await reading.rows("shelves_r1") != {}


async def test_whoever_asks_while_places_are_read_is_told_how_far_the_tables_are(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the places were thrown away before the new ones had come: a status in between showed none."""
    log, checkpoints, told = MemoryLog(), store.checkpoints, []
    async with reading.projecting(log) as projector:
        await settled(projector, log.append(*stock("a", 1)))
        stands = projector.status()
        assert stands["shelves"][1]["position"] == 1

        async def meanwhile(*asked: Any) -> Any:
            told.append(projector.status())
            return await checkpoints(*asked)

        monkeypatch.setattr(store, "checkpoints", meanwhile)
        projector.review()
        async with asyncio.timeout(PATIENCE_S):
            while not told:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert told[0] == stands


async def test_a_commit_costs_the_same_however_many_instances_there_are(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once every commit had a look at the place of every instance in every projection."""
    log, target, looked = MemoryLog(), Projector._target, set()

    def looking(projector: Projector, instance: int) -> int:
        looked.add(instance)
        return target(projector, instance)

    for instance in range(1, 301):
        log.append(*stock("a", 1), instance=instance)
    async with reading.projecting(log) as projector:
        await settled(projector, log.append(*stock("b", 1)))
        monkeypatch.setattr(Projector, "_target", looking)
        for _ in range(5):
            await settled(projector, log.append(*stock("b", 1)))
    assert looked == {1}


async def test_readers_are_switched_and_switched_back_while_events_come(shelves_dsn: str) -> None:
    """What was acknowledged is read, whichever build serves; no read fails."""
    reading = Reading(shelves_dsn, "rebuilt")
    log, tables = MemoryLog(), Tables(shelves_dsn, "rebuilt")
    await tables.open()
    made, stop = 0, asyncio.Event()

    async with reading.projecting(log, shelves()) as projector:
        projector._switched = tables.forget_revisions

        async def work() -> None:
            nonlocal made
            while not stop.is_set():
                await settled(projector, log.append(*stock("a", 1)))
                made += 1
                assert [tuple(row) for row in await tables.fetch(SHELVES, 1)] == [("shelf-a", made, made)]
                await asyncio.sleep(0.001)

        working = asyncio.create_task(work())
        await asyncio.sleep(0.1)
        [build] = await rebuilt(reading, _Growing(log), shelves())
        at_switch = made
        await _more(lambda: made, working)
        async with rebuild.connected(reading.dsn, "rebuilt") as connection:
            await store.switch(connection, "rebuilt", Build(shelves(), 0))
            tables.forget_revisions()
            await _more(lambda: made, working)
            await store.switch(connection, "rebuilt", build)
        await _more(lambda: made, working)
        stop.set()
        await working
    await tables.close()
    assert made > at_switch > 0
    assert await reading.rows("shelves_r1") == await reading.rows("shelves_r1g1") == {"shelf-a": (made, made)}


async def _more(made: Any, working: asyncio.Task[None]) -> None:
    """Wait until more has happened."""
    before = made()
    async with asyncio.timeout(20):
        while made() < before + 5 and not working.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class _Growing:
    """A log that others append to: near the end is near enough."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._head: dict[int, int] | None = None

    async def heads(self) -> dict[int, int]:
        self._head = self._head or await self._log.heads()
        return self._head

    async def read(self, instance: int, after: int, limit: int) -> list[Recorded]:
        return await self._log.read(instance, after, min(limit, (await self.heads())[instance] - after))

    async def read_stream_everywhere(self, stream: str) -> list[Recorded]:
        return await self._log.read_stream_everywhere(stream)


async def test_poison_stops_a_rebuild_and_leaves_everything_as_it_was(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log, shelves()) as projector:
        projector.offer(log.append(*stock("a", 1, 13, 100)))
        assert not await projector.wait(1, 3, 10)
        with pytest.raises(Stopped, match="position 2: ValueError: unlucky"):
            await rebuilt(reading, log, shelves())
        assert await states(reading) == {0: "active", 1: "dropped"}
        assert await reading.execute("select to_regclass($1) as found", f"{reading.service}.shelves_r1g1") == [(None,)]
        await settled(projector, log.append(*stock("a", 1), instance=2))


@pytest.mark.parametrize("poisoned", [True, False])
async def test_a_rebuild_that_ends_early_leaves_no_lock_behind(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, *, poisoned: bool
) -> None:
    """Several projections are being written when one meets poison, or when somebody has had enough."""
    monkeypatch.setattr(rebuild, "BATCH_EVENTS", 500)
    log = MemoryLog()
    log.append(*stock("a", *[1] * 2000), *[(f"l{ix}", Labelled(label="x" * 500)) for ix in range(2000)])
    if poisoned:
        log.append(*stock("b", 13), *stock("a", *[1] * 3000))
    async with rebuild.several(reading.dsn, reading.service) as connections:
        work = Rebuild(connections, reading.service, (shelves(), labels()), log)
        await work.begin()

        def done(_: int) -> None:
            if not poisoned:
                filling.cancel()

        filling = asyncio.create_task(work.fill(done))
        with pytest.raises(Stopped if poisoned else asyncio.CancelledError):
            await filling
        async with asyncio.timeout(10):  # of the 30 s that it would wait for a lock
            await work.give_up()
    assert set((await states(reading)).values()) == set((await states(reading, "labels")).values()) == {"dropped"}


async def test_a_skip_is_obeyed_live_and_in_a_rebuild(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log, shelves()) as projector:
        projector.offer(log.append(*stock("a", 1, 13, 100)))
        assert not await projector.wait(1, 3, 10)
        skipped = log.append(("x", ProjectionSkipped(projection="shelves", revision=1, position=2)))[0]
        log.events[1][-1] = Recorded(1, skipped.position, STREAM, 1, UUID(int=9), skipped.type, skipped.data, NOON)
        await lift(reading, projector)
        async with asyncio.timeout(20):
            while not await projector.wait(1, 4, 0.05):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await reading.rows("shelves_r1") == {"shelf-a": (101, 2)}
        await rebuilt(reading, log, shelves())
        assert await reading.rows("shelves_r1g1") == {"shelf-a": (101, 2)}


async def test_a_retry_of_what_is_still_wrong_is_held_again(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log, shelves()) as projector:
        projector.offer(log.append(*stock("a", 1, 13, 100)))
        assert not await projector.wait(1, 3, 10)
        await lift(reading, projector)
        held = None
        async with asyncio.timeout(20):
            while not held:
                await asyncio.sleep(0.02)
                [(held,)] = await reading.execute(f"select held from {reading.service}.checkpoints where instance = 1")
        assert "position 2" in held
        assert not await projector.wait(1, 3, 10)


async def lift(reading: Reading, projector: Projector) -> None:
    await reading.execute(f"update {reading.service}.checkpoints set held = null")
    projector.review()


async def test_filled_tables_are_not_switched_to_without_a_projector(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log, shelves()) as projector:
        await settled(projector, log.append(*stock("a", 1, 2)))
    async with rebuild.several(reading.dsn, reading.service) as connections:
        work = Rebuild(connections, reading.service, (shelves(),), log)
        await work.begin()
        await work.fill(near=0)
        with pytest.raises(Stopped, match="no projector took them over"):
            await work.taken_over(within=0.2)
        assert await states(reading) == {0: "active", 1: "filled"}
    async with reading.projecting(log, shelves()) as projector:  # it does when it starts
        await settled(projector, log.append(*stock("a", 4)))
        async with asyncio.timeout(20):
            while await states(reading) != {0: "previous", 1: "active"}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert await reading.rows("shelves_r1g1") == {"shelf-a": (7, 3)}


async def test_a_start_goes_on_where_the_tables_of_a_new_revision_were_filled_to(reading: Reading) -> None:
    log = MemoryLog()
    log.append(*stock("a", 1, 2))
    async with rebuild.several(reading.dsn, reading.service) as connections:
        work = Rebuild(connections, reading.service, (shelves(revision=2),), log)
        await work.begin()
        await work.fill(near=0)
        await store.set_state(connections[0], reading.service, work.builds[0], store.State.ACTIVE)
    log.append(*stock("a", 4))
    log.reads.clear()
    async with reading.projecting(log, shelves(revision=2)):
        assert log.reads == [(1, 2)]
    assert await reading.rows("shelves_r2") == {"shelf-a": (7, 6)}


async def test_two_rebuilds_at_once_do_not_mix(reading: Reading) -> None:
    log = MemoryLog()
    log.append(*stock("a", *[1] * 10))
    async with rebuild.several(reading.dsn, reading.service) as one, rebuild.several(reading.dsn, reading.service) as other:
        first, second = Rebuild(one, reading.service, (shelves(),), log), Rebuild(other, reading.service, (shelves(),), log)
        await first.begin()
        second.builds = first.builds
        await first.fill(near=0)
        with pytest.raises(Stopped, match="somebody else"):
            await second.fill(near=0)
    assert await reading.rows("shelves_r1") == {"shelf-a": (10, 10)}
