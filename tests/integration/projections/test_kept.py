"""Rows that a process keeps are never older than what was done before they were asked for, whoever did it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from libs.domain.decider import RowsKept
from libs.domain.errors import DomainError
from libs.projections import kept
from libs.projections.tables import Tables
from tests.integration.projections.shelves import MemoryLog, Reading, settled, shelves, stock


class Counting(Tables):
    """Counts the keys whose rows were really read."""

    read = 0

    def rows(self, table: str, instance: int, keys: Sequence[str], columns: tuple[str, ...], by: str = "key") -> Any:
        self.read += len(keys)
        return super().rows(table, instance, keys, columns, by)


@pytest.fixture
async def tables(reading: Reading) -> AsyncIterator[Counting]:
    opened = Counting(reading.dsn, "test")
    await opened.open()
    yield opened
    await opened.close()


def amounts(reading: Reading) -> RowsKept:
    return RowsKept(f"{reading.service}.shelves", ("amount",), lambda rows: rows[0]["amount"])


async def test_what_was_done_before_the_question_is_in_the_answer(reading: Reading, tables: Counting) -> None:
    log, what = MemoryLog(), amounts(reading)
    async with reading.projecting(log) as projector:
        for number in range(1, 40):
            await settled(projector, log.append(*stock("a", 1), *stock(f"b{number % 5}", 1)))
            answers = await asyncio.gather(*(tables.kept(what, 1, ["shelf-a", "shelf-none"]) for _ in range(3)))
            assert answers == [{"shelf-a": number}] * 3


async def test_rows_that_did_not_change_are_not_read_again(reading: Reading, tables: Counting) -> None:
    log, what = MemoryLog(), amounts(reading)
    async with reading.projecting(log) as projector:
        await settled(projector, log.append(*stock("a", 1), *stock("b", 2)))
        await settled(projector, log.append(*stock("a", 5), instance=2))
        await tables.kept(what, 1, ["shelf-a"])  # the first one learns where the table is
        tables.read = 0
        for _ in range(3):
            assert await tables.kept(what, 1, ["shelf-a", "shelf-b"]) == {"shelf-a": 1, "shelf-b": 2}
            assert await tables.kept(what, 2, ["shelf-a", "shelf-b"]) == {"shelf-a": 5}
        assert tables.read <= 3 + 3, "of three keys that are there, and one that is not"
        assert await tables.kept(what, 1, []) == {}


async def test_another_revision_is_seen_at_once(reading: Reading, tables: Counting) -> None:
    log, what = MemoryLog(), RowsKept(f"{reading.service}.shelves", ("times",), lambda rows: rows[0]["times"])
    async with reading.projecting(log, shelves()) as projector:
        await settled(projector, log.append(*stock("a", 1, 1)))
        for _ in range(2):
            assert await tables.kept(what, 1, ["shelf-a"]) == {"shelf-a": 2}
    async with reading.projecting(log, shelves(revision=2)):
        assert await tables.kept(what, 1, ["shelf-a"]) == {"shelf-a": 4}, "the first revision stands where it stood"


async def test_no_more_is_kept_than_is_allowed(reading: Reading, tables: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT_MAX_KEYS", 10)
    log, what = MemoryLog(), amounts(reading)
    async with reading.projecting(log) as projector:
        await settled(projector, log.append(*(one for number in range(30) for one in stock(f"s{number}", 100 + number))))
        for number in range(60):
            found: Mapping[str, int] = await tables.kept(what, 1, [f"shelf-s{number % 30}"])
            assert found == {f"shelf-s{number % 30}": 100 + number % 30}
            assert sum(len(shelf.made) for shelf in tables._kept._shelves.values()) <= 10


async def test_tables_nobody_has_made_yet_are_unavailable_not_empty(reading: Reading, tables: Counting) -> None:
    with pytest.raises(DomainError, match="tables_not_ready"):
        await tables.kept(amounts(reading), 1, ["shelf-a"])


async def test_who_gives_up_takes_no_answer_from_others(reading: Reading, tables: Counting) -> None:
    log, what = MemoryLog(), amounts(reading)
    async with reading.projecting(log) as projector:
        await settled(projector, log.append(*stock("a", 1)))

        async def asked() -> Mapping[str, int]:
            return await tables.kept(what, 1, ["shelf-a"])

        for _ in range(3):
            waiting = [asyncio.create_task(asked()) for _ in range(4)]
            await asyncio.sleep(0)
            waiting[1].cancel()
            found = await asyncio.gather(*waiting, return_exceptions=True)
            assert [found[0], found[2], found[3]] == [{"shelf-a": 1}] * 3
            assert isinstance(found[1], asyncio.CancelledError)
