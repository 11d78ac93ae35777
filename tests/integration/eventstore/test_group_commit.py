"""One append takes what gathered while the one before was under way; every bound of the queue and of a batch holds."""

from __future__ import annotations

import asyncio

import pytest

from libs.domain.errors import DomainError, Kind
from libs.eventstore import batcher
from tests.integration.eventstore.boxes import (
    Appends,
    Fill,
    FillUnless,
    Issue,
    Move,
    Place,
    Work,
    assert_sound,
    everything,
    holding_the_lock,
    working,
)

BIG_NOTE = "x" * 200_000


async def test_a_lone_command_goes_at_once_in_a_batch_of_its_own(work: Work) -> None:
    appends = Appends(work.log)
    for _ in range(3):
        await work.do(Fill("b"))
    assert appends.sizes == [1, 1, 1]
    assert (work.batcher.batches, work.batcher.commands) == (3, 3)


async def test_commands_that_gather_share_one_append(work: Work) -> None:
    appends = Appends(work.log)
    await asyncio.gather(*(work.do(Fill(f"b{number}")) for number in range(300)))
    assert sum(appends.sizes) == 300
    assert len(appends.sizes) <= 2
    assert len(await assert_sound(work.log)) == 300


async def test_what_comes_during_an_append_goes_with_the_next_one(place: Place, work: Work) -> None:
    appends = Appends(work.log)
    async with holding_the_lock(place):
        first = asyncio.create_task(work.do(Fill("first")))
        await appends.began.wait()
        rest = [asyncio.create_task(work.do(Fill(f"b{number}"))) for number in range(40)]
        await asyncio.sleep(0)
    await asyncio.gather(first, *rest)
    assert appends.sizes[0] == 1
    assert appends.sizes[-1] == 40


async def test_clients_of_one_stream_are_decided_at_forming_so_none_is_given_up(work: Work) -> None:
    clients, times = 32, 5

    async def client() -> list[int]:
        return [(await work.do(Fill("one", most=clients * times))).recorded[0].version for _ in range(times)]

    versions = await asyncio.gather(*(client() for _ in range(clients)))
    assert sorted(version for own in versions for version in own) == list(range(1, clients * times + 1))
    with pytest.raises(DomainError, match="box_full"):
        await work.do(Fill("one", most=clients * times))


async def test_commands_that_only_read_a_stream_share_a_batch(work: Work) -> None:
    appends = Appends(work.log)
    await asyncio.gather(*(work.do(FillUnless(f"b{number}", guard="guard")) for number in range(50)))
    assert len(appends.sizes) <= 2
    assert len(await assert_sound(work.log)) == 50


async def test_a_writer_between_readers_parts_them(place: Place) -> None:
    """Who reads after the writer in the queue sees what it wrote; who came before does not wait for it."""
    async with working(place, start=False) as work:
        appends = Appends(work.log)
        before = [asyncio.ensure_future(work.do(FillUnless(f"before{number}", guard="guard"))) for number in range(5)]
        await asyncio.sleep(0)
        writer = asyncio.ensure_future(work.do(Fill("guard")))
        await asyncio.sleep(0)
        after = [asyncio.ensure_future(work.do(FillUnless(f"after{number}", guard="guard"))) for number in range(5)]
        await asyncio.sleep(0)
        work.batcher.start()
        await asyncio.gather(*before, writer)
        refusals = await asyncio.gather(*after, return_exceptions=True)
        assert [(error.kind, error.reason) for error in refusals if isinstance(error, DomainError)] == [(Kind.CONFLICT, "guarded")] * 5
        assert appends.sizes == [5, 1]
        await assert_sound(work.log)


async def test_two_processes_on_one_stream_retry_until_all_are_counted(place: Place) -> None:
    async with working(place) as one, working(place) as other:
        await asyncio.gather(*(work.do(Fill("shared")) for work in (one, other) for _ in range(40)))
        assert (await one.answer(Fill("shared"))).amount == 81
        await assert_sound(other.log)


async def test_commands_do_not_overtake_each_other_at_a_stream(place: Place) -> None:
    """The second waits for the first, the third for the second, though the third could have gone with the first."""
    async with working(place, start=False) as work:
        chain = [work.answer(Fill("a", 5)), work.answer(Move("a", "b")), work.answer(Move("b", "c"))]
        submitted = [asyncio.create_task(one) for one in chain]
        await asyncio.sleep(0)
        work.batcher.start()
        assert (await asyncio.gather(*submitted))[1:] == [(0, 5), (0, 5)]


async def test_a_batch_takes_at_most_its_number_of_commands(place: Place) -> None:
    async with working(place, start=False) as work:
        appends = Appends(work.log)
        submitted = [asyncio.create_task(work.do(Fill(f"b{number}"))) for number in range(batcher.BATCH_MAX_COMMANDS + 88)]
        await asyncio.sleep(0)
        work.batcher.start()
        await asyncio.gather(*submitted)
        assert appends.sizes == [batcher.BATCH_MAX_COMMANDS, 88]


async def test_a_batch_stays_below_its_bytes(work: Work) -> None:
    appends = Appends(work.log)
    await asyncio.gather(*(work.do(Fill(f"b{number}", note=BIG_NOTE)) for number in range(50)))
    assert sum(appends.sizes) == 50
    assert max(appends.bytes) <= batcher.BATCH_MAX_BYTES
    assert len(appends.sizes) == 3


