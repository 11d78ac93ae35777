"""A reply means done: the tables have it, or the reply says within two seconds that they are behind."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import asyncpg

from libs.domain.decider import Aggregate, Command, CommandType, Decision, StreamRef
from libs.domain.principal import system
from libs.eventstore.batcher import Batcher
from libs.eventstore.log import Log
from libs.eventstore.migrate import migrate
from libs.projections.projector import Projector
from libs.projections.tables import Statement, Tables
from libs.runtime.dispatcher import PROJECTION_WAIT_MAX_S, Dispatcher
from tests.conftest import Databases
from tests.integration.projections.shelves import NOON, Stocked, labels, shelves, until_ready

SHELF: Aggregate[int] = Aggregate("shelf", 0, lambda amount, event: amount + event.data.amount)
STOCK = CommandType(
    "shelf.stock",
    int,
    lambda command: (StreamRef(SHELF, "a"),),
    lambda states, command, facts: Decision({"shelf-a": [Stocked(amount=command.body)]} if command.body else {}),
    lambda states, command, recorded: states["shelf-a"],
)
ON_THE_SHELF = Statement("select s.amount from {store.shelves} s where s.instance = $1")


class Store:
    """A service in one process: log, batcher, projector, tables, dispatcher."""

    def __init__(self, databases: Databases) -> None:
        self.databases = databases
        self.log = Log(databases.log, "store")
        self.batcher = Batcher(self.log)
        self.tables = Tables(databases.read, "store")
        self.projector = Projector(databases.read, "store", (shelves(), labels()), self.log)
        self.dispatcher = Dispatcher([STOCK], self.batcher, self.projector, self.tables, lambda _: None)

    async def __aenter__(self) -> Store:
        await migrate(self.databases.log, "store")
        await self.log.open()
        await self.tables.open()
        self.batcher.start()
        self.projector.start()
        await until_ready(self.projector)
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.batcher.stop()
        await self.projector.stop()
        await self.tables.close()
        await self.log.close()

    async def stock(self, amount: int, *, instance: int = 1, id_: Any = None) -> tuple[int, bool]:
        """The answer, and whether it says that the tables are behind."""
        command = Command(id_ or uuid4(), NOON, system(instance, "store"), amount)
        answer, behind = await self.dispatcher.execute(STOCK, command, timeout=10.0)
        return answer, behind

    async def shown(self, instance: int = 1) -> int:
        return (await self.tables.fetch(ON_THE_SHELF, instance))[0]["amount"]


async def test_what_was_answered_is_in_the_tables(databases: Databases) -> None:
    async with Store(databases) as store:
        for amount in range(20, 50):
            total, behind = await store.stock(amount)
            assert not behind
            assert await store.shown() == total
        answers = await asyncio.gather(*(store.stock(1, instance=instance) for instance in (1, 2) for _ in range(20)))
        assert not any(behind for _, behind in answers)
        assert (await store.shown(1), await store.shown(2)) == (sum(range(20, 50)) + 20, 20)


async def test_a_held_instance_is_answered_behind_at_once_and_keeps_its_writes(databases: Databases) -> None:
    async with Store(databases) as store:
        await store.stock(1)
        total, behind = await store.stock(13)
        assert (total, behind) == (14, True)
        begun = time.monotonic()
        assert await store.stock(1) == (15, True)
        assert time.monotonic() - begun < PROJECTION_WAIT_MAX_S
        assert await store.stock(5, instance=2) == (5, False)
        assert await store.shown() == 1


async def test_tables_that_are_stuck_are_said_to_be_behind_within_two_seconds(databases: Databases) -> None:
    async with Store(databases) as store:
        await store.stock(1)
        blocker = await asyncpg.connect(databases.read)
        async with blocker.transaction():
            await blocker.execute("lock table store.checkpoints in access exclusive mode")
            begun = time.monotonic()
            assert await store.stock(2) == (3, True)
            assert PROJECTION_WAIT_MAX_S * 0.9 < time.monotonic() - begun < PROJECTION_WAIT_MAX_S + 1.5
        await blocker.close()
        assert await store.stock(3) == (6, False), "and they catch up"
        assert await store.shown() == 6


async def test_a_repeat_whose_first_answer_was_lost_is_in_the_tables_too(databases: Databases) -> None:
    """The append was stored but nobody heard of it: the repeat wakes the projector instead of waiting for its next look."""
    async with Store(databases) as store:
        id_ = uuid4()
        other = Batcher(store.log)
        other.start()
        command = Command(id_, NOON, system(1, "store"), 4)
        silent = Dispatcher([STOCK], other, Projector("", "store", (), store.log), store.tables, lambda _: None)
        await silent.execute(STOCK, command, timeout=10.0)
        await other.stop()
        begun = time.monotonic()
        assert await store.stock(4, id_=id_) == (4, False)
        assert time.monotonic() - begun < 1.5
        assert await store.shown() == 4


async def test_a_command_that_changed_nothing_answers_with_the_tables_at_the_head(databases: Databases) -> None:
    async with Store(databases) as store:
        await store.stock(4)
        assert await store.stock(0) == (4, False)
        assert (await store.log.heads()) == {1: 1}
