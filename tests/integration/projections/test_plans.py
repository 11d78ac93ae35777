"""Statements that are planned while the query tables are still empty find rows by the index that is made for them: that plan is kept,
and by any other one a till would read all receipts of its house to show one."""

from __future__ import annotations

import re

import asyncpg
import pytest

from libs.projections import store
from services.pos.projections import RECEIPTS
from services.pos.queries import RECEIPT_BY_NUMBER
from services.pos.tabs.projections import TABS
from tests.integration.projections.shelves import Reading

PROBES = {
    "a receipt": ("select r.* from {pos.receipts} r where r.instance = $1 and r.key = $2", "1, 'bon_1'", "key = "),
    "a receipt by number": (RECEIPT_BY_NUMBER.text, "1, '1', 5", "number = "),
    "a tab": ("select * from {pos.tabs} t where t.instance = $1 and t.key = $2", "1, 'tbl_1'", "key = "),
    "the lines of a table": ("select * from {pos.open_lines} l where l.instance = $1 and l.table_key = $2", "1, 'tbl_1'", "table_key = "),
    "many lines": (
        "select l.* from unnest($1::int[], $2::text[]) k(instance, key) "
        "join {pos.open_lines} l on l.instance = k.instance and l.key = k.key",
        "'{1}', '{lin_1}'",
        "(key = ",
    ),
}
REVISIONS = {table.name: projection.revision for projection in (RECEIPTS, TABS) for table in projection.tables}


@pytest.fixture
async def empty(reading: Reading) -> asyncpg.Connection:
    connection = await asyncpg.connect(reading.dsn)
    await store.prepare(connection, reading.service, (RECEIPTS, TABS))
    await connection.execute("set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_hashjoin = off")
    yield connection
    await connection.close()


@pytest.mark.parametrize("name", PROBES)
async def test_a_plan_made_on_empty_tables_names_the_right_index(reading: Reading, empty: asyncpg.Connection, name: str) -> None:
    statement, arguments, condition = PROBES[name]
    text = re.sub(r"\{pos\.(\w+)\}", lambda found: f"{reading.service}.{found[1]}_r{REVISIONS[found[1]]}", statement)
    await empty.execute(f"prepare probe as {text}")
    plan = [row[0] for row in await empty.fetch(f"explain execute probe({arguments})")]
    assert any("Index Cond" in line and condition in line for line in plan), plan


async def test_what_a_table_was_found_to_hold_is_not_overwritten(reading: Reading, empty: asyncpg.Connection) -> None:
    table = f"{reading.service}.tabs_r{REVISIONS['tabs']}"
    rows = "select i % 7, 'tab' || i, 'free', 0, 0, 0, 0, 0 from generate_series(1, 700) i"
    await empty.execute(f"insert into {table} (instance, key, state, course, fired, open_lines, open_amount, interim_bills) {rows}")
    await empty.execute(f"analyze {table}")
    await store.prepare(empty, reading.service, (TABS,))
    found = await empty.fetchval(
        "select n_distinct from pg_stats where schemaname = $1 and tablename = $2 and attname = 'instance'",
        reading.service,
        f"tabs_r{REVISIONS['tabs']}",
    )
    assert found == 7
