"""The same id and body give the same answer and no second effect: at once, later, after a restart, in two processes, after lost answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.domain.decider import Command, CommandType, Lookup
from libs.domain.errors import DomainError, Kind, not_found
from libs.domain.principal import Principal
from libs.eventstore.log import Log, LogBusy, LogUnreachable
from libs.projections.projector import Projector
from libs.projections.tables import Tables
from libs.runtime.dispatcher import Dispatcher
from tests.integration.eventstore.boxes import (
    NOON,
    TYPES,
    Box,
    Empty,
    Fill,
    Issue,
    Move,
    Place,
    Rename,
    Ship,
    Work,
    assert_sound,
    everything,
    working,
)


class Counter:
    """A service's dispatcher without query tables. ``facts_missing``: what decisions rest on cannot be found any more."""

    def __init__(self, work: Work) -> None:
        self.facts_missing = False
        self.appended = 0
        projector = Projector("", "boxes", (), work.log)
        self._types = {body: self._with_facts(type_) for body, type_ in TYPES.items()}
        self._dispatcher = Dispatcher(tuple(self._types.values()), work.batcher, projector, Tables("", "boxes"), self._heard)

    def _with_facts(self, type_: CommandType) -> CommandType:
        async def facts(_: Command[Any], __: Lookup) -> None:
            if self.facts_missing:
                raise not_found("fact_gone")

        return CommandType(type_.name, type_.body, type_.streams, type_.decide, type_.reply, type_.permission, facts)

    def _heard(self, events: Sequence[Any]) -> None:
        self.appended += len(events)

    async def ask(self, body: Any, id_: UUID, by: str = "usr_anna") -> Any:
        command = Command(id_, NOON, Principal(1, by), body)
        answer, _ = await self._dispatcher.execute(self._types[type(body)], command, timeout=10.0)
        return answer


@pytest.fixture
def counter(work: Work) -> Counter:
    return Counter(work)


async def test_a_repeat_gets_the_answer_of_the_first_time_also_when_the_state_went_on(work: Work, counter: Counter) -> None:
    id_ = uuid4()
    first = await counter.ask(Fill("a", 3), id_)
    await counter.ask(Fill("a", 4), uuid4())
    assert await counter.ask(Fill("a", 3), id_) == first == Box(3, 1)
    assert len(await assert_sound(work.log)) == 2


async def test_a_repeat_gets_its_answer_when_it_would_be_refused_now(counter: Counter) -> None:
    fill, move = uuid4(), uuid4()
    full = await counter.ask(Fill("a", 5, most=5), fill)
    moved = await counter.ask(Move("a", "b"), move)
    assert await counter.ask(Move("a", "b"), move) == moved == (0, 5), "the box is empty now"
    await counter.ask(Fill("a", 5), uuid4())
    assert await counter.ask(Fill("a", 5, most=5), fill) == full, "the box is full now"


async def test_a_repeat_gets_its_answer_when_its_facts_are_gone(counter: Counter) -> None:
    id_ = uuid4()
    first = await counter.ask(Issue("till", 2), id_)
    counter.facts_missing = True
    assert await counter.ask(Issue("till", 2), id_) == first == (1, 2)
    with pytest.raises(DomainError, match="fact_gone"):
        await counter.ask(Issue("till", 2), uuid4())
    with pytest.raises(DomainError, match="key_misuse"):
        await counter.ask(Issue("till", 3), id_)


async def test_a_repeat_gets_its_answer_in_a_process_that_started_since(place: Place, counter: Counter) -> None:
    named, moved, issued = uuid4(), uuid4(), uuid4()
    await counter.ask(Fill("a", 7), uuid4())
    requests = [(Rename("a", "Anna"), named), (Move("a", "b"), moved), (Issue("till", 3), issued), (Empty("b"), uuid4())]
    first = [await counter.ask(body, id_) for body, id_ in requests]
    await counter.ask(Rename("a", "Bert"), uuid4())
    await counter.ask(Fill("b", 1), uuid4())
    async with working(place) as other:
        assert [await Counter(other).ask(body, id_) for body, id_ in requests] == first


