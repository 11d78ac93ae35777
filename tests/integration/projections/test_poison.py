"""An event that cannot be projected holds its instance in that projection, loudly: what came before it stands, everybody else goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from libs.projections import store
from tests.integration.projections.shelves import (
    Labelled,
    MemoryLog,
    Reading,
    Stocked,
    labels,
    settled,
    shelves,
    stock,
)

TOO_MUCH = 2**31
POISON = {
    "the handler raises": ("a", Stocked(amount=13)),
    "the table refuses the row": ("a", Stocked(amount=TOO_MUCH)),
    "its keys cannot be named": ("unnamed", Stocked(amount=1)),
    "its key is no text": ("nul\x00", Stocked(amount=1)),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=list(POISON))
@pytest.mark.parametrize("live", [True, False], ids=["offered", "read"])
async def test_poison_holds_its_instance_in_its_projection_only(reading: Reading, poison: Any, *, live: bool) -> None:
    log = MemoryLog()
    before = log.append(*stock("a", 1, 10), poison, *stock("a", 100), ("z", Labelled(label="behind the poison")))
    other = log.append(*stock("a", 7), instance=2)
    async with reading.projecting(MemoryLog() if live else log, shelves(), labels()) as projector:
        if live:
            projector._log = log
            projector.offer(before)
            projector.offer(other)
        assert await projector.wait(2, 1, 10), "another instance goes on"
        assert not await projector.wait(1, 5, 10), "a held instance says behind"
        status = projector.status()["shelves"]
        assert status[2] == {"position": 1, "held": None}
        assert status[1]["position"] == 2
        assert "shelf.stocked at position 3" in str(status[1]["held"])
        assert await reading.rows("shelves_r1") == {"shelf-a": (11, 2)}, "what came before stands, what came behind waits"
        if "\x00" not in poison[0]:
            assert projector.status()["labels"][1] == {"position": 5, "held": None}, "the other projection goes on"
            assert (await reading.rows("labels_r1"))["shelf-z"] == ("behind the poison", 5)
        await settled(projector, log.append(*stock("a", 1), instance=2))
        assert await reading.rows("shelves_r1", 2) == {"shelf-a": (8, 2)}


async def test_waiters_behind_poison_hear_at_once_and_those_before_it_are_answered(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        waiting = [asyncio.create_task(projector.wait(1, position, 60)) for position in (1, 2, 3)]
        await asyncio.sleep(0)
        projector.offer(log.append(*stock("a", 1, 13, 1)))
        async with asyncio.timeout(10):
            assert await asyncio.gather(*waiting) == [True, False, False]
            assert not await projector.wait(1, 9, 60), "and whoever comes later too"


async def test_a_hold_outlives_a_restart_and_does_not_keep_the_service_from_starting(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        projector.offer(log.append(*stock("a", 1, 13, 1)))
        assert not await projector.wait(1, 3, 10)
    async with reading.projecting(log) as projector:
        assert not await projector.wait(1, 3, 10)
        await settled(projector, log.append(*stock("a", 1), instance=2))
    assert await reading.rows("shelves_r1") == {"shelf-a": (1, 1)}


async def test_a_follower_starts_although_the_leader_holds_an_instance(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as leader:
        leader.offer(log.append(*stock("a", 1, 13)))
        await settled(leader, log.append(*stock("a", 1), instance=2))
        assert not await leader.wait(1, 2, 10)
        async with reading.projecting(log) as follower:
            assert not follower.leading
            assert await follower.wait(2, 1, 0)
            assert not await follower.wait(1, 2, 10)


async def test_a_mended_handler_goes_on_where_it_was_held(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log, shelves()) as projector:
        projector.offer(log.append(*stock("a", 1, 13, 100)))
        assert not await projector.wait(1, 3, 10)
    mended = shelves()
    before = mended.handlers["shelf.stocked"]
    mended.handlers["shelf.stocked"] = (lambda rows, event: before[0](rows, event) if event.data.amount != 13 else None, before[1])
    await reading.execute(f"update {reading.service}.checkpoints set held = null")
    async with reading.projecting(log, mended) as projector:
        assert await projector.wait(1, 3, 10)
    assert await reading.rows("shelves_r1") == {"shelf-a": (101, 2)}


async def test_the_hold_of_an_old_revision_does_not_hold_the_new_one(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log, shelves()) as projector:
        projector.offer(log.append(*stock("a", 1, TOO_MUCH)))
        assert not await projector.wait(1, 2, 10)
    roomy = shelves(revision=2)
    roomy.tables[0].columns["amount"] = "bigint"  # type: ignore[index]
    async with reading.projecting(log, roomy) as projector:
        await settled(projector, log.append(*stock("a", 1)))


async def test_a_newer_event_is_no_poison(reading: Reading) -> None:
    """The process steps back and holds nothing; its successor, which knows the event, goes on."""
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        await settled(projector, log.append(*stock("a", 1)))
        log.append(*stock("a", 10), instance=1)
        log.newer = 2
        projector.poke(1, 2)
        assert not await projector.wait(1, 2, 0.5)
        assert await reading.execute(f"select 1 from {reading.service}.checkpoints where held is not null") == []
        assert projector._task is not None
        assert not projector._task.done(), "it tries again until it is replaced"
        log.newer = None
        assert await projector.wait(1, 2, 20)
    assert await reading.rows("shelves_r1") == {"shelf-a": (11, 2)}


async def test_a_fault_of_the_projector_itself_does_not_end_it(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        faults = [KeyError("announcement")]

        async def announce(_: Any) -> None:
            if faults:
                raise faults.pop()

        monkeypatch.setattr(projector, "_announce", announce)
        projector.offer(log.append(*stock("a", 1)))
        assert await projector.wait(1, 1, 10)
        await settled(projector, log.append(*stock("a", 10)))
    assert await reading.rows("shelves_r1") == {"shelf-a": (11, 2)}


async def test_a_full_disk_is_no_poison(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, faults = store.commit, 2

    async def faulty(*arguments: Any) -> None:
        nonlocal faults
        if faults:
            faults -= 1
            raise asyncpg.DiskFullError("no space left on device")
        await commit(*arguments)

    log = MemoryLog()
    async with reading.projecting(log) as projector:
        monkeypatch.setattr(store, "commit", faulty)
        await settled(projector, log.append(*stock("a", 1)))
        assert projector.status()["shelves"][1]["held"] is None
    assert await reading.rows("shelves_r1") == {"shelf-a": (1, 1)}
