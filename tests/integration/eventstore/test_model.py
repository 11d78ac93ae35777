"""The log against a dictionary: random commands, repeats, misuse, claims, numbers, lost connections and restarts, in two processes.

A failing run names its seed; ``THEKE_SEED=<n>`` repeats it alone.
"""

from __future__ import annotations

import os
import random
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest

from libs.domain.errors import DomainError
from tests.integration.eventstore.boxes import Box, Empty, Fill, FillUnless, Issue, Move, Place, Rename, Work, assert_sound, working

SEEDS = [int(os.environ["THEKE_SEED"])] if "THEKE_SEED" in os.environ else [1, 2]
STEPS = 150
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


class Run:
    def __init__(self, seed: int, place: Place) -> None:
        self.dice = random.Random(seed)
        self.place = place
        self.model = Model()

    def command(self) -> Any:
        dice = self.dice
        one, other = dice.sample(BOXES, 2)
        return dice.choice(
            [
                Fill(one, dice.randint(1, 5)),
                Fill(one, dice.randint(1, 5), most=dice.randint(3, 12)),
                Empty(one),
                Move(one, other),
                FillUnless(one, guard=other),
                Rename(one, dice.choice(NAMES)),
                Issue(dice.choice("xy"), count=dice.randint(1, 3)),
                Issue("x", refuse=True),
            ]
        )

    def request(self) -> tuple[UUID, Any]:
        """A new command, a repeat of an old one, or an old id for something else."""
        if self.model.done and self.dice.random() < 0.3:
            id_ = self.dice.choice(list(self.model.done))
            return id_, self.model.done[id_][0] if self.dice.random() < 0.7 else self.command()
        return UUID(int=self.dice.getrandbits(128), version=4), self.command()

    async def disturb(self, work: Work) -> None:
        """A connection lost while idle, a cache that was emptied, backends killed by somebody."""
        match self.dice.randrange(24):
            case 0 if work.log._writer is not None:
                work.log._writer.terminate()
            case 1:
                work.batcher._cache.clear()
            case 2:
                connection = await self.place.connect()
                await connection.execute(
                    "select pg_terminate_backend(pid, 2000) from pg_stat_activity where application_name = $1",
                    f"theke {self.place.schema} log",
                )
                await connection.close()


async def outcome(work: Work, id_: UUID, body: Any) -> Any:
    try:
        return await work.answer(body, id=id_)
    except DomainError as refused:
        return refused.reason


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_log_does_what_a_dictionary_would_do(place: Place, seed: int) -> None:
    run = Run(seed, place)
    for _ in range(3):  # every round in two new processes
        async with AsyncExitStack() as stack:
            works = [await stack.enter_async_context(working(place)) for _ in range(2)]
            for step in range(STEPS // 3):
                work = run.dice.choice(works)
                await run.disturb(work)
                id_, body = run.request()
                expected = run.model.expect(id_, body)
                assert await outcome(work, id_, body) == expected, f"seed {seed} step {step}: {body}"
    async with working(place) as last:
        events = await assert_sound(last.log)
        assert len(events) == run.model.events
        names = [name for name in NAMES if name]
        holders = await last.log.holders([(1, "name", name) for name in names])
        assert holders == [f"box-{run.model.claims[name]}" if name in run.model.claims else None for name in names]
        for id_, (body, answer) in run.model.done.items():
            assert await outcome(last, id_, body) == answer, f"seed {seed}: {body} repeated at the end"