@pytest.mark.parametrize("query", ["load", "refuse"])
async def test_a_repeat_is_not_refused_for_what_another_process_just_did_for_it(place: Place, query: str) -> None:
    """Once, between asking whether the command was known and reading its streams again, another replica did it: the repeat was told that
    there was nothing to pay, and a receipt that had been promised to nobody stood in the log."""
    async with working(place) as one, working(place) as other:
        await Counter(other).ask(Fill("a", 1), uuid4())
        await Counter(other).ask(Empty("a"), uuid4())
        await Counter(one).ask(Fill("a", 5), uuid4())  # the other one still takes the box for empty
        id_, asked = uuid4(), getattr(other.log, query)

        async def and_then_it_is_done(*arguments: Any) -> Any:
            answer = await asked(*arguments)
            await Counter(one).ask(Move("a", "b"), id_)
            return answer

        setattr(other.log, query, and_then_it_is_done)
        assert await Counter(other).ask(Move("a", "b"), id_) == (0, 5)
        assert len(await assert_sound(one.log)) == 5


async def test_what_another_process_did_for_it_since_its_own_append_was_turned_away_is_its_answer(place: Place) -> None:
    """Soaks with two processes met it once in 26,000 receipts: one's append was turned away, since somebody had ordered at the table; the
    other one did it in that moment; then the first found the receipt, and told the till that it existed already."""

    async with working(place) as one, working(place) as other:
        await one.do(Fill("a"))
        id_, append = uuid4(), one.log.append

        async def turned_away_and_then_done(arrays: Sequence[Sequence[Any]]) -> Any:
            one.log.append = append  # type: ignore[method-assign]  # hooked once only
            await other.do(Fill("a"))
            outcomes = await append(arrays)
            assert [outcome.outcome for outcome in outcomes] == ["x"]
            await other.do(Ship("a"), id=id_)
            return outcomes

        one.log.append = turned_away_and_then_done  # type: ignore[method-assign]  # to do something in that moment
        assert (await one.do(Ship("a"), id=id_)).duplicate
        assert len(await assert_sound(one.log)) == 4


async def test_a_repeat_of_what_changed_nothing_changes_nothing_still(counter: Counter) -> None:
    id_ = uuid4()
    assert await counter.ask(Empty("a"), id_) == Box()
    await counter.ask(Fill("a", 5), uuid4())
    assert await counter.ask(Empty("a"), id_) == Box(), "the box was empty when it was asked"
    assert await counter.ask(Fill("a", 0), uuid4()) == Box(5, 2)


async def test_a_refusal_is_not_remembered(counter: Counter) -> None:
    id_ = uuid4()
    with pytest.raises(DomainError, match="box_empty"):
        await counter.ask(Move("a", "b"), id_)
    await counter.ask(Fill("a", 5), uuid4())
    assert await counter.ask(Move("a", "b"), id_) == (0, 5)


@pytest.mark.parametrize("other", [Fill("a", 4), Fill("b", 3), Fill("a", 3, most=100), Empty("a"), Issue("a")], ids=str)
async def test_the_same_id_for_something_else_is_misuse(work: Work, counter: Counter, other: Any) -> None:
    id_ = uuid4()
    await counter.ask(Fill("a", 3), id_)
    with pytest.raises(DomainError) as refused:
        await counter.ask(other, id_)
    assert (refused.value.kind, refused.value.reason) == (Kind.UNPROCESSABLE, "key_misuse")
    assert len(await assert_sound(work.log)) == 1


@pytest.mark.parametrize("body", [Fill("a", 3), Issue("till", 2), Rename("a", "Anna"), Fill("a", 5, most=5)], ids=str)
async def test_eight_at_once_in_two_processes_have_one_effect(place: Place, body: Any) -> None:
    async with working(place) as one, working(place) as other:
        id_ = uuid4()
        answers = await asyncio.gather(*(Counter(work).ask(body, id_) for work in (one, other) for _ in range(4)))
        assert len({str(answer) for answer in answers}) == 1
        events = await assert_sound(one.log)
        assert {event.command for event in events} == {id_}
        assert len(events) == (2 if isinstance(body, Issue) else 1)


async def test_eight_at_once_in_one_process_have_one_effect(work: Work, counter: Counter) -> None:
    id_ = uuid4()
    answers = await asyncio.gather(*(counter.ask(Fill("a", 5, most=5), id_) for _ in range(8)))
    assert answers == [Box(5, 1)] * 8
    assert len(await everything(work.log)) == 1


