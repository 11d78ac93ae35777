"""The log against a dictionary: commands, repeats, misuse, claims, numbers, lost connections, crashes in mid-append and restarts, in two
processes, as hypothesis draws them. A failing run is printed as the shortest one that fails; ``THEKE_MODEL_EXAMPLES`` draws more, anew.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, Final
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from libs.domain.errors import DomainError
from libs.eventstore.migrate import migrate
from tests.integration.eventstore.boxes import Box, Empty, Fill, FillUnless, Issue, Move, Place, Rename, Work, assert_sound, working

DAILY: Final = 5
EXAMPLES: Final = int(os.environ.get("THEKE_MODEL_EXAMPLES", DAILY))
STEPS: Final = 30
PROCESSES: Final = 2
BOXES = ("a", "b", "c")
NAMES = ("", "Anna", "Bert", "Änne")


class Model:
    """What the log should say, in a few dictionaries."""

    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}
        self.claims: dict[str, str] = {}
        self.numbers: dict[str, int] = {}
        self.done: dict[UUID, tuple[Any, Any]] = {}
        self.events = 0

    def expect(self, id_: UUID, body: Any) -> Any:
        """The answer, or the reason of the refusal."""
        if id_ in self.done:
            before, answer = self.done[id_]
            return answer if before == body else "key_misuse"
        answer = getattr(self, f"_{type(body).__name__.lower()}")(body)
        if not isinstance(answer, str):
            self.done[id_] = (body, answer)
        return answer

    def _box(self, name: str) -> Box:
        return self.boxes.get(name, Box())

    def _wrote(self, name: str, box: Box) -> Box:
        self.boxes[name] = box
        self.events += 1
        return box

    def _fill(self, body: Fill) -> Box | str:
        box = self._box(body.box)
        if body.most is not None and box.amount + body.amount > body.most:
            return "box_full"
        return self._wrote(body.box, Box(box.amount + body.amount, box.fills + 1, box.name))

    def _fillunless(self, body: FillUnless) -> Box | str:
        return "guarded" if self._box(body.guard).amount else self._fill(Fill(body.box, 1))

    def _empty(self, body: Empty) -> Box:
        box = self._box(body.box)
        return self._wrote(body.box, Box(name=box.name)) if box.amount else box

    def _move(self, body: Move) -> tuple[int, int] | str:
        if not (amount := self._box(body.source).amount):
            return "box_empty"
        self._empty(Empty(body.source))
        self._fill(Fill(body.target, amount))
        return 0, self._box(body.target).amount

    def _rename(self, body: Rename) -> Box | str:
        box = self._box(body.box)
        if body.name and body.name in self.claims:
            return "claim_taken"
        self.claims = {name: holder for name, holder in self.claims.items() if name != box.name or not box.name}
        if body.name:
            self.claims[body.name] = body.box
        return self._wrote(body.box, Box(box.amount, box.fills, body.name))

    def _issue(self, body: Issue) -> tuple[int, ...] | str:
        if body.refuse:
            return "refused"
        last = self.numbers.get(body.register, 0)
        self.numbers[body.register] = last + body.count
        self.events += body.count
        return tuple(range(last + 1, last + 1 + body.count))


box = st.sampled_from(BOXES)
amount = st.integers(1, 5)
process = st.integers(0, PROCESSES - 1)
command = st.one_of(
    st.builds(Fill, box, amount),
    st.builds(Fill, box, amount, most=st.integers(3, 12)),
    st.builds(Empty, box),
    st.tuples(box, box).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: Move(*pair)),
    st.tuples(box, box).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: FillUnless(*pair)),
    st.builds(Rename, box, st.sampled_from(NAMES)),
    st.builds(Issue, st.sampled_from("xy"), count=st.integers(1, 3)),
    st.builds(Issue, st.just("x"), refuse=st.just(True)),
)


async def outcome(work: Work, id_: UUID, body: Any) -> Any:
    """The answer, or the reason of the refusal."""
    try:
        return await work.answer(body, id=id_)
    except DomainError as refused:
        return refused.reason


class Machine(RuleBasedStateMachine):
    """Two processes on one log. ``dsn`` is set by the test; every run has a log of its own."""

    dsn = ""
    numbers = count(1)
    done = Bundle("done")

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.model = Model()
        self.place = Place(self.dsn, f"model{next(self.numbers)}")
        self.ids = count(1)
        self.runner.run(migrate(self.place.dsn, self.place.schema))
        self.runner.run(self._start())

    async def _start(self) -> None:
        self.open = AsyncExitStack()
        self.works = [await self.open.enter_async_context(working(self.place)) for _ in range(PROCESSES)]

    def _id(self) -> UUID:
        return UUID(int=next(self.ids), version=4)

    def _agrees(self, who: int, id_: UUID, body: Any) -> None:
        expected = self.model.expect(id_, body)
        assert self.runner.run(outcome(self.works[who], id_, body)) == expected

    @rule(target=done, who=process, body=command)
    def something_new(self, who: int, body: Any) -> Any:
        id_ = self._id()
        self._agrees(who, id_, body)
        return id_ if id_ in self.model.done else multiple()

    @rule(who=process, id_=done)
    def the_same_again(self, who: int, id_: UUID) -> None:
        self._agrees(who, id_, self.model.done[id_][0])

    @rule(who=process, id_=done, body=command)
    def an_old_id_for_something_else(self, who: int, id_: UUID, body: Any) -> None:
        self._agrees(who, id_, body)

    @rule(who=process)
    def a_connection_is_lost_while_idle(self, who: int) -> None:
        async def lose() -> None:
            writer = self.works[who].log._writer
            if writer is not None:
                writer.terminate()

        self.runner.run(lose())

    @rule(who=process)
    def a_cache_is_emptied(self, who: int) -> None:
        self.works[who].batcher._cache.clear()

    @rule()
    def somebody_ends_all_sessions(self) -> None:
        self.runner.run(self._end_sessions())

    async def _end_sessions(self) -> None:
        connection = await self.place.connect()
        await connection.execute(
            "select pg_terminate_backend(pid, 2000) from pg_stat_activity where application_name = $1", f"theke {self.place.schema} log"
        )
        await connection.close()

    @rule(target=done, amounts=st.tuples(amount, amount, amount))
    def sessions_end_in_the_middle_of_appends(self, amounts: tuple[int, int, int]) -> Any:
        """A box each, so that their order does not matter; whatever was stored before the crash, each happens once."""
        asked = [(self._id(), Fill(box, amount)) for box, amount in zip(BOXES, amounts, strict=True)]
        expected = [self.model.expect(id_, body) for id_, body in asked]

        async def together() -> list[Any]:
            answers = [asyncio.create_task(outcome(self.works[ix % PROCESSES], id_, body)) for ix, (id_, body) in enumerate(asked)]
            await self._end_sessions()
            return await asyncio.gather(*answers)

        assert self.runner.run(together()) == expected
        return multiple(*(id_ for id_, _ in asked))

    @rule()
    def both_processes_start_again(self) -> None:
        self.runner.run(self.open.aclose())
        self.runner.run(self._start())

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            self.runner.run(self._all_of_it())
        finally:
            self.runner.run(self.open.aclose())
            self.runner.close()

    async def _all_of_it(self) -> None:
        """Everything that was answered is there, in order, and is answered again."""
        last = self.works[0]
        events = await assert_sound(last.log)
        assert len(events) == self.model.events
        names = [name for name in NAMES if name]
        holders = await last.log.holders([(1, "name", name) for name in names])
        assert holders == [f"box-{self.model.claims[name]}" if name in self.model.claims else None for name in names]
        for id_, (body, answer) in self.model.done.items():
            assert await outcome(last, id_, body) == answer, f"{body} repeated at the end"


def test_the_log_does_what_a_dictionary_would_do(boxes_dsn: str) -> None:
    Machine.dsn = boxes_dsn
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=EXAMPLES <= DAILY,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
