"""The compiler of queries against what they mean: random rows, random queries, real Postgres."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from itertools import count
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.domain.errors import DomainError
from libs.projections import tables
from libs.projections.tables import SEARCH_TIMEOUT_MS, Tables
from libs.records.query.answers import array_pieces
from libs.records.query.compile import Compiled, compile_query, is_count
from libs.records.query.conditions import VALUES_MAX
from libs.records.wanted import fold
from libs.runtime.databases import create_database, drop_database, on_database
from tests.integration.records.things import SCHEMA, SHOP, THINGS, Chance, Meaning, Rows

CASES = int(os.environ.get("THEKE_QUERY_CASES", "2000"))
QUERIES = 25  # of the same data
STOCKED = {
    "things": ("name", "name_order", "price", "count", "since", "maker", "meta", "note", "owneruser", "ownergroup", "extdata", "tags",
               "search_text"),
    "makers": ("name", "size", "ownergroup", "extdata"),
    "parts": ("name", "thing", "maker"),
    "marks": ("name", "thing", "maker"),
}  # fmt: skip
JSON = msgspec.json.Encoder(decimal_format="number")
AS_JSON = ("meta", "extdata", "tags")
QUICK_S = SEARCH_TIMEOUT_MS / 1000 + 3


class Shop:
    def __init__(self, connection: asyncpg.Connection, tables: Tables) -> None:
        self.connection = connection
        self._tables = tables
        self._instances = count(1)

    async def stock(self, things: Sequence[Mapping[str, Any]]) -> int:
        """The instance in which they are."""
        instance = next(self._instances)
        await put(self.connection, instance, {"things": [{"ID": ix, **one} for ix, one in enumerate(things, 1)]})
        return instance

    async def ask(self, instance: int, asked: Mapping[str, Any]) -> Any:
        compiled = compile_query(THINGS, asked, SHOP)
        regexes = [(pattern.path, pattern.text) for pattern in compiled.patterns if pattern.text]
        rows = await self._tables.search(compiled.statement, instance, *compiled.arguments, regexes=regexes, costly=compiled.costly)
        return rows[0][0] if is_count(asked) else [dict(zip(compiled.names, row, strict=True)) for row in rows]

    def export(self, instance: int, asked: Mapping[str, Any]) -> AsyncGenerator[list[Any], None]:
        compiled = compile_query(THINGS, {**asked, "export": True}, SHOP)
        regexes = [(pattern.path, pattern.text) for pattern in compiled.patterns if pattern.text]
        return self._tables.export(compiled.statement, instance, *compiled.arguments, regexes=regexes)

    async def clear(self, instance: int) -> None:
        await self.connection.execute("delete from shop.things_r1 where instance = $1", instance)

    async def refusal(self, asked: Mapping[str, Any], instance: int = 0) -> DomainError:
        with pytest.raises(DomainError) as refused:
            await self.ask(instance, asked)
        return refused.value


@pytest.fixture(scope="module")
async def shop(postgres_dsn: str) -> AsyncIterator[Shop]:
    admin = await asyncpg.connect(postgres_dsn)
    await drop_database(admin, "query_shop")
    await create_database(admin, "query_shop")
    dsn = on_database(postgres_dsn, "query_shop")
    connection = await asyncpg.connect(dsn)
    await connection.execute(SCHEMA)
    reads = Tables(dsn, "shop")
    await reads.open()
    yield Shop(connection, reads)
    await reads.close()
    await connection.close()
    await drop_database(admin, "query_shop")
    await admin.close()


async def put(connection: asyncpg.Connection, instance: int, rows: Rows) -> None:
    for resource, some in rows.items():
        columns = STOCKED[resource]
        values = [(instance, row["ID"], *(_stored(row, column) for column in columns)) for row in some]
        places = ", ".join(f"${ix}" for ix in range(1, len(columns) + 3))
        await connection.executemany(f"insert into shop.{resource}_r1 (instance, id, {', '.join(columns)}) values ({places})", values)


def _stored(row: Mapping[str, Any], column: str) -> Any:
    if column == "search_text":
        return fold(row["name"] or "")
    if column == "name_order":
        return None if row["name"] is None else fold(row["name"])
    value = row.get(column)
    return JSON.encode(value).decode() if column in AS_JSON and value is not None else value


async def found(connection: asyncpg.Connection, compiled: Compiled, *, counts: bool) -> Any:
    """As a client gets it."""
    text = re.sub(r"\{shop\.(\w+)\}", r"shop.\1_r1", compiled.statement.text)
    rows = await connection.fetch(text, 1, *compiled.arguments)
    if counts:
        return rows[0][0]
    return json.loads(b"".join(array_pieces(compiled.cells, rows)), parse_float=Decimal)


@settings(max_examples=max(1, CASES // QUERIES), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(seed=st.integers(0, 2**63))
async def test_queries_find_what_they_mean(shop: Shop, seed: int) -> None:
    """Another house with other rows stands beside each."""
    chance = Chance(seed)
    rows = chance.rows()
    connection = shop.connection
    nothing_stays = connection.transaction()
    await nothing_stays.start()
    try:
        await put(connection, 1, rows)
        await put(connection, 2, chance.rows())
        for _ in range(QUERIES):
            resource, access = chance.choice(sorted(SHOP)), chance.access()
            asked = chance.query(resource)
            expected = Meaning(rows, access).answer(resource, asked)
            compiled = compile_query(SHOP[resource], asked, SHOP, access)
            assert await found(connection, compiled, counts=is_count(asked)) == expected, (resource, access, asked, rows)
    finally:
        await nothing_stays.rollback()


def thing(**values: Any) -> dict[str, Any]:
    return {"name": None, "price": None, "count": None, "since": 0, "maker": None, **values}


async def ids(shop: Shop, instance: int, **asked: Any) -> list[int]:
    return [row["ID"] for row in await shop.ask(instance, {"fields": ["ID"], **asked})]


async def test_null_is_neither_equal_nor_different(shop: Shop) -> None:
    here = await shop.stock([thing(count=1), thing(count=2), thing()])
    assert await ids(shop, here, filters={"count": {"!=": 1}}) == [2]
    assert await ids(shop, here, filters={"count": {"!IN": [1]}}) == [2]
    assert await ids(shop, here, filters={"count": {"!IN": [1, None]}}) == []
    assert await ids(shop, here, filters={"count": {"!IN": []}}) == [1, 2, 3]
    assert await ids(shop, here, filters={"count": {"IN": []}}) == []
    assert await ids(shop, here, filters={"count": None}) == [3]
    assert await ids(shop, here, sort=["count"]) == [1, 2, 3]
    assert await ids(shop, here, sort=["-count"]) == [3, 2, 1]


async def test_rows_and_joined_rows_of_another_instance_are_not_there(shop: Shop) -> None:
    theirs = await shop.stock([thing(name="secret", maker=1)])
    await put(shop.connection, theirs, {"makers": [{"ID": 1, "name": "secret", "size": 1, "ownergroup": None}]})
    here = await shop.stock([thing(name="own", maker=1)])
    wide = {"1": ["OR", {"name": "secret"}, {"maker.name": "secret"}, {"ID": {"!=": 0}}]}
    assert await shop.ask(here, {"fields": ["name", "maker.name"], "filters": wide}) == [{"name": "own", "maker.name": None}]
    assert await shop.ask(theirs, {"filters": {"maker.name": "secret"}, "count": True}) == 1


async def test_a_pattern_that_never_ends_is_refused_and_nobody_waits_for_it(shop: Shop) -> None:
    here = await shop.stock([thing(name="a" * 1_001, count=ix) for ix in range(50)])
    endless = {"filters": {"name": {"~": r"^(a*)(a*)(a*)(a*)\1\2\3\4$"}}}
    began = time.monotonic()
    asking = asyncio.gather(*(shop.refusal(endless, here) for _ in range(2)))
    await asyncio.sleep(0.2)
    assert await ids(shop, here, filters={"count": 7}) == [8]
    served = time.monotonic() - began
    refusals = await asking
    assert served < SEARCH_TIMEOUT_MS / 1000
    assert time.monotonic() - began < QUICK_S
    assert {refusal.reason for refusal in refusals} == {"query_too_costly"}


async def test_a_bad_pattern_is_named_though_no_row_is_looked_at(shop: Shop) -> None:
    empty = await shop.stock([])
    for pattern in ("(a", "a{2,1}", "[", "*"):
        refusal = await shop.refusal({"filters": {"count": 1, "name": {"~": pattern}}}, empty)
        assert [(field.path, field.reason) for field in refusal.fields] == [("name", "bad_pattern")]
    huge = await shop.refusal({"filters": {"name": {"~": "(((a{1,200}){1,200}){1,200}){1,200}"}}}, empty)
    assert huge.reason in ("invalid_fields", "query_too_costly")


async def test_the_longest_list_that_is_taken_is_answered(shop: Shop) -> None:
    here = await shop.stock([thing(count=1)])
    assert await ids(shop, here, filters={"count": {"IN": list(range(VALUES_MAX))}}) == [1]


# --- exports ------------------------------------------------------------------------------------------------------------------


async def exported(shop: Shop, instance: int, **asked: Any) -> list[list[str]]:
    found = shop.export(instance, {"fields": ["ID"], **asked})
    async with aclosing(found) as pieces:
        return [[row[0] for row in rows] async for rows in pieces]


async def test_an_export_shows_one_moment_however_slowly_it_is_taken(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "EXPORT_PIECE_ROWS", 20)
    here = await shop.stock([thing(name=str(ix)) for ix in range(50)])
    async with aclosing(shop.export(here, {"fields": ["ID", "name"], "sort": ["-ID"]})) as pieces:
        taken = [tuple(row) for row in await anext(pieces)]
        await shop.clear(here)
        assert await shop.ask(here, {"count": True}) == 0
        async for rows in pieces:
            taken += [tuple(row) for row in rows]
    assert taken == [(str(ix), str(ix - 1)) for ix in range(50, 0, -1)]


async def test_few_exports_run_at_once_and_one_that_is_left_makes_room(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "EXPORT_PIECE_ROWS", 1)
    monkeypatch.setattr(tables, "SUMMARY_WAITS_MAX_S", 0.1)
    here = await shop.stock([thing(), thing()])
    running = [shop.export(here, {"fields": ["ID"]}) for _ in range(tables.EXPORTS_AT_ONCE_MAX)]
    for export in running:
        await anext(export)
    with pytest.raises(DomainError) as refused:
        await exported(shop, here)
    assert (refused.value.reason, refused.value.retry_after_s) == ("overloaded", 1.0)
    assert await shop.ask(here, {"count": True}) == 2
    for export in running:
        await export.aclose()
    assert await exported(shop, here) == [["1"], ["2"]]


async def test_an_export_has_its_time(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "EXPORT_PIECE_ROWS", 1)
    monkeypatch.setattr(tables, "EXPORT_WITHIN_S", 0.0)
    here = await shop.stock([thing(), thing()])
    with pytest.raises(DomainError) as refused:
        await exported(shop, here)
    assert refused.value.reason == "timeout"


async def test_an_export_is_refused_as_a_list_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    here = await shop.stock([thing(name="a" * 1_001)])
    for pattern, reason in (("(", "invalid_fields"), (r"^(a*)(a*)(a*)(a*)\1\2\3\4$", "query_too_costly")):
        monkeypatch.setattr(tables, "EXPORT_STEP_TIMEOUT_MS", 300)
        with pytest.raises(DomainError) as refused:
            await exported(shop, here, filters={"name": {"~": pattern}})
        assert refused.value.reason == reason
