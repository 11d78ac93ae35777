"""Numbers come from the log, so they have no gaps: not under many tills, not across processes, not around refusals and crashes."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from libs.domain.errors import DomainError
from tests.integration.eventstore.boxes import Issue, Place, Rename, Work, assert_sound, working

CLIENTS = 32
TIMES = 6


async def test_clients_at_one_till_in_two_processes_get_every_number_once(place: Place) -> None:
    async with working(place) as one, working(place) as other:

        async def client(number: int) -> list[int]:
            work, own = (one if number % 2 else other), []
            for turn in range(TIMES):
                if (number + turn) % 5 == 0:
                    with pytest.raises(DomainError, match="refused"):
                        await work.do(Issue("till", refuse=True))
                own += await work.answer(Issue("till", count=1 + turn % 3))
                await work.do(Issue(f"till {number % 3}"))
            return own

        numbers = await asyncio.gather(*(client(number) for number in range(CLIENTS)))
        handed_out = sorted(number for own in numbers for number in own)
        assert handed_out == list(range(1, CLIENTS * (1 + 2 + 3) * TIMES // 3 + 1))
        assert all(own == sorted(own) for own in numbers), "a till sees its numbers rise"
        await assert_sound(one.log)


async def test_a_command_refused_by_the_log_uses_no_number(place: Place, work: Work) -> None:
    id_ = uuid4()
    assert await work.answer(Issue("till"), id=id_) == (1,)
    await work.do(Rename("a", "Anna"))
    results = await asyncio.gather(
        work.do(Issue("till"), id=id_), work.do(Issue("till", 2), id=id_), work.do(Issue("till\x00")), return_exceptions=True
    )
    assert [isinstance(result, DomainError) for result in results] == [False, True, True]
    assert await work.answer(Issue("till")) == (2,)


async def test_an_append_that_was_rolled_back_uses_no_number(place: Place, work: Work) -> None:
    """The disk was full at the very end of an append: the numbers it had drawn are drawn again."""
    assert await work.answer(Issue("till")) == (1,)
    connection = await place.connect()
    await connection.execute("create function full_disk() returns trigger language plpgsql as $$ begin raise exception 'no space'; end $$")
    await connection.execute("create trigger full_disk before insert on commits for each row execute function full_disk()")
    with pytest.raises(DomainError):
        await work.do(Issue("till", 7))
    await connection.execute("drop trigger full_disk on commits")
    await connection.close()
    assert await work.answer(Issue("till", 2)) == (2, 3)
    await assert_sound(work.log)


async def test_instances_and_registers_count_for_themselves(work: Work) -> None:
    answers = [await work.answer(Issue(register), instance=instance) for instance in (1, 2) for register in ("a", "b", "a")]
    assert answers == [(1,), (1,), (2,)] * 2


async def test_the_log_itself_refuses_a_number_twice(place: Place, work: Work) -> None:
    await work.do(Issue("till"))
    connection = await place.connect()
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(
            "insert into events select instance, 99, 'slip-x', 1, id, type, 1, series, number, data, meta, at, leaf from events"
        )
    await connection.close()
