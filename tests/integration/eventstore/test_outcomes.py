"""Every command of a batch has an outcome of its own, all of it or nothing, and a refusal never touches its neighbours."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from libs.domain.errors import DomainError, Kind
from libs.domain.events import Event, event, known_events
from libs.domain.events import _registry as registry
from tests.integration.eventstore.boxes import (
    Appends,
    Empty,
    Fill,
    FillUnless,
    Issue,
    Move,
    Place,
    Rename,
    Work,
    assert_sound,
    everything,
    holding_the_lock,
    working,
)

UNSTORABLE = "till\x00"  # Postgres takes no NUL in a text


async def refusal(doing: Any) -> tuple[Kind, str]:
    with pytest.raises(DomainError) as refused:
        await doing
    return refused.value.kind, refused.value.reason


# several streams


async def test_a_command_over_several_streams_writes_them_all(work: Work) -> None:
    await work.do(Fill("a", 5))
    done = await work.do(Move("a", "b"))
    assert [(event.stream, event.version, event.position) for event in done.recorded] == [("box-a", 2, 2), ("box-b", 1, 3)]
    assert (await work.answer(Empty("a"))).amount == 0
    assert (await work.answer(Fill("b"))).amount == 6


async def test_a_refused_command_over_several_streams_writes_none(work: Work) -> None:
    assert await refusal(work.do(Move("empty", "b"))) == (Kind.CONFLICT, "box_empty")
    assert await everything(work.log) == []


async def test_a_command_whose_second_stream_moved_is_decided_again_on_both(place: Place, work: Work) -> None:
    """The other process filled the target meanwhile: nothing of the first attempt is stored, all of the second."""
    await work.do(Fill("a", 5))
    await work.do(Fill("b", 1))
    async with working(place) as other:
        await other.do(Fill("b", 10))
    appends = Appends(work.log)
    assert await work.answer(Move("a", "b")) == (0, 16)
    assert appends.sizes == [1, 1]
    assert [event.stream for event in await assert_sound(work.log)] == ["box-a", "box-b", "box-b", "box-a", "box-b"]


async def test_a_stream_that_was_only_read_and_moved_is_decided_again(place: Place, work: Work) -> None:
    await work.do(FillUnless("box", guard="guard"))
    async with working(place) as other:
        await other.do(Fill("guard"))
    assert await refusal(work.do(FillUnless("box", guard="guard"))) == (Kind.CONFLICT, "guarded")
    assert [event.stream for event in await assert_sound(work.log)] == ["box-box", "box-guard"]


async def test_a_refusal_on_a_stale_state_is_not_final(place: Place, work: Work) -> None:
    await work.do(Fill("box", 5, most=5))
    async with working(place) as other:
        await other.do(Empty("box"))
    assert (await work.answer(Fill("box", 5, most=5))).amount == 5


# one batch, many outcomes


async def test_every_command_of_a_batch_has_its_own_outcome(place: Place, work: Work) -> None:
    """Appended, duplicate, misuse, conflict, claim taken, closed, too large, refused by the decider and by the database: in one batch."""
    earlier, misused = uuid4(), uuid4()
    await work.do(Fill("earlier"), id=earlier)
    await work.do(Fill("misused"), id=misused)
    await work.do(Rename("holder", "Anna"))
    await work.do(Fill("full", 5))
    await work.log.close_instance(2)
    async with working(place, start=False) as other:
        commands = {
            "appended": other.do(Fill("a")),
            "duplicate": other.do(Fill("earlier"), id=earlier),
            "misuse": other.do(Fill("something else"), id=misused),
            "conflict": other.do(Fill("full", most=5)),
            "taken": other.do(Rename("b", "Anna")),
            "closed": other.do(Fill("a"), instance=2),
            "too large": other.do(Fill("c", note="x" * 300_000)),
            "no value": other.do(Issue(UNSTORABLE)),
            "no name": other.do(Fill(UNSTORABLE)),
            "read only": other.do(Empty("nothing in it")),
            "appended too": other.do(Issue("till", 3)),
        }
        tasks = {name: asyncio.create_task(doing) for name, doing in commands.items()}
        await asyncio.sleep(0)
        other.batcher.start()
        await asyncio.wait(tasks.values())
        refused = {
            name: (str(error.kind), error.reason) for name, task in tasks.items() if isinstance(error := task.exception(), DomainError)
        }
        assert refused == {
            "misuse": ("unprocessable", "key_misuse"),
            "conflict": ("conflict", "box_full"),
            "taken": ("conflict", "claim_taken"),
            "closed": ("gone", "instance_closed"),
            "too large": ("too_large", "event_too_large"),
            "no value": ("unavailable", "internal"),
            "no name": ("unavailable", "internal"),
        }
        assert [event.number for event in tasks["appended too"].result().recorded] == [1, 2, 3]
        assert tasks["duplicate"].result().duplicate
        assert list(tasks["duplicate"].result().recorded) == await work.log.read(1, 0, 1)
        assert tasks["read only"].result().recorded == ()
    streams = [event.stream.split("-")[0] for event in await assert_sound(work.log)]
    assert streams == ["box", "box", "box", "box", "box", "slip", "slip", "slip"]
    assert await everything(work.log, 2) == []


async def test_a_value_the_database_refuses_fails_its_command_only(place: Place) -> None:
    async with working(place, start=False) as work:
        appends = Appends(work.log)
        doing = [work.do(Fill(f"b{number}")) for number in range(20)]
        doing.insert(10, work.do(Issue(UNSTORABLE)))
        tasks = [asyncio.create_task(one) for one in doing]
        await asyncio.sleep(0)
        work.batcher.start()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert appends.sizes[0] == 21, "they were in one batch"
        assert [number for number, result in enumerate(results) if isinstance(result, Exception)] == [10]
        assert len(await assert_sound(work.log)) == 20
        await work.do(Fill("afterwards"))


# events this process does not know


@event("box.mystery")
class Mystery(Event, frozen=True, kw_only=True):
    pass


async def test_a_newer_event_makes_its_stream_unavailable_and_nobody_else(
    place: Place, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of the next version wrote it. This one steps back from the stream; when it is replaced all is well."""
    await work.do(Fill("new"))
    await work.do(Fill("old"))
    connection = await place.connect()
    await connection.execute("alter table events disable trigger events_are_final")
    await connection.execute("update events set type = 'box.mystery' where stream = 'box-new'")
    await connection.execute("alter table events enable trigger events_are_final")
    await connection.close()
    monkeypatch.delitem(registry, Mystery.TYPE)
    assert Mystery.TYPE not in known_events()
    async with working(place, start=False) as other:
        tasks = [asyncio.create_task(other.do(Fill(box))) for box in ("old", "new", "third")]
        await asyncio.sleep(0)
        other.batcher.start()
        await asyncio.wait(tasks)
        assert tasks[0].exception() is None
        assert await refusal(tasks[1]) == (Kind.UNAVAILABLE, "newer_events")
        assert tasks[2].exception() is None
    monkeypatch.setitem(registry, Mystery.TYPE, Mystery)
    async with working(place) as newer:
        assert (await newer.answer(Fill("new"))).amount == 1
        await assert_sound(newer.log)


