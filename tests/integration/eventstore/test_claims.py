"""A claim has one holder at a time within an instance, whoever asks; the log notes it and could rebuild it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from libs.domain.errors import DomainError
from libs.eventstore.codec import Meta
from tests.integration.eventstore.boxes import Appends, Fill, Place, Rename, Work, assert_sound, working


async def outcomes(*doing: Any) -> list[str]:
    results = await asyncio.gather(*doing, return_exceptions=True)
    return [error.reason if isinstance(error, DomainError) else "done" for error in results]


async def test_a_claim_is_taken_given_up_and_free_again(work: Work) -> None:
    await work.do(Rename("a", "Anna"))
    with pytest.raises(DomainError) as refused:
        await work.do(Rename("b", "Anna"))
    assert refused.value.params == {"scope": "name", "value": "Anna"}
    assert await work.log.holders([(1, "name", "Anna"), (1, "name", "Bert"), (2, "name", "Anna")]) == ["box-a", None, None]
    await work.do(Rename("a", "Bert"))
    await work.do(Rename("b", "Anna"))
    assert await work.log.holders([(1, "name", "Anna"), (1, "name", "Bert")]) == ["box-b", "box-a"]
    await work.do(Rename("b", ""))
    assert await work.log.holders([(1, "name", "Anna")]) == [None]


async def test_instances_do_not_share_claims(work: Work) -> None:
    assert await outcomes(work.do(Rename("a", "Anna")), work.do(Rename("a", "Anna"), instance=2)) == ["done", "done"]


async def test_a_refused_claim_leaves_no_event_and_no_other_claim(work: Work) -> None:
    await work.do(Rename("a", "Anna", labels=("red",)))
    with pytest.raises(DomainError) as refused:
        await work.do(Rename("b", "Bert", labels=("blue", "red")))
    assert refused.value.params == {"scope": "label", "value": "red"}, "the one that is taken is named, not the first"
    assert await work.log.holders([(1, "name", "Bert"), (1, "label", "blue")]) == [None, None]
    assert len(await assert_sound(work.log)) == 1


async def test_two_claims_of_one_value_in_one_batch_give_one_holder(place: Place) -> None:
    async with working(place, start=False) as work:
        appends = Appends(work.log)
        tasks = [asyncio.create_task(work.do(Rename(box, "Anna"))) for box in "abcd"] + [asyncio.create_task(work.do(Fill("other")))]
        await asyncio.sleep(0)
        work.batcher.start()
        assert sorted(await outcomes(*tasks)) == ["claim_taken"] * 3 + ["done"] * 2
        assert appends.sizes[0] == 2, "the claim's first taker and the neighbour"


async def test_a_value_given_up_can_be_taken_right_behind(work: Work) -> None:
    await work.do(Rename("a", "Anna"))
    assert await outcomes(work.do(Rename("a", "")), work.do(Rename("b", "Anna"))) == ["done", "done"]
    assert await work.log.holders([(1, "name", "Anna")]) == ["box-b"]


async def test_processes_racing_for_a_value_leave_exactly_one_holder(place: Place) -> None:
    async with working(place) as one, working(place) as other:
        for number in range(15):
            found = await outcomes(one.do(Rename(f"a{number}", f"name{number}")), other.do(Rename(f"b{number}", f"name{number}")))
            assert sorted(found) == ["claim_taken", "done"]
        assert len(await assert_sound(one.log)) == 15


async def test_the_log_could_rebuild_its_claims(place: Place, work: Work) -> None:
    for box, name in (("a", "Anna"), ("b", "Bert"), ("a", "Ada: x"), ("c", "Anna"), ("b", "")):
        await work.do(Rename(box, name, labels=(f"{box} {name}",)))
    held: dict[tuple[str, str], str] = {}
    for row in await work.log.read_rows(1, 0, 100):
        for note in msgspec.json.decode(row["meta"], type=Meta).claims:
            scope, _, value = note[1:].partition(":")
            if note[0] == "+":
                held[scope, value] = row["stream"]
            else:
                del held[scope, value]
    connection = await place.connect()
    rows = await connection.fetch("select scope, value, stream from claims where instance = 1")
    await connection.close()
    assert held == {(row["scope"], row["value"]): row["stream"] for row in rows}
    assert held["name", "Ada: x"] == "box-a"
