"""``theke doctor`` on servers that are there: nothing is wrong, and whatever was made wrong is found."""

from __future__ import annotations

import asyncpg
import nats
import pytest

from libs.bus.subjects import log_stream
from libs.cli.checks.findings import Finding, Severity
from libs.cli.doctor import servers_examined
from libs.runtime.databases import create_database, drop_database, on_database
from libs.runtime.proof import Places
from tests.house import Inn, Theke, item


@pytest.fixture(scope="module")
def places(theke: Theke) -> Places:
    return Places(theke.log_dsn, theke.read_dsn, theke.settings.nats_url)


async def found(theke: Theke, places: Places, *checks: str) -> list[Finding]:
    findings = await servers_examined(theke.settings.postgres_dsn, places)
    return [one for one in findings if one.severity in (Severity.ERROR, Severity.WARNING) and (not checks or one.check in checks)]


async def test_an_installation_that_is_well_is_found_well_and_what_was_done_to_it_is_found(theke: Theke, places: Places, inn: Inn) -> None:
    till = await inn.till()
    await till.sell(item(inn.menu["Pils"]))
    mine = f"pos i{inn.instance}"
    assert [one for one in await found(theke, places) if mine in one.what or one.check in ("postgres", "nats", "clock", "durability")] == []
    looked = {one.check for one in await servers_examined(theke.settings.postgres_dsn, places) if one.severity is Severity.FINE}
    assert looked >= {"postgres", "durability", "clock", "databases", "connections", "nats", "streams", "chain", "copies", "tables"}

    connection = await asyncpg.connect(theke.log_dsn, server_settings={"session_replication_role": "replica", "search_path": "pos"})
    last = "(select max(position) from events where instance = $1)"
    data = await connection.fetchval(f"select data from events where instance = $1 and position = {last}", inn.instance)
    await connection.execute(f"update events set data = '{{}}' where instance = $1 and position = {last}", inn.instance)
    [altered] = await found(theke, places, "chain")
    assert altered.what.startswith(mine)
    assert "was altered" in altered.what
    await connection.execute(f"update events set data = $2 where instance = $1 and position = {last}", inn.instance, data)
    await connection.execute("insert into migrations (name) values ('9999_of_tomorrow.sql')")
    [newer] = await found(theke, places, "version")
    assert "9999_of_tomorrow.sql" in newer.what
    await connection.execute("delete from migrations where name = '9999_of_tomorrow.sql'")
    await connection.close()
    assert await found(theke, places, "chain", "version") == []

    client = await nats.connect(theke.settings.nats_url)
    await client.jetstream().delete_stream(log_stream("pos", inn.instance))
    missing = [one for one in await found(theke, places, "streams") if log_stream("pos", inn.instance) in one.what]
    assert [one.severity for one in missing] == [Severity.WARNING]
    await client.close()


async def test_a_database_of_another_locale_and_a_bus_that_is_away_are_found(theke: Theke, places: Places) -> None:
    connection = await asyncpg.connect(theke.settings.postgres_dsn)
    name = "doctors_latin"
    try:
        await connection.execute(f"create database {name} template template0 encoding 'LATIN1' locale 'C' locale_provider libc")
        elsewhere = Places(theke.log_dsn, on_database(theke.settings.postgres_dsn, name), "nats://127.0.0.1:1")
        findings = await servers_examined(theke.settings.postgres_dsn, elsewhere)
    finally:
        await drop_database(connection, name)
        await connection.close()
    wrong = {one.check: one.what for one in findings if one.severity is Severity.ERROR}
    assert wrong["databases"] == f"{name} has LATIN1, locale C of provider c"
    assert "NATS cannot be reached" in wrong["nats"]
    assert "copies" not in wrong


async def test_an_empty_server_is_no_error(theke: Theke) -> None:
    connection = await asyncpg.connect(theke.settings.postgres_dsn)
    try:
        await create_database(connection, "doctors_empty")
        empty = on_database(theke.settings.postgres_dsn, "doctors_empty")
        findings = await servers_examined(theke.settings.postgres_dsn, Places(empty, empty, ""))
    finally:
        await drop_database(connection, "doctors_empty")
        await connection.close()
    assert [one for one in findings if one.severity is Severity.ERROR] == []
    assert "nobody says where NATS is" in [one.what for one in findings]
