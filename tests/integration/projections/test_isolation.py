"""No statement of any service shows one instance what belongs to another, nor does a look-up for facts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from libs.contracts.resources import RESOURCES
from libs.domain.errors import DomainError, Kind
from libs.projections import store
from libs.projections import tables as module
from libs.projections.tables import PAGE_ROWS, SUMMARIES_AT_ONCE_MAX, Statement, Tables, registered
from libs.runtime.erp import DANGLING
from libs.runtime.service import Service
from services.auth.service import ERP as AUTH_ERP
from services.auth.service import SERVICE as AUTH
from services.billing.records import ERP as BILLING_ERP
from services.billing.service import SERVICE as BILLING
from services.crm.files import UNNAMED
from services.crm.records import ERP as CRM_ERP
from services.crm.service import SERVICE as CRM
from services.inventory.erp import ERP as INVENTORY_ERP
from services.inventory.service import SERVICE as INVENTORY
from services.pos.service import SERVICE as POS
from tests.conftest import Databases

TILL = (AUTH, INVENTORY, POS)
SERVICES = (*TILL, CRM, BILLING)
OWN, FOREIGN, EMPTY = 1, 2, 3
MOMENT = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
SAMPLES: dict[str, Any] = {
    "text": "x", "int": 7, "bigint": 7, "numeric": Decimal(7), "boolean": True, "date": date(2026, 3, 5), "timestamptz": MOMENT,
    "jsonb": '["x"]',
}  # fmt: skip
# columns that a statement looks into
DOCUMENTS: dict[str, str] = {
    "document": '{"lines": [{"article": "x", "group": "x", "name": "x", "quantity": "7", "total": 7}], "taxes": [{"rate": "7"}]}',
    "takings": '[{"type": 7, "amount": 7}]',
}
# what a parameter may be so that a row of samples is found
PARAMETERS: dict[str, list[Any]] = {
    "text": ["x", ""],
    "text[]": [["x"], []],
    "int4": [7, 6],
    "int8": [7, 6],
    "int4[]": [[7]],
    "int8[]": [[7]],
    "varchar": ["Europe/Berlin"],  # a zone
    "numeric": [Decimal(7)],
    "bool": [True, False],
    "date": [date(2026, 3, 5)],
    "timestamptz": [MOMENT, MOMENT - timedelta(1)],
}


Filled = tuple[asyncpg.Connection, Tables]


@asynccontextmanager
async def filled_tables(databases: Databases, services: Sequence[Service]) -> AsyncIterator[Filled]:
    """Every query table of the services with one and the same row for two instances; a third one has none."""
    connection = await asyncpg.connect(databases.read)
    for service in services:
        await store.prepare(connection, service.name, service.projections)
        for projection in service.projections:
            await store.activate(connection, service.name, projection)
            for table in projection.tables:
                values = [DOCUMENTS.get(column) or SAMPLES[type_] for column, type_ in table.columns.items()]
                places = ", ".join(f"${number}" for number in range(2, len(values) + 2))
                name = f"{service.name}.{table.name}_r{projection.revision}"
                insert = f"insert into {name} (instance, {', '.join(table.columns)}) values ($1, {places})"
                for instance in (OWN, FOREIGN):
                    await connection.execute(insert, instance, *values)
    tables = Tables(databases.read, "test")
    await tables.open()
    yield connection, tables
    await tables.close()
    await connection.close()


@pytest.fixture
async def filled(databases: Databases) -> AsyncIterator[Filled]:
    async with filled_tables(databases, TILL) as found:
        yield found


@pytest.fixture
async def filled_whole(databases: Databases) -> AsyncIterator[Filled]:
    async with filled_tables(databases, SERVICES) as found:
        yield found


def declared() -> set[tuple[str, str]]:
    return {(service.name, table.name) for service in SERVICES for projection in service.projections for table in projection.tables}


async def test_every_statement_shows_an_instance_its_own_rows_only(filled_whole: Filled) -> None:
    connection, tables = filled_whole
    sweeps = {statement for found in DANGLING.values() for _, statement, _ in found}  # they find what is not there: see below
    sweeps |= set(UNNAMED.values())
    statements = [statement for statement in registered() if set(statement.tables) <= declared() and statement not in sweeps]
    assert len(statements) >= 20, "the services' statements are registered by importing them"
    for statement in statements:
        text = await tables._resolve(connection, statement.text, statement.tables)
        prepared = await connection.prepare(text)
        columns = {attribute.name for attribute in prepared.get_attributes()}
        choices = [PARAMETERS[parameter.name] for parameter in prepared.get_parameters()[1:]]
        shown = False
        for arguments in product(*choices):
            shown = shown or len(await tables.fetch(statement, OWN, *arguments)) == 1
            assert len(await tables.fetch(statement, OWN, *arguments)) <= 1, f"rows of two instances: {statement.text}"
            assert await tables.fetch(statement, EMPTY, *arguments) == [], statement.text
        assert shown, f"nothing was shown at all: {statement.text} {columns}"


async def test_a_reference_to_what_only_another_instance_has_is_one_to_nothing(filled_whole: Filled) -> None:
    """Every sweep finds it, names it, and finds nothing in the row of the other instance, whose reference is good."""
    connection, tables = filled_whole
    for resource, statement, named in (one for found in DANGLING.values() for one in found):
        column = re.findall(r"distinct t\.(\w+) as gone", statement.text)[0]
        by = re.findall(r"and t\.(\w+) = \$2", statement.text)
        own, target = [await tables._resolve(connection, f"{{{service}.{name}}}", [(service, name)]) for service, name in statement.tables]
        undo = connection.transaction()
        await undo.start()
        changes = "".join(f", {name} = '{resource}'" for name in by)
        await connection.execute(f"update {own} set {column} = 8{changes}")
        await connection.execute(f"update {target} set id = 8 where instance = {FOREIGN}")
        text = await tables._resolve(connection, statement.text, statement.tables)
        assert [row["gone"] for row in await connection.fetch(text, OWN, *named)] == [8], statement.text
        assert [row["gone"] for row in await connection.fetch(text, FOREIGN, *named)] == [], statement.text
        assert [row["gone"] for row in await connection.fetch(text, EMPTY, *named)] == [], statement.text
        await undo.rollback()


async def test_a_file_that_only_another_instance_names_is_named_by_nobody(filled_whole: Filled) -> None:
    connection, tables = filled_whole
    for resource, statement in UNNAMED.items():
        undo = connection.transaction()
        await undo.start()
        files, naming = [
            await tables._resolve(connection, f"{{{service}.{name}}}", [(service, name)]) for service, name in statement.tables
        ]
        await connection.execute(f"update {files} set named_by = '{resource}'")
        columns = re.findall(r"n\.(\w+) = b\.id", statement.text)
        await connection.execute(f"update {naming} set {', '.join(f'{column} = 8' for column in columns)} where instance = {OWN}")
        text = await tables._resolve(connection, statement.text, statement.tables)
        assert [row["id"] for row in await connection.fetch(text, OWN, 8, resource)] == [7], statement.text
        for instance, before, of in ((OWN, 7, resource), (OWN, 8, "x"), (FOREIGN, 8, resource), (EMPTY, 8, resource)):
            assert await connection.fetch(text, instance, before, of) == [], statement.text
        await undo.rollback()


async def test_what_a_delete_takes_along_is_of_its_instance(filled_whole: Filled) -> None:
    """Every column that may refer to a resource is asked, all of them at once."""
    connection, tables = filled_whole
    asked = 0
    for family in (AUTH_ERP.family, BILLING_ERP.family, CRM_ERP.family, INVENTORY_ERP.family):
        for resource in RESOURCES:
            fields, columns = family.referrers(resource)
            for table, column, _ in columns:
                name = await tables._resolve(connection, f"{{{table}}}", [(table.split(".")[0], table.split(".")[1])])
                await connection.execute(f"update {name} set {column} = 8 where instance = {FOREIGN}")
            assert len(columns) == len(fields)
            assert await tables.referrers(columns, OWN, [7, 9], 10, named="x") == [[7] for _ in columns], resource
            assert await tables.referrers(columns, OWN, [8], 10, named="x") == [[] for _ in columns], resource
            assert await tables.referrers(columns, FOREIGN, [8], 10, named="x") == [[7] for _ in columns], resource
            assert await tables.referrers(columns, EMPTY, [7], 10, named="x") == [[] for _ in columns], resource
            asked += len(columns)
    assert asked > 190, "columns with a reference"


async def test_lookups_for_facts_stay_in_their_instance_also_when_asked_together(filled: Any) -> None:
    _, tables = filled
    asked = [tables.rows("pos.tables", instance, ["x", "y"], ("key", "number")) for instance in (OWN, EMPTY, FOREIGN, OWN)]
    found = await asyncio.gather(*asked)
    assert [{key: len(rows) for key, rows in answer.items()} for answer in found] == [{"x": 1}, {}, {"x": 1}, {"x": 1}]
    by_class = await tables.rows("inventory.tax_rates", OWN, ["7", "8"], ("rate",), "tax_class")
    assert {key: [row["rate"] for row in rows] for key, rows in by_class.items()} == {"7": [Decimal(7)]}
    assert await tables.referenced("inventory.articles", "group_key", OWN, "x")
    assert not await tables.referenced("inventory.articles", "group_key", EMPTY, "x")


async def test_a_key_that_no_row_can_hold_spoils_nobody_elses_lookup(filled: Any) -> None:
    _, tables = filled
    bad = tables.rows("pos.tables", OWN, ["x\x00", "x"], ("key",))
    good = tables.rows("pos.tables", OWN, ["x"], ("key",))
    assert [list(answer) for answer in await asyncio.gather(bad, good)] == [["x"], ["x"]]
    statement = Statement("select t.key from {pos.tables} t where t.instance = $1 and t.key = $2")
    assert await tables.fetch(statement, OWN, "x\x00") == []
    assert not await tables.referenced("inventory.articles", "group_key", OWN, "x\x00")


async def test_tables_nobody_has_made_yet_are_unavailable_not_empty(filled: Any) -> None:
    _, tables = filled
    with pytest.raises(DomainError) as refused:
        await tables.fetch(Statement("select t.key from {crm.customers} t where t.instance = $1"), OWN)
    assert (refused.value.kind, refused.value.reason) == (Kind.UNAVAILABLE, "tables_not_ready")
    with pytest.raises(DomainError, match="tables_not_ready"):
        await tables.rows("crm.customers", OWN, ["x"], ("key",))


async def test_summaries_leave_connections_for_short_reads(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUMMARY_WAITS_MAX_S", 0.05)
    _, tables = filled
    statement = Statement("select t.key from {pos.tables} t where t.instance = $1")
    long = Statement("select t.key, pg_sleep(60)::text from {pos.tables} t where t.instance = $1")
    summing = [asyncio.ensure_future(tables.summarise(long, OWN)) for _ in range(SUMMARIES_AT_ONCE_MAX)]
    await asyncio.sleep(0)  # both have their turn
    with pytest.raises(DomainError) as refused:
        await tables.summarise(statement, OWN)
    assert (refused.value.kind, refused.value.reason) == (Kind.UNAVAILABLE, "overloaded")
    assert len(await tables.fetch(statement, OWN)) == 1
    for one in summing:
        one.cancel()
    await asyncio.gather(*summing, return_exceptions=True)
    assert len(await tables.summarise(statement, OWN)) == 1


async def test_a_long_list_comes_in_pieces_and_keeps_nobody_waiting(filled: Any) -> None:
    connection, tables = filled
    count = PAGE_ROWS * 2 + 3
    groups = await tables._resolve(connection, "{pos.table_groups}", [("pos", "table_groups")])  # whichever revision is active
    insert = f"insert into {groups} (instance, key, id, name) select 9, 'g' || n, n, 'n' from generate_series($1::int, $2::int) n"
    await connection.execute(insert, 1, count)
    statement = Statement("select g.id from {pos.table_groups} g where g.instance = $1 and g.id > $2 order by g.id limit $3")
    seen = [row["id"] async for rows in tables.stream(statement, 9, by="id") for row in rows]
    assert seen == list(range(1, count + 1))
    slow = [tables.stream(statement, 9, by="id") for _ in range(10)]  # more than the pool has connections, and none goes on
    for pieces in slow:
        assert len(await anext(pieces)) == PAGE_ROWS
    assert len(await tables.fetch(statement, 9, 0, count)) == count
    for pieces in slow:
        await pieces.aclose()
    assert [rows async for rows in tables.stream(statement, EMPTY + 1, by="id")] == []


@pytest.mark.parametrize("rows", [PAGE_ROWS - 1, PAGE_ROWS, PAGE_ROWS + 1])
async def test_a_list_at_the_edge_of_a_piece_is_whole(filled: Any, rows: int) -> None:
    connection, tables = filled
    groups = await tables._resolve(connection, "{pos.table_groups}", [("pos", "table_groups")])  # whichever revision is active
    insert = f"insert into {groups} (instance, key, id, name) select 9, 'g' || n, n, 'n' from generate_series(1, $1::int) n"
    await connection.execute(insert, rows)
    statement = Statement("select g.id from {pos.table_groups} g where g.instance = $1 and g.id > $2 order by g.id limit $3")
    assert sum([len(piece) async for piece in tables.stream(statement, 9, by="id")]) == rows


async def test_readers_cannot_write(filled: Any) -> None:
    _, tables = filled
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with tables.lent() as reader:
            await reader.execute("insert into theke.revisions values ('a', $1, 1, '{}')", uuid4().hex)


async def test_a_read_database_that_went_away_is_unavailable_and_comes_back(filled: Any) -> None:
    connection, tables = filled
    statement = Statement("select t.key from {pos.tables} t where t.instance = $1")
    await tables.fetch(statement, OWN)
    await connection.execute("select pg_terminate_backend(pid, 2000) from pg_stat_activity where application_name = 'theke test reads'")
    outcomes = await asyncio.gather(*(tables.fetch(statement, OWN) for _ in range(8)), return_exceptions=True)
    assert all(isinstance(outcome, list) or (isinstance(outcome, DomainError) and outcome.kind is Kind.UNAVAILABLE) for outcome in outcomes)
    assert len(await tables.fetch(statement, OWN)) == 1
