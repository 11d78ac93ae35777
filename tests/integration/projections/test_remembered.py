"""A projector reads no row again that it wrote just now, and remembers no more than it should. That what it remembers is right is what
all other tests of projectors show, on tables of which some rows are remembered."""

from __future__ import annotations

from typing import Any

import pytest

from libs.projections import store
from tests.integration.projections.shelves import REMEMBERED, Cleared, MemoryLog, Reading, settled, stock


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the rows that are read."""
    keys: list[str] = []
    reading = store.read

    async def reads(*arguments: Any) -> Any:
        keys.extend(key for (key,) in arguments[-1])
        return await reading(*arguments)

    monkeypatch.setattr(store, "read", reads)
    return keys


async def test_a_row_is_read_once_and_then_remembered(reading: Reading, read: list[str]) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        for _ in range(5):
            await settled(projector, log.append(*stock("a", 1), *stock("b", 2)))
            await settled(projector, log.append(*stock("a", 10), instance=2))
        assert sorted(read) == ["shelf-a", "shelf-a", "shelf-b"], "one of each instance's"
    assert await reading.rows("shelves_r1") == {"shelf-a": (5, 5), "shelf-b": (10, 5)}
    assert await reading.rows("shelves_r1", instance=2) == {"shelf-a": (50, 5)}


async def test_rows_written_least_recently_are_forgotten(reading: Reading, read: list[str]) -> None:
    log = MemoryLog()
    names = [f"s{number}" for number in range(REMEMBERED + 2)]
    async with reading.projecting(log) as projector:
        for name in names:
            await settled(projector, log.append(*stock(name, 1)))
        read.clear()
        for name in reversed(names):
            await settled(projector, log.append(*stock(name, 1)))
        assert read == ["shelf-s1", "shelf-s0"]
        assert sum(map(len, projector._remembered._tables.values())) == REMEMBERED
    assert await reading.rows("shelves_r1") == {f"shelf-{name}": (2, 2) for name in names}


async def test_a_row_that_was_deleted_is_not_remembered(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        await settled(projector, log.append(*stock("a", 7)))
        await settled(projector, log.append(("a", Cleared())))
        await settled(projector, log.append(*stock("a", 1)))
    assert await reading.rows("shelves_r1") == {"shelf-a": (1, 1)}


async def test_what_another_projector_wrote_meanwhile_counts(reading: Reading) -> None:
    log = MemoryLog()
    async with reading.projecting(log) as projector:
        await settled(projector, log.append(*stock("a", 1)))
        assert projector._connection is not None
        projector._connection.terminate()
        async with reading.projecting(log) as other:
            await settled(other, log.append(*stock("a", 10)))
        await settled(projector, log.append(*stock("a", 100)))
    assert await reading.rows("shelves_r1") == {"shelf-a": (111, 3)}