async def test_an_event_too_large_is_refused_and_its_neighbours_are_not(work: Work) -> None:
    large = Fill("large", note="x" * 300_000)
    results = await asyncio.gather(work.do(Fill("a")), work.do(large), work.do(Fill("b")), return_exceptions=True)
    assert isinstance(results[1], DomainError)
    assert (results[1].kind, results[1].reason) == (Kind.TOO_LARGE, "event_too_large")
    assert [event.stream for event in await everything(work.log)] == ["box-a", "box-b"]


async def test_a_command_with_too_many_events_is_refused(work: Work) -> None:
    with pytest.raises(DomainError) as refused:
        await work.do(Issue("a", count=batcher.COMMAND_MAX_EVENTS + 1))
    assert refused.value.reason == "too_many_events"
    assert (await work.answer(Issue("a"))) == (1,)


async def test_an_instance_that_floods_the_queue_does_not_starve_another(place: Place) -> None:
    async with working(place, start=False) as work:
        appends = Appends(work.log)
        flood = [asyncio.create_task(work.do(Fill(f"b{number}"))) for number in range(1_000)]
        quiet = [asyncio.create_task(work.do(Fill(f"b{number}"), instance=2)) for number in range(3)]
        await asyncio.sleep(0)
        work.batcher.start()
        await asyncio.gather(*flood, *quiet)
        assert appends.instances[0].count(2) == 3
        assert len(appends.instances[0]) == batcher.BATCH_MAX_COMMANDS


async def test_a_full_queue_says_overloaded_and_loses_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "QUEUE_MAX_COMMANDS", 50)
    async with working(place, start=False) as work:
        waiting = [asyncio.create_task(work.do(Fill(f"b{number}"))) for number in range(50)]
        await asyncio.sleep(0)
        with pytest.raises(DomainError) as refused:
            await work.do(Fill("one too many"))
        assert (refused.value.kind, refused.value.reason) == (Kind.UNAVAILABLE, "overloaded")
        assert refused.value.retry_after_s
        work.batcher.start()
        await asyncio.gather(*waiting)
        assert work.batcher.queued == 0
        await work.do(Fill("room again"))


async def test_a_deadline_that_passed_in_the_queue_is_unavailable_and_stores_nothing(place: Place) -> None:
    async with working(place, start=False) as work:
        late = asyncio.create_task(work.do(Fill("late"), timeout=0.0))
        in_time = asyncio.create_task(work.do(Fill("in time")))
        await asyncio.sleep(0)
        work.batcher.start()
        with pytest.raises(DomainError) as refused:
            await late
        assert (refused.value.kind, refused.value.reason) == (Kind.UNAVAILABLE, "timeout")
        await in_time
        assert [event.stream for event in await everything(work.log)] == ["box-in time"]


async def test_one_cancelled_waiter_does_not_kill_the_batcher(place: Place, work: Work) -> None:
    """Cancelled in flight: its event is stored all the same. Cancelled in the queue: it is never appended."""
    appends = Appends(work.log)
    async with holding_the_lock(place):
        in_flight = [asyncio.create_task(work.do(Fill(box))) for box in ("a", "b")]
        await appends.began.wait()
        queued = [asyncio.create_task(work.do(Fill(box))) for box in ("c", "d")]
        await asyncio.sleep(0)
        in_flight[0].cancel()
        queued[0].cancel()
        await asyncio.wait([in_flight[0], queued[0]])
    await asyncio.gather(in_flight[1], queued[1], work.do(Fill("e")))
    assert sorted(event.stream for event in await assert_sound(work.log)) == ["box-a", "box-b", "box-d", "box-e"]


async def test_stopping_finishes_what_came_and_takes_no_more(place: Place) -> None:
    async with working(place, start=False) as work:
        came = [asyncio.create_task(work.do(Fill(f"b{number}"))) for number in range(20)]
        await asyncio.sleep(0)
        work.batcher.start()
        await work.batcher.stop()
        assert all(task.done() and task.exception() is None for task in came)
        with pytest.raises(DomainError, match="shutting_down"):
            await work.do(Fill("late"))


async def test_what_finds_a_full_disk_is_done_once_there_is_room(place: Place, work: Work) -> None:
    """The server's own words for it were an internal error of the command, for good."""
    connection = await place.connect()
    await connection.execute(
        f"create function {place.schema}.no_room() returns trigger language plpgsql as "
        f"$$ begin raise 'could not extend file: no space left on device' using errcode = 'disk_full'; end $$; "
        f"create trigger no_room before insert on {place.schema}.events execute function {place.schema}.no_room()"
    )
    attempts = Appends(work.log)
    waiting = asyncio.create_task(work.do(Fill("b")))
    async with asyncio.timeout(10):
        while len(attempts.sizes) < 2:  # noqa: ASYNC110 - nothing tells of the second attempt
            await asyncio.sleep(0.01)
    await connection.execute(f"drop trigger no_room on {place.schema}.events")
    await connection.close()
    assert not (await waiting).duplicate
    assert len(await assert_sound(work.log)) == 1
