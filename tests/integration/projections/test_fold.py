"""The projections of pos and inventory in a real database: cut anywhere and told twice, their tables are those of one event at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from libs.domain.events import Recorded
from libs.projections.declare import Projection
from libs.records.tables import projection
from services.inventory.records import ARTICLES, GROUPS
from services.pos.projections import RECEIPTS
from services.pos.tabs.projections import TABS
from tests.integration.projections.shelves import MemoryLog, Reading
from tests.unit.projections.histories import INSTANCE, evening, stock_taking


async def project(reading: Reading, projections: Sequence[Projection], events: list[Recorded], cuts: list[int], again: int = 0) -> Any:
    """The tables after offering the events in batches that overlap by ``again``."""
    log = MemoryLog({INSTANCE: []})
    async with reading.projecting(log, *projections) as projector:
        for begin, end in pairwise([0, *sorted({cut % len(events) for cut in cuts} - {0}), len(events)]):
            log.events[INSTANCE] += events[begin:end]
            projector.offer(events[max(0, begin - again) : end])
            assert await projector.wait(INSTANCE, end, 20)
        assert projector._held == {}
    connection = await asyncpg.connect(reading.dsn)
    names = {table.name: f"{reading.service}.{table.name}_r{made.revision}" for made in projections for table in made.tables}
    tables = {name: await connection.fetch(f"select * from {table} order by instance, key") for name, table in names.items()}
    await connection.close()
    return tables


@pytest.mark.parametrize("seed", [1, 2])
async def test_tables_do_not_depend_on_how_events_arrive(shelves_dsn: str, seed: int) -> None:
    dice = random.Random(seed)
    for name, projections, events in (
        ("evening", (TABS, RECEIPTS), evening(seed, 40)),
        ("stock", (projection(GROUPS), projection(ARTICLES)), stock_taking(seed, 60)),
    ):
        one_by_one = await project(Reading(shelves_dsn, f"{name}{seed}a"), projections, events, list(range(len(events))))
        assert sum(map(len, one_by_one.values())) > 5
        at_once = await project(Reading(shelves_dsn, f"{name}{seed}b"), projections, events, [])
        cut = await project(Reading(shelves_dsn, f"{name}{seed}c"), projections, events, [dice.randrange(99) for _ in range(6)], again=3)
        assert at_once == one_by_one
        assert cut == one_by_one
