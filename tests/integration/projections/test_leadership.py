"""One projector of a service leads; another takes over when it is gone; two at once cannot both have an effect."""

from __future__ import annotations

import asyncio

from libs.projections.projector import Projector
from tests.integration.projections.shelves import MemoryLog, Reading, settled, stock


async def until_leading(projector: Projector) -> None:
    async with asyncio.timeout(20):
        while not projector.leading or not projector.ready.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_the_follower_takes_over_when_the_leader_is_stopped(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as first:
        await settled(first, log.append(*stock("a", 1)))
        async with reading.projecting(log) as second:
            assert (first.leading, second.leading) == (True, False)
            await first.stop()
            log.append(*stock("a", 10))
            await until_leading(second)
            await settled(second, log.append(*stock("a", 100)))
    assert await reading.rows("shelves_r1") == {"shelf-a": (111, 3)}


async def test_the_follower_takes_over_when_the_leaders_backend_is_killed(reading: Reading) -> None:
    """Whoever is quicker leads afterwards; the tables are right either way."""
    log = MemoryLog()
    async with reading.projecting(log) as first, reading.projecting(log) as second:
        await settled(first, log.append(*stock("a", 1)))
        for amount in (10, 100, 1_000):
            await reading.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and pid = any("
                "select pid from pg_locks where locktype = 'advisory')",
                f"theke {reading.service} projector",
            )
            events = log.append(*stock("a", amount))
            for projector in (first, second):
                projector.offer(events)
            leader = [asyncio.create_task(projector.wait(1, events[-1].position, 20)) for projector in (first, second)]
            done, pending = await asyncio.wait(leader, return_when=asyncio.FIRST_COMPLETED)
            assert all(task.result() for task in done)
            for task in pending:
                task.cancel()
    assert await reading.rows("shelves_r1") == {"shelf-a": (1_111, 4)}


async def test_two_that_both_believe_to_lead_have_one_effect(reading: Reading) -> None:
    """The lock went to another while the old leader had not noticed: the checkpoint is the fence."""
    log = MemoryLog()
    async with reading.projecting(log) as old:
        await settled(old, log.append(*stock("a", 1)))
        assert old._connection is not None
        await old._connection.execute("select pg_advisory_unlock_all()")
        async with reading.projecting(log) as new:
            await until_leading(new)
            assert old.leading, "it has not noticed"
            for amount, (quick, late) in zip((10, 100, 1_000), ((old, new), (new, old), (old, new)), strict=True):
                events = log.append(*stock("a", amount))
                await settled(quick, events)
                await settled(late, events)
    assert await reading.rows("shelves_r1") == {"shelf-a": (1_111, 4)}


async def test_a_follower_is_ready_when_the_tables_have_what_was_in_the_log_at_its_start(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as leader:
        await settled(leader, log.append(*stock("a", 1)))
        log.append(*stock("a", 10))
        async with reading.projecting(log, ready=False) as follower:
            await asyncio.sleep(0.3)
            assert not follower.ready.is_set(), "the second event is not in the tables"
            log.append(*stock("a", 100))
            leader.poke(1, 2)
            assert await leader.wait(1, 2, 10)
            async with asyncio.timeout(10):
                await follower.ready.wait()
            assert not follower.leading


async def test_a_follower_hears_from_the_leader_how_far_the_tables_are(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as leader, reading.projecting(log) as follower:
        events = log.append(*stock("a", 1))
        follower.offer(events)
        waiting = asyncio.create_task(follower.wait(1, 1, 20))
        await settled(leader, events)
        follower.projected({1: 1})
        assert await waiting
        leader.projected({1: 99})
        assert not await leader.wait(1, 99, 0.01), "a leader knows better"
