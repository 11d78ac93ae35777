"""Proof that nothing was lost: what holds is found to hold while tills sell, and whatever somebody did by force is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from libs.cli import verify as module
from libs.cli.places import Unknown
from libs.cli.verify import anchors_of, render, verify
from libs.eventstore.audit import Anchor, Finding
from libs.eventstore.chain import digest, leaf
from libs.runtime.config import SERVICES
from libs.runtime.proof import Places
from tests.history import receipts_table
from tests.house import Inn, Theke, Till, cash, item

LOG = ("events", "commits", "commands", "streams", "series", "claims")


@pytest.fixture(scope="module")
def places(theke: Theke) -> Places:
    return Places(theke.log_dsn, theke.read_dsn, theke.settings.nats_url)


@pytest.fixture(scope="module")
async def sold(shared_inn: Inn, till: Till) -> Inn:
    """An inn where some things happened: tables taken and left, sales, a refund, names taken and given up."""
    for number in (1, 2):
        await till.order(shared_inn.tables[number], item(shared_inn.menu["Schnitzel"], 2), item(shared_inn.menu["Cola"]))
    await till.pay(shared_inn.tables[1], cash("50.00"))
    for _ in range(3):
        await till.sell(item(shared_inn.menu["Pils"]))
    ada = (await till.post("staff", {"username": "ada", "password": "a long enough password", "roles": ["Waiter"], "lastName": "Ada"})).data
    assert (await till.put(f"staff/{ada['id']}", {"username": "berta"})).status == 200
    return shared_inn


async def findings(places: Places, inn: Inn, service: str = "pos") -> list[Finding]:
    return (await verify(places, [service], inn.instance)).logs[0].findings


async def test_everything_holds_while_tills_sell(places: Places, sold: Inn, till: Till) -> None:
    selling = asyncio.create_task(_sell(till, sold, 30))
    verified = await verify(places, SERVICES, sold.instance)
    await selling
    assert [one.findings for one in verified.logs] == [[]] * len(verified.logs)
    assert verified.holds
    by_service = {one.service: one for one in verified.logs}
    assert {"auth", "inventory", "pos"} <= by_service.keys()
    pos = by_service["pos"]
    assert pos.copied == (1, pos.head)
    assert pos.tables["receipts"] >= 4
    assert pos.left_out == [] or all("not in its tables yet" in what for what in pos.left_out)
    assert "Nothing was lost" in render(verified)


async def _sell(till: Till, inn: Inn, times: int) -> None:
    for _ in range(times):
        await till.sell(item(inn.menu["Pils"]))


@asynccontextmanager
async def by_force(theke: Theke, service: str, instance: int) -> AsyncIterator[asyncpg.Connection]:
    """A connection that no guard stops; the log is put back afterwards."""
    connection = await asyncpg.connect(theke.log_dsn, server_settings={"search_path": service})
    try:
        await connection.execute("set session_replication_role = replica")
        kept = {table: await connection.fetch(f"select * from {table} where instance = $1", instance) for table in LOG}
        try:
            yield connection
        finally:
            for table, rows in kept.items():
                await connection.execute(f"delete from {table} where instance = $1", instance)
                if rows:
                    await connection.copy_records_to_table(table, records=[tuple(row) for row in rows], columns=list(rows[0].keys()))
    finally:
        await connection.close()


FORCED = {
    "a price changed": ("update events set data = convert_to(replace(convert_from(data, 'utf8'), '3580', '358'), 'utf8') "
                        "where instance = $1 and type = 'tab.order_placed'", "chain", None, "(tab.order_placed) was altered"),
    "a row taken out": ("delete from events where instance = $1 and position = 5", "chain", 5, "row 5 is missing"),
    "the tail cut off": ("delete from events where instance = $1 and position > 8", "chain", 9, "row 9 is missing"),
    "a commit taken out": ("delete from commits where instance = $1 and first_position = 3", "chain", 3, "row 3 has no commit"),
    "a row put in": ("insert into events select instance, 1000000, stream, version + 1000, gen_random_uuid(), type, schema_version, null, "
                     "null, data, meta, at, leaf from events where instance = $1 and position = 4", "chain", None,
                     "stands behind the last commit"),
    "a number taken out": ("update events set number = number + 1000 where instance = $1 and series like 'receipt%' and number = 2",
                           "runs", None, "2 is missing"),
    "a version noted wrong": ("update streams set version = version + 1 where instance = $1 and stream like 'receipt-%'",
                              "runs", None, "versions of receipt-"),
    "a claim without an event": ("insert into claims values ($1, 'table.number', '4711', 'table-x')", "claims", None,
                                 "table.number:4711 is taken by table-x, but no event took it"),
    "a claim let go": ("delete from claims where instance = $1 and value = '2'", "claims", None, "table.number:2 was taken by"),
    "a claim given to another": ("update claims set stream = 'table-x' where instance = $1 and value = '3'", "claims", None,
                                 "is taken by table-x, the events say table-"),
    "a command of another event": ("update commands set id = gen_random_uuid() where instance = $1 and first_position = 6",
                                   "commands", 6, "but stands under"),
    "a command forgotten too early": ("delete from commands where instance = $1 and first_position = 6",
                                      "commands", 6, "is not remembered"),
}  # fmt: skip


@pytest.mark.parametrize(("statement", "check", "position", "what"), FORCED.values(), ids=list(FORCED))
async def test_what_was_done_to_a_log_by_force_is_named(
    theke: Theke, places: Places, sold: Inn, statement: str, check: str, position: int | None, what: str
) -> None:
    async with by_force(theke, "pos", sold.instance) as connection:
        assert not (await connection.execute(statement, sold.instance)).endswith(" 0"), "the statement changed something"
        found = await findings(places, sold)
    mine = [finding for finding in found if finding.check == check]
    assert mine, found
    assert what in mine[0].what
    assert position is None or mine[0].position == position


async def test_whoever_computes_the_whole_chain_anew_is_betrayed_by_the_copy_and_by_a_kept_digest(
    theke: Theke, places: Places, sold: Inn, tmp_path: Path
) -> None:
    kept = tmp_path / "verified.json"
    before = await verify(places, ["pos"], sold.instance)
    kept.write_bytes(msgspec.json.encode(before))
    assert (await verify(places, ["pos"], sold.instance, anchors=anchors_of(kept))).holds
    async with by_force(theke, "pos", sold.instance) as connection:
        await connection.execute(
            "update events set data = convert_to(replace(convert_from(data, 'utf8'), '3580', '3380'), 'utf8') where instance = $1",
            sold.instance,
        )
        await _seal_anew(connection, sold.instance)
        found = await findings(places, sold)
        assert [finding for finding in found if finding.check == "chain"] == []
        assert "3380" in next(finding.what for finding in found if finding.check == "copy")
        alone = Places(places.log_dsn, places.read_dsn, "")
        anchored = await verify(alone, ["pos"], sold.instance, anchors=anchors_of(kept))
        assert "another log than the one whose digest was kept" in anchored.logs[0].findings[0].what
    kept.write_text("[]")
    with pytest.raises(Unknown, match="is not what"):
        anchors_of(kept)


async def _seal_anew(connection: asyncpg.Connection, instance: int) -> None:
    """What somebody who owns the database can do."""
    for row in await connection.fetch("select * from events where instance = $1", instance):
        await connection.execute("update events set leaf = $3 where instance = $1 and position = $2", instance, row["position"], leaf(row))
    before = b""
    for commit in await connection.fetch("select * from commits where instance = $1 order by last_position", instance):
        sealed = "select leaf from events where instance = $1 and position between $2 and $3 order by position"
        rows = await connection.fetch(sealed, instance, commit["first_position"], commit["last_position"])
        before = digest(before, [row["leaf"] for row in rows])
        statement = "update commits set digest = $3 where instance = $1 and last_position = $2"
        await connection.execute(statement, instance, commit["last_position"], before)


async def test_a_log_that_is_gone_is_missed_by_its_anchor(places: Places, sold: Inn) -> None:
    anchor = Anchor("pos", 9_999, 12, "00")
    verified = await verify(places, ["pos"], 9_999, anchors=[anchor])
    assert "no commit ends at row 12" in verified.logs[0].findings[0].what


TABLES = {
    "a figure changed": ("update {receipts} set gross = gross + 1 where instance = $1 and number = 2", "gross is 421, the events say 420"),
    "a row taken out": ("delete from {receipts} where instance = $1 and number = 2", "the events make this row, it is not there"),
    "a row put in": ("insert into {receipts} (instance, key) values ($1, 'bon_x')", "the row is there, no event made it"),
    "json changed": ("update {receipts} set document = document || '{\"gross\": 1}' where instance = $1 and number = 2", "document is"),
}


@pytest.mark.parametrize(("statement", "what"), TABLES.values(), ids=list(TABLES))
async def test_a_query_table_that_is_not_what_the_log_says_is_named_with_its_row(
    theke: Theke, places: Places, sold: Inn, statement: str, what: str
) -> None:
    connection = await asyncpg.connect(theke.read_dsn)
    name = f"pos.{await receipts_table(connection)}"
    kept = await connection.fetch(f"select * from {name} where instance = $1", sold.instance)
    try:
        await connection.execute(statement.replace("{receipts}", name), sold.instance)
        found = await findings(places, sold)
    finally:
        await connection.execute(f"delete from {name} where instance = $1", sold.instance)
        await connection.copy_records_to_table(
            name.split(".")[1], schema_name="pos", records=[tuple(row) for row in kept], columns=list(kept[0].keys())
        )
        await connection.close()
    assert [finding.check for finding in found] == ["tables"]
    assert what in found[0].what
    assert await findings(places, sold) == []


async def test_tables_of_another_revision_and_a_bus_that_is_not_there_are_said_to_be_left_out(
    theke: Theke, places: Places, sold: Inn
) -> None:
    connection = await asyncpg.connect(theke.read_dsn)
    try:
        await connection.execute("update theke.revisions set active = active + 1 where service = 'pos' and projection = 'receipts'")
        verified = await verify(Places(places.log_dsn, places.read_dsn, ""), ["pos"], sold.instance)
    finally:
        await connection.execute("update theke.revisions set active = active - 1 where service = 'pos' and projection = 'receipts'")
        await connection.close()
    assert verified.holds
    [log] = verified.logs
    assert log.copied is None
    assert "receipts" not in log.tables
    assert log.left_out[0] == "copy: no NATS"
    assert "is served, this version makes revision" in log.left_out[1]


async def test_tables_are_folded_for_a_sample_that_its_seed_repeats(
    theke: Theke, places: Places, sold: Inn, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [sold.instance, *[(await theke.inn()).instance for _ in range(4)]]

    async def instances_of(*_: Any) -> list[int]:
        return few  # the house has as many as there were tests before

    monkeypatch.setattr(module, "instances_of", instances_of)

    async def sampled(**how: Any) -> list[int]:
        return [one.instance for one in (await verify(places, ["inventory"], **how)).logs if one.tables]

    first = await sampled(seed=7)
    assert len(first) == 3
    assert await sampled(seed=7) == first
    assert set(await sampled(full=True)) == set(few)
