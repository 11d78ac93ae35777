"""The hot statements find rows by index, also when their plans were made while the tables were empty. Counted, not explained: a table
that is never scanned sequentially cannot have had a bad plan."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from libs.eventstore.statements import sql
from tests.integration.eventstore.boxes import Place

TABLES = ("events", "streams", "commands", "refusals", "claims", "series", "commits", "closed")
ROWS = 5_000
SHOWN = 120  # rows that the statements of the test return, roughly
PLANNED_AFTER = 7  # a prepared statement gets its generic plan with the sixth execution


def arrays(streams: list[str], ids: list[UUID], versions: list[int]) -> list[list[Any]]:
    """One command per stream: one numbered event, one claim."""
    count = len(streams)
    numbers = list(range(1, count + 1))
    return [
        [1] * count, ids, [b"f"] * count, [0.0] * count,
        numbers, streams, versions, [1] * count, [False] * count,
        numbers, [1] * count, [uuid4() for _ in ids], ["box.filled"] * count, [1] * count, ["s"] * count, [b"{}"] * count, [b"{}"] * count,
        numbers, ["name"] * count, [str(id_) for id_ in ids], streams, [True] * count,
    ]  # fmt: skip


async def scans(connection: asyncpg.Connection, schema: str) -> tuple[dict[str, int], int]:
    """Sequential scans by table, and the rows that were fetched by index in all of them."""
    await connection.execute("select pg_stat_force_next_flush()")
    await connection.execute("select pg_stat_clear_snapshot()")
    rows = await connection.fetch(
        "select relname, seq_scan, idx_tup_fetch from pg_stat_user_tables where schemaname = $1 and relname = any($2)", schema, TABLES
    )
    assert len(rows) == len(TABLES)
    return {row["relname"]: row["seq_scan"] for row in rows}, sum(row["idx_tup_fetch"] for row in rows)


@pytest.fixture
async def statements(place: Place) -> Any:
    """Prepared, and executed often enough to be planned for good, on empty tables."""
    connection = await place.connect()
    prepared = {}
    for name, nothing in {
        "append_batch": [[] for _ in range(22)],
        "load_streams": [[1] * 3, ["a", "b", "c"], [0] * 3],
        "find_commands": [[1] * 3, [uuid4()] * 3],
        "refuse": [[1] * 3, [uuid4()] * 3],
        "find_claims": [[1] * 3, ["name"] * 3, ["a", "b", "c"]],
        "read_log": [1, 0, 100],
        "read_stream": [1, "a", 10],
        "list_heads": [],
    }.items():
        prepared[name] = await connection.prepare(sql(name))
        for _ in range(PLANNED_AFTER):
            assert await prepared[name].fetch(*nothing) == []
    yield connection, prepared
    await connection.close()


async def test_hot_statements_planned_on_empty_tables_never_scan(place: Place, statements: Any) -> None:
    connection, prepared = statements
    ids = [uuid4() for _ in range(ROWS)]
    streams = [f"box-{number}" for number in range(ROWS)]
    for start in range(0, ROWS, 500):
        part = slice(start, start + 500)
        outcomes = await prepared["append_batch"].fetch(*arrays(streams[part], ids[part], [0] * 500))
        assert {row["outcome"] for row in outcomes} == {b"a"}
    before, fetched_before = await scans(connection, place.schema)
    again = await prepared["append_batch"].fetch(*arrays(streams[:3], [uuid4() for _ in range(3)], [1] * 3))
    assert [row["outcome"] for row in again] == [b"a"] * 3
    assert [row["numbers"] for row in again] == [[ROWS + 1], [ROWS + 2], [ROWS + 3]]
    assert len(await prepared["load_streams"].fetch([1] * 3, streams[:3], [0, 1, 2])) == 4
    assert len(await prepared["find_commands"].fetch([1] * 3, ids[:3])) == 3
    assert len(await prepared["find_claims"].fetch([1] * 3, ["name"] * 3, [str(id_) for id_ in ids[:3]])) == 3
    assert len(await prepared["read_log"].fetch(1, 4_000, 100)) == 100
    assert len(await prepared["read_stream"].fetch(1, streams[0], 10_000)) == 2
    assert [tuple(row) for row in await prepared["list_heads"].fetch()] == [(1, ROWS + 3)]
    after, fetched_after = await scans(connection, place.schema)
    assert {name: after[name] - before[name] for name in TABLES} == dict.fromkeys(TABLES, 0)
    assert fetched_after - fetched_before < 3 * SHOWN, "an index that finds too much is as bad as none"


async def test_a_large_batch_costs_as_much_per_command_as_a_small_one(place: Place, statements: Any) -> None:
    """Once numbers were looked for among all others of the batch: eight times as many took forty times as long."""
    _, prepared = statements

    async def fastest(count: int) -> float:
        times = []
        for _ in range(4):
            batch = arrays([f"box-{uuid4()}" for _ in range(count)], [uuid4() for _ in range(count)], [0] * count)
            begins = time.perf_counter()
            outcomes = await prepared["append_batch"].fetch(*batch)
            times.append(time.perf_counter() - begins)
            assert [len(row["numbers"]) for row in outcomes] == [1] * count
        return min(times)

    large, small = await fastest(2048), await fastest(256)
    assert large < 15 * small, f"{large:.3f} s against {small:.3f} s"
