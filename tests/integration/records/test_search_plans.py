"""Parts of texts are found by index, also by statements whose plans know nothing of what is looked for."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncpg
import pytest

from libs.contracts.resources import RESOURCES
from libs.projections import store
from libs.projections.tables import Tables
from libs.records.query.compile import compile_query
from libs.records.query.conditions import LATIN_1
from libs.records.wanted import fold
from libs.runtime.databases import create_database, drop_database, on_database
from services.crm.service import SERVICE as CRM

CUSTOMERS = next(projection for projection in CRM.projections if projection.name == "customers")
ACCOUNTS, CONTACTS = (f"{name}_r{CUSTOMERS.revision}" for name in ("accounts", "contacts"))
ROWS = 10_000  # in each of two houses
FILL = f"""
insert into crm.{ACCOUNTS} (instance, id, lastname, customernum, contact, type, search_text)
select h, n, 'Firma ' || md5(n::text), 'K-' || n, n, 1, 'firma ' || md5(n::text) || E'\\nk-' || n
from generate_series(1, 2) h, generate_series(1, {ROWS}) n;
insert into crm.{CONTACTS} (instance, id, lastname, search_text)
select h, n, 'Mensch ' || md5(n::text), 'mensch ' || md5(n::text) from generate_series(1, 2) h, generate_series(1, {ROWS}) n;
vacuum analyze;
"""
SEVENTH = "8f14e45fceea167a5a36dedd4bea2543"  # md5 of 7


class Reads:
    def __init__(self, connection: asyncpg.Connection, tables: Tables) -> None:
        self.connection = connection
        self.tables = tables

    async def ids(self, asked: Mapping[str, Any]) -> list[int]:
        compiled = compile_query(RESOURCES["accounts"], {"fields": ["ID"], **asked}, RESOURCES)
        return [row[0] for row in await self.tables.search(compiled.statement, 1, *compiled.arguments)]

    async def indexes(self, asked: Mapping[str, Any]) -> tuple[set[str], set[str]]:
        """Those of a plan for these values, and of a plan for any."""
        compiled = compile_query(RESOURCES["accounts"], {"fields": ["ID"], **asked}, RESOURCES)
        text = await self.tables._resolve(self.connection, compiled.statement.text, compiled.statement.tables)
        any_ = await self.connection.fetchval(f"explain (format json, generic_plan) {text}", 1, *compiled.arguments)
        these = await self.connection.fetchval(f"explain (format json) {text}", 1, *compiled.arguments)
        return _indexes(these), _indexes(any_)


def _indexes(plan: str) -> set[str]:
    def of(node: Mapping[str, Any]) -> set[str]:
        own = {node["Index Name"]} if "Index Name" in node else set()
        return own.union(*(of(child) for child in node.get("Plans", ())))

    return of(json.loads(plan)[0]["Plan"])


@pytest.fixture(scope="module")
async def reads(postgres_dsn: str) -> AsyncIterator[Reads]:
    admin = await asyncpg.connect(postgres_dsn)
    await drop_database(admin, "search_plans")
    await create_database(admin, "search_plans")
    dsn = on_database(postgres_dsn, "search_plans")
    connection = await asyncpg.connect(dsn)
    await store.prepare(connection, "crm", [CUSTOMERS])
    await store.activate(connection, "crm", CUSTOMERS)
    for statement in FILL.strip().split(";")[:-1]:
        await connection.execute(statement)
    tables = Tables(dsn, "crm")
    await tables.open()
    yield Reads(connection, tables)
    await tables.close()
    await connection.close()
    await drop_database(admin, "search_plans")
    await admin.close()


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"query": f"firma {SEVENTH[:8]}"}, ACCOUNTS),
        ({"filters": {"lastname": {"~~*": f"%{SEVENTH[8:20].upper()}%"}}}, ACCOUNTS),
        ({"filters": {"lastname": {"~~": f"Firma {SEVENTH}"}}}, ACCOUNTS),
        ({"filters": {"lastname": f"Firma {SEVENTH}"}}, ACCOUNTS),
        ({"filters": {"type": 1, "1": ["AND", {"lastname": {"~~": f"%{SEVENTH}"}}, {"ID": {"!=": 0}}]}}, ACCOUNTS),
        ({"filters": {"contact.lastname": {"~~*": f"%{SEVENTH[5:]}"}}}, CONTACTS),
    ],
    ids=["query", "ilike", "like", "equal", "group", "joined"],
)  # fmt: skip
async def test_parts_of_texts_are_found_by_index(reads: Reads, asked: Mapping[str, Any], index: str) -> None:
    these, any_ = await reads.indexes(asked)
    assert f"{index}_search_text" in these
    assert f"{index}_search_text" in any_
    assert await reads.ids(asked) == [7]


async def test_an_index_narrows_nothing_that_is_negated(reads: Reads) -> None:
    never = ["NOT", {"lastname": {"~~*": f"%{SEVENTH}%"}}]
    assert len(await reads.ids({"filters": never})) == 1_000
    assert await reads.ids({"filters": ["AND", never, {"ID": {"IN": [6, 7, 8]}}]}) == [6, 8]


async def test_what_postgres_takes_for_the_same_letter_is_folded_to_the_same(reads: Reads) -> None:
    rows = await reads.connection.fetch(
        "select chr(n) as letter, lower(chr(n)) as lower from generate_series(1, $1::int) n where n not between 55296 and 57343 "
        "and lower(chr(n)) <= $2",
        sys.maxunicode, LATIN_1,
    )  # fmt: skip
    assert len(rows) > 256
    assert [row["letter"] for row in rows if fold(row["letter"]) != fold(row["lower"])] == []