async def test_two_bodies_racing_for_one_id_leave_one_effect(place: Place) -> None:
    async with working(place) as one, working(place) as other:
        for _ in range(10):
            id_ = uuid4()
            results = await asyncio.gather(Counter(one).ask(Issue("a"), id_), Counter(other).ask(Issue("b"), id_), return_exceptions=True)
            assert sorted(getattr(result, "reason", "done") for result in results) == ["done", "key_misuse"]
        assert len(await assert_sound(one.log)) == 10


async def test_a_repeat_wakes_those_who_did_not_hear_of_the_append(counter: Counter) -> None:
    """The first answer may have been lost together with the news: relay and leader must hear of the events from the repeat."""
    id_ = uuid4()
    await counter.ask(Fill("a"), id_)
    await counter.ask(Fill("a"), id_)
    assert counter.appended == 2


# lost connections


class Faulty(Log):
    """A log whose ``step`` fails, before it was done or after, as a broken connection does."""

    def __init__(self, dsn: str, schema: str) -> None:
        super().__init__(dsn, schema)
        self.faults: list[tuple[str, str]] = []

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return self._guarded(name, found) if name in STEPS else found

    def _guarded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        async def guarded(*arguments: Any) -> Any:
            if (name, "before") in self.faults:
                self.faults.remove((name, "before"))
                raise LogUnreachable(f"before {name}")
            if (name, "busy") in self.faults:
                self.faults.remove((name, "busy"))
                raise LogBusy(f"busy at {name}")
            answer = await call(*arguments)
            if (name, "after") in self.faults:
                self.faults.remove((name, "after"))
                raise LogUnreachable(f"after {name}")
            return answer

        return guarded


STEPS = ("load", "append", "refuse", "read", "read_stream", "holders")


@pytest.mark.parametrize(
    "faults",
    [
        [("load", "before")],
        [("load", "after")],
        [("append", "before")],
        [("append", "busy")],
        [("append", "after")],
        [("append", "after"), ("append", "before"), ("append", "busy")],
        [("append", "after"), ("refuse", "before")],
        [("append", "after"), ("refuse", "after")],
        [("append", "after"), ("refuse", "busy")],
        [("append", "after"), ("read", "before")],
        [("append", "after"), ("read_stream", "after")],
        [("append", "after"), ("load", "before")],
    ],
    ids=lambda faults: " then ".join(f"{when} {step}" for step, when in faults),
)
@pytest.mark.parametrize("body", [Fill("a", 5, most=5), Issue("till", 2), Rename("b", "Anna")], ids=lambda body: type(body).__name__)
async def test_a_connection_lost_at_any_step_gives_one_effect_and_the_right_answer(place: Place, faults: list[Any], body: Any) -> None:
    """Neighbours in the same batch too, whatever became of theirs."""
    async with working(place, log=Faulty) as work:
        assert isinstance(work.log, Faulty)
        await work.do(Fill("c", 2))
        work.log.faults = list(faults)
        ids = [uuid4(), uuid4(), uuid4()]
        counter = Counter(work)
        answers = await asyncio.gather(counter.ask(body, ids[0]), counter.ask(Fill("d", 1), ids[1]), counter.ask(Move("c", "e"), ids[2]))
        assert answers[1] == Box(1, 1)
        assert answers[2] == (0, 2)
        assert answers[0] == {Fill: Box(5, 1), Issue: (1, 2), Rename: Box(name="Anna")}[type(body)]
        events = await assert_sound(work.log)
        assert [sum(event.command == id_ for event in events) for id_ in ids] == [2 if isinstance(body, Issue) else 1, 1, 2]


async def test_a_log_that_stays_away_is_unavailable_at_the_deadline(place: Place) -> None:
    async with working(place, log=Faulty) as work:
        assert isinstance(work.log, Faulty)
        work.log.faults = [("append", "before")] * 1_000
        with pytest.raises(DomainError) as refused:
            await work.do(Fill("a"), timeout=0.3)
        assert (refused.value.kind, refused.value.reason) == (Kind.UNAVAILABLE, "timeout")
        work.log.faults = []
        assert (await work.answer(Fill("a"))).amount == 1
