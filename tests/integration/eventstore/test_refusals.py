"""What a refusal promises: no attempt that began before it does afterwards what was refused. Whoever asks anew is decided anew."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from libs.domain.decider import Command
from libs.domain.errors import DomainError, Kind, conflict, unavailable
from libs.domain.principal import system
from tests.integration.eventstore.boxes import (
    NOON,
    TYPES,
    Fill,
    Move,
    Place,
    Rename,
    Ship,
    SlipIssued,
    Work,
    assert_sound,
    everything,
    fingerprint,
    working,
)
from tests.integration.eventstore.test_query_plans import arrays

TILLS = 4
COMMANDS = 40
HURRY_S = 0.01


async def refused(work: Work, body: Any, id_: UUID) -> None:
    with pytest.raises(DomainError) as refusal:
        await work.do(body, id=id_)
    assert refusal.value.kind is Kind.CONFLICT


async def superseded(work: Work, body: Any, id_: UUID, began: float) -> None:
    """Nobody may be told that it was refused either: it may have been done by a later attempt."""
    with pytest.raises(DomainError) as refusal:
        await work.do(body, id=id_, began=began)
    assert (refusal.value.kind, refusal.value.reason, refusal.value.retry_after_s) == (Kind.UNAVAILABLE, "superseded", None)


@pytest.mark.parametrize("step", ["load", "append"])
async def test_an_attempt_held_up_in_one_process_does_not_outlive_its_refusal_in_another(place: Place, step: str) -> None:
    """A till paid a table; the process was frozen; the repeat was told by another process that nothing was open; somebody ordered; the
    first process woke and took the money."""
    async with working(place) as frozen, working(place) as other:
        asleep, wakes, was = asyncio.Event(), asyncio.Event(), getattr(frozen.log, step)

        async def held_up(*arguments: Any) -> Any:
            asleep.set()
            await wakes.wait()
            return await was(*arguments)

        await frozen.do(Fill("a"))
        setattr(frozen.log, step, held_up)
        id_, began = uuid4(), time.monotonic()
        body = Move("a", "b") if step == "append" else Move("c", "b")
        attempt = asyncio.ensure_future(superseded(frozen, body, id_, began))
        await asleep.wait()
        if step == "append":  # decided while there was something to move
            await other.do(Move("a", "c"))
        await refused(other, body, id_)
        await other.do(Fill(body.source, 5))
        before = len(await everything(other.log))
        wakes.set()
        await attempt
        assert len(await assert_sound(other.log)) == before
        await frozen.do(body, id=id_)
        assert len(await assert_sound(other.log)) == before + 2


async def test_an_attempt_that_comes_late_does_not_do_what_was_refused_for_its_facts(place: Place) -> None:
    """What facts say is in no stream, so nothing moved that would tell of the refusal."""
    async with working(place) as late, working(place) as other:
        id_, began, body = uuid4(), time.monotonic(), Fill("a", 3)
        command = Command(id_, NOON, system(1, "boxes"), body)
        with pytest.raises(DomainError, match="article_gone"):
            await other.batcher.refuse(TYPES[Fill], command, fingerprint(body), conflict("article_gone"))
        await superseded(late, body, id_, began)
        assert await everything(other.log) == []
        done = await late.do(body, id=id_)
        assert await other.batcher.refuse(TYPES[Fill], command, fingerprint(body), conflict("article_gone")) == _duplicate(done)


def _duplicate(done: Any) -> Any:
    return type(done)(done.recorded, done.states, done.last, duplicate=True)


async def test_an_attempt_that_comes_late_does_not_take_a_claim_that_was_refused(place: Place) -> None:
    async with working(place) as late, working(place) as other:
        await other.do(Rename("a", "Anna"))
        id_, began = uuid4(), time.monotonic()
        await refused(other, Rename("b", "Anna"), id_)
        await other.do(Rename("a", "Bert"))
        await superseded(late, Rename("b", "Anna"), id_, began)
        await late.do(Rename("b", "Anna"), id=id_)


async def test_an_attempt_asked_for_again_since_its_refusal_was_lost_is_refused_again(place: Place) -> None:
    """A claim that is held is noted by the append itself: the repeat met the note of its own refusal, and was told 503."""
    async with working(place) as first, working(place) as other:
        await other.do(Rename("a", "Anna"))
        id_, began = uuid4(), time.monotonic()
        for work in (first, first, other):
            with pytest.raises(DomainError, match="claim_taken"):
                await work.do(Rename("b", "Anna"), id=id_, began=began)
        again = time.monotonic()
        with pytest.raises(DomainError, match="claim_taken"):
            await first.do(Rename("b", "Anna"), id=id_, began=began)
        await other.do(Rename("a", "Bert"))
        await superseded(first, Rename("b", "Anna"), id_, again)  # each of these refusals counts


async def test_each_refusal_counts_from_its_own_moment(work: Work) -> None:
    id_ = uuid4()
    await refused(work, Move("a", "b"), id_)
    between = time.monotonic()
    await refused(work, Move("a", "b"), id_)
    await work.do(Fill("a"))
    await superseded(work, Move("a", "b"), id_, between)
    await work.do(Move("a", "b"), id=id_)


@pytest.mark.parametrize("seed", range(3))
async def test_no_command_is_both_refused_and_done_however_two_processes_hurry(place: Place, seed: int) -> None:
    """Each is tried by both at the same time, while somebody fills the box; who was told that it is not possible must be right."""
    dice = random.Random(seed)
    refusals: dict[UUID, str] = {}

    async def attempt(work: Work, id_: UUID, began: float) -> None:
        await asyncio.sleep(dice.random() * HURRY_S)
        try:
            await work.do(Ship("a"), id=id_, began=began)
        except DomainError as error:
            if error.kind is not Kind.UNAVAILABLE:
                refusals[id_] = error.reason

    async with working(place) as one, working(place) as other, working(place) as third:
        running = True

        async def fill() -> None:
            while running:
                await third.do(Fill("a"))
                await asyncio.sleep(dice.random() * HURRY_S)

        async def till() -> None:
            for _ in range(COMMANDS):
                id_, began = uuid4(), time.monotonic()
                await asyncio.gather(attempt(one, id_, began), attempt(other, id_, began))

        filling = asyncio.ensure_future(fill())
        await asyncio.gather(*(till() for _ in range(TILLS)))
        running = False
        await filling
        done = {event.command for event in await assert_sound(third.log) if event.type == SlipIssued.TYPE}
    assert done
    assert refusals
    assert {id_: why for id_, why in refusals.items() if id_ in done} == {}


async def test_what_may_yet_be_done_is_no_refusal(work: Work) -> None:
    """Who is told ``unavailable`` repeats, and may well be answered by the attempt that is under way."""
    id_, began, body = uuid4(), time.monotonic(), Fill("a")
    with pytest.raises(DomainError, match="reader_stopped"):
        await work.batcher.refuse(
            TYPES[Fill], Command(id_, NOON, system(1, "boxes"), body), fingerprint(body), unavailable("reader_stopped")
        )
    assert not (await work.do(body, id=id_, began=began)).duplicate


async def test_a_refusal_is_of_one_command_in_one_instance(work: Work) -> None:
    id_, began = uuid4(), time.monotonic()
    await refused(work, Move("a", "b"), id_)
    await work.do(Fill("a"))
    await work.do(Fill("a"), instance=2)
    await work.do(Move("a", "b"), began=began)
    await work.do(Move("a", "b"), id=id_, instance=2, began=began)


async def test_what_was_done_is_told_to_attempts_of_any_age(work: Work) -> None:
    id_, began = uuid4(), time.monotonic()
    await refused(work, Move("a", "b"), id_)
    await work.do(Fill("a"))
    await work.do(Move("a", "b"), id=id_)
    assert (await work.do(Move("a", "b"), id=id_, began=began)).duplicate


async def test_one_that_was_refused_fails_none_of_its_batch(place: Place) -> None:
    async with working(place) as other:
        id_, began = uuid4(), time.monotonic()
        await refused(other, Move("a", "b"), id_)
        await other.do(Fill("a"))
        async with working(place, start=False) as work:
            waiting = [
                asyncio.ensure_future(work.do(Fill("c"))),
                asyncio.ensure_future(superseded(work, Move("a", "b"), id_, began)),
                asyncio.ensure_future(work.do(Fill("d"))),
            ]
            await asyncio.sleep(0)
            work.batcher.start()
            await asyncio.gather(*waiting)
        assert len(await assert_sound(other.log)) == 3


async def test_old_refusals_are_forgotten(work: Work) -> None:
    id_, began = uuid4(), time.monotonic()
    await refused(work, Move("a", "b"), id_)
    filled = await work.do(Fill("a"))
    await work.log.forget_refusals(filled.recorded[0].at - timedelta(days=1))
    await superseded(work, Move("a", "b"), id_, began)
    await work.log.forget_refusals(filled.recorded[0].at + timedelta(seconds=1))
    await work.do(Move("a", "b"), id=id_, began=began)


async def test_processes_of_the_version_before_append_as_they_did(place: Place, work: Work) -> None:
    """They do not say how old their attempts are, so none of theirs is turned away."""
    id_ = uuid4()
    await refused(work, Move("a", "b"), id_)
    connection = await place.connect()
    try:
        without_age = [column for ix, column in enumerate(arrays(["box-a"], [id_], [0])) if ix != 3]
        numbered = ", ".join(f"${number}" for number in range(1, 22))
        [row] = await connection.fetch(f"select * from append({numbered})", *without_age)
        assert row["outcome"] == b"a"
    finally:
        await connection.close()


async def test_nothing_is_refused_under_an_old_snapshot(place: Place) -> None:
    connection = await place.connect()
    try:
        with pytest.raises(asyncpg.RaiseError, match="READ COMMITTED"):
            async with connection.transaction(isolation="repeatable_read"):
                await connection.fetch("select * from refuse($1::int[], $2::uuid[])", [1], [uuid4()])
    finally:
        await connection.close()


async def test_a_server_whose_clock_was_set_back_serves_keys_that_were_refused_before(place: Place, work: Work) -> None:
    """Its refusals lie in the future until the clock has caught up, for hours perhaps."""
    id_ = uuid4()
    await refused(work, Move("a", "b"), id_)
    connection = await place.connect()
    try:
        await connection.execute("update refusals set at = at + interval '1 hour'")
    finally:
        await connection.close()
    await work.do(Fill("a"))
    await work.do(Move("a", "b"), id=id_)
    assert len(await assert_sound(work.log)) == 3