# closing and creating


async def test_a_closed_instance_takes_no_more_but_repeats_its_answers(work: Work) -> None:
    id_ = uuid4()
    await work.do(Fill("a", 3), id=id_)
    await work.log.close_instance(1)
    assert await refusal(work.do(Fill("a"))) == (Kind.GONE, "instance_closed")
    assert (await work.answer(Fill("a", 3), id=id_)).amount == 3
    await work.do(Fill("a"), instance=2)


async def test_closing_waits_for_the_append_that_is_under_way(place: Place, work: Work) -> None:
    async with holding_the_lock(place):
        closing = asyncio.create_task(work.log.close_instance(1))
        await asyncio.wait([closing], timeout=0.2)
        assert not closing.done()
    await closing
    assert await refusal(work.do(Fill("a"))) == (Kind.GONE, "instance_closed")


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_creation_repeated_after_its_key_was_forgotten_meets_its_stream(place: Place, work: Work, *, restarted: bool) -> None:
    id_ = uuid4()
    done = await work.do(Issue("a"), id=id_)
    await work.log.forget_commands(done.recorded[0].at + timedelta(seconds=1))
    async with working(place) as other:
        assert await refusal((other if restarted else work).do(Issue("a"), id=id_)) == (Kind.CONFLICT, "already_exists")
        assert len(await assert_sound(other.log)) == 1
