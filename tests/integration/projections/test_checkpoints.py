"""Tables and checkpoint move together: whatever breaks, no event has its effect twice and none is left out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.projections import projector as projector_module
from libs.projections import store
from tests.integration.projections.shelves import Cleared, Labelled, MemoryLog, Reading, labels, settled, shelves, stock


async def test_events_offered_are_in_the_tables_without_reading_the_log(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        await settled(projector, log.append(*stock("a", 2, 3), ("a", Labelled(label="Käse"))))
        await settled(projector, log.append(*stock("b", 1)))
        assert log.reads == []
    assert await reading.rows("shelves_r1") == {"shelf-a": (5, 2), "shelf-b": (1, 1)}
    assert await reading.rows("labels_r1") == {"shelf-a": ("Käse", 3), "shelf-b": (None, 4)}


async def test_a_start_reads_what_is_behind_the_checkpoint_and_no_more(reading: Reading) -> None:
    log = MemoryLog()
    log.append(*stock("a", 1, 1, 1))
    async with reading.projecting(log):
        assert await reading.rows("shelves_r1") == {"shelf-a": (3, 3)}
    log.append(*stock("a", 1))
    log.reads.clear()
    async with reading.projecting(log):
        assert await reading.rows("shelves_r1") == {"shelf-a": (4, 4)}
    assert log.reads == [(1, 3)]


async def test_a_gap_is_read_from_the_log(reading: Reading) -> None:
    """Another process appended in between; its events were not offered here."""
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        await settled(projector, log.append(*stock("a", 1)))
        log.append(*stock("a", 10, 100))
        await settled(projector, log.append(*stock("a", 1_000)))
    assert await reading.rows("shelves_r1") == {"shelf-a": (1_111, 4)}
    assert (1, 1) in log.reads


async def test_events_offered_twice_or_late_have_their_effect_once(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        first = log.append(*stock("a", 1, 10))
        await settled(projector, first)
        second = log.append(*stock("a", 100))
        for events in (first, second, second, first):
            projector.offer(events)
        await settled(projector, [*first, *second])
        await settled(projector, log.append(*stock("b", 1)))
    assert await reading.rows("shelves_r1") == {"shelf-a": (111, 3), "shelf-b": (1, 1)}


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
async def test_a_connection_lost_at_the_commit_doubles_nothing(reading: Reading, monkeypatch: pytest.MonkeyPatch, *, stored: bool) -> None:
    """Lost before the database had it, or after, when only the answer went missing."""
    commit, faults = store.commit, [True]

    async def faulty(*arguments: Any) -> None:
        if stored:
            await commit(*arguments)
        if faults:
            faults.pop()
            raise ConnectionResetError("the line went dead")
        if not stored:
            await commit(*arguments)

    log = MemoryLog()
    async with reading.projecting(log) as projector:
        monkeypatch.setattr(store, "commit", faulty)
        await settled(projector, log.append(*stock("a", 1, 10)))
        await settled(projector, log.append(*stock("a", 100)))
    assert await reading.rows("shelves_r1") == {"shelf-a": (111, 3)}


async def test_backends_killed_under_load_double_nothing_and_lose_nothing(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        for turn in range(40):
            projector.offer(log.append(*stock("a", 1), *stock("b", 1)))
            if turn % 8 == 3:
                await reading.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1",
                    f"theke {reading.service} projector",
                )
            await asyncio.sleep(0.002)
        assert await projector.wait(1, 80, 20)
    assert await reading.rows("shelves_r1") == {"shelf-a": (40, 40), "shelf-b": (40, 40)}


async def test_more_than_a_batch_is_caught_up(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector_module, "BATCH_MAX_EVENTS", 7)
    log = MemoryLog()
    for instance in (1, 2, 3):
        log.append(*stock("a", *[1] * 40), instance=instance)
    async with reading.projecting(log):
        for instance in (1, 2, 3):
            assert await reading.rows("shelves_r1", instance) == {"shelf-a": (40, 40)}


async def test_more_offered_than_is_kept_is_read_from_the_log(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector_module, "OFFERED_MAX_EVENTS", 10)
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        for _ in range(20):
            projector.offer(log.append(*stock("a", 1, 1)))
        assert await projector.wait(1, 40, 20)
    assert await reading.rows("shelves_r1") == {"shelf-a": (40, 40)}


async def test_a_row_deleted_and_made_again_in_one_batch(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        await settled(
            projector, log.append(*stock("a", 1), ("a", Cleared()), *stock("a", 5), ("b", Cleared()), *stock("c", 2), ("c", Cleared()))
        )
        assert await reading.rows("shelves_r1") == {"shelf-a": (5, 1)}
        await settled(projector, log.append(("a", Cleared())))
    assert await reading.rows("shelves_r1") == {}


async def test_a_projection_that_came_later_is_filled_while_the_others_stand(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log, shelves()) as projector:
        await settled(projector, log.append(*stock("a", 1, 1)))
    async with reading.projecting(log, shelves(), labels()) as projector:
        await settled(projector, log.append(*stock("a", 1)))
    assert await reading.rows("shelves_r1") == {"shelf-a": (3, 3)}
    assert await reading.rows("labels_r1") == {"shelf-a": (None, 3)}


async def test_a_new_revision_is_built_beside_the_old_one_and_then_active(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log, shelves()) as projector:
        await settled(projector, log.append(*stock("a", 1, 13)[:1]))
    active = "select active from theke.revisions where service = $1"
    assert [row["active"] for row in await reading.execute(active, reading.service)] == [1]
    async with reading.projecting(log, shelves(revision=2)):
        assert [row["active"] for row in await reading.execute(active, reading.service)] == [2]
    assert await reading.rows("shelves_r1") == {"shelf-a": (1, 1)}
    assert await reading.rows("shelves_r2") == {"shelf-a": (1, 2)}


async def test_a_service_without_projections_never_waits() -> None:
    projector = projector_module.Projector("", "gateway", (), MemoryLog())
    projector.start()
    await projector.ready.wait()
    assert await projector.wait(1, 10**9, 0.0)
    await projector.stop()


async def test_waiting_in_vain_leaves_nothing_behind(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        assert not await projector.wait(1, 5, 0.01)
        cancelled = asyncio.create_task(projector.wait(1, 5, 60))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert projector._waiters == {}
        waiting = [asyncio.create_task(projector.wait(1, position, 60)) for position in (1, 2, 3)]
        await asyncio.sleep(0)
        projector.offer(log.append(*stock("a", 1, 1)))
        assert await waiting[0]
        assert await waiting[1]
        assert not waiting[2].done()
        projector.offer(log.append(*stock("a", 1)))
        assert await waiting[2]
        assert projector._waiters == {}
