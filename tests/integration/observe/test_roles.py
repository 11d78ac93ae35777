"""Every service connects to Postgres as a role of its own, which may do what the service does and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest

from libs.eventstore.statements import migrations
from libs.projections import rebuild, store
from libs.records.engine import Create
from libs.runtime.config import GATEWAY, SERVICES
from libs.runtime.databases import create_database, drop_database, ensure_databases, on_database
from libs.runtime.roles import LOG_TABLES, Roles, RolesRefused, verifier
from services.inventory.service import SERVICE as INVENTORY
from services.pos.service import SERVICE as POS
from tests.conftest import Databases
from tests.integration.services import running

PREFIX = "theke"
NAMES = ("roles_log", "roles_read")
DENIED = asyncpg.InsufficientPrivilegeError
OPERATOR = "an operator's password: %/@"


RATE = {"name": "voll", "tax_class": 0, "rate": "19", "valid_from": "2020-01-01"}


class Server:
    """Two databases with their logs and query tables, as the owner left them for the services."""

    def __init__(self, owner: str, roles: Roles) -> None:
        self.owner = owner
        self.roles = roles

    def log(self, who: str) -> str:
        return self.roles.dsn(who, on_database(self.owner, NAMES[0]))

    def read(self, who: str) -> str:
        return self.roles.dsn(who, on_database(self.owner, NAMES[1]))

    async def attempt(self, dsn: str, statement: str) -> None:
        """Runs it, and takes it back."""
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():
                await connection.execute(statement)
                raise Undone
        except Undone:
            return
        finally:
            await connection.close()


class Undone(Exception):
    pass


async def _clear(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    for name in NAMES:
        await drop_database(connection, name)
    await connection.close()


@pytest.fixture(scope="module")
async def server(postgres_dsn: str) -> AsyncIterator[Server]:
    """Made by a superuser, as the embedded server has it; pos and inventory have run on it with their own roles."""
    await _clear(postgres_dsn)
    assert await ensure_databases(postgres_dsn, names=NAMES) == ""
    one = Server(postgres_dsn, Roles(postgres_dsn))
    for service in (INVENTORY, POS):
        bare = type(service)(service.name, service.commands, service.projections, service.queries)
        async with running(bare, Databases(one.log(service.name), one.read(service.name))) as started:
            if service is INVENTORY:
                await started.command("tax_rate.create", Create(values=dict(RATE)))
    yield one
    await _clear(postgres_dsn)


def test_the_roles_are_those_of_the_services_and_of_the_gateway(server: Server) -> None:
    assert {urlsplit(server.log(who)).username for who in (*SERVICES, GATEWAY)} == {f"theke_{who}" for who in (*SERVICES, GATEWAY)}
    assert len({server.roles.password(who) for who in (*SERVICES, GATEWAY)}) == len(SERVICES) + 1


@pytest.mark.parametrize("who", [*SERVICES, GATEWAY])
@pytest.mark.parametrize("whose", SERVICES)
async def test_nobody_reads_or_writes_another_services_log(server: Server, who: str, whose: str) -> None:
    if who == whose:
        return
    arguments = ", ".join(f"null::{type_}[]" for type_ in _append_types())
    attempts = [
        *(f"select * from {whose}.{table} limit 1" for table in LOG_TABLES),
        f"insert into {whose}.closed (instance, at) values (1, now())",
        f"select * from {whose}.append({arguments})",
        f"create table {whose}.mine ()",
        f"drop table {whose}.events",
    ]
    for attempt in attempts:
        with pytest.raises(DENIED):
            await server.attempt(server.log(who), attempt)


def _append_types() -> list[str]:
    text = next(text for name, text in migrations() if name.startswith("0006"))
    return text.partition("drop function append(")[2].partition(");")[0].replace("[]", "").replace("\n", " ").replace(" ", "").split(",")


@pytest.mark.parametrize("who", SERVICES)
async def test_a_service_may_only_add_to_its_own_log(server: Server, who: str) -> None:
    attempts = [
        f"update {who}.events set data = ''",
        f"delete from {who}.events",
        f"truncate {who}.events",
        f"truncate {who}.commits",
        f"delete from {who}.commits",
        f"alter table {who}.events disable trigger all",
        f"alter table {who}.events add column more int",
        f"drop table {who}.commits",
        f"drop function {who}.refuse_change cascade",
        f"create or replace function {who}.refuse_change() returns trigger language plpgsql as 'begin return old; end'",
        f"create trigger mine before insert on {who}.events for each row execute function {who}.refuse_change()",
        f"update {who}.migrations set name = ''",
        f"delete from {who}.streams",
        "create schema mine",
        "create role mine",
        "set session authorization theke",
        f"set role theke_{next(other for other in SERVICES if other != who)}",
    ]
    for attempt in attempts:
        with pytest.raises(DENIED):
            await server.attempt(server.log(who), attempt)
    await server.attempt(server.log(who), f"select * from {who}.events limit 1")


@pytest.mark.parametrize("who", SERVICES)
@pytest.mark.parametrize("whose", ["pos", "inventory"])
async def test_query_tables_are_read_by_all_and_written_by_their_service(server: Server, who: str, whose: str) -> None:
    connection = await asyncpg.connect(server.read(who))
    rows = await connection.fetch("select tablename from pg_tables where schemaname = $1", whose)
    await connection.close()
    tables = [row["tablename"] for row in rows]
    assert len(tables) > 3
    for table in tables:
        await server.attempt(server.read(who), f"select * from {whose}.{table} limit 1")
        for write in (f"delete from {whose}.{table}", f"truncate {whose}.{table}", f"drop table {whose}.{table} cascade"):
            if who == whose:
                await server.attempt(server.read(who), write)
            else:
                with pytest.raises(DENIED):
                    await server.attempt(server.read(who), write)
    if who != whose:
        with pytest.raises(DENIED):
            await server.attempt(server.read(who), f"create table {whose}.mine ()")


async def test_a_service_cannot_lead_readers_of_another_one_to_other_tables(server: Server) -> None:
    connection = await asyncpg.connect(server.read("crm"))
    before = await connection.fetch("select * from theke.revisions where service = 'pos'")
    assert before
    assert await connection.execute("update theke.revisions set active = 99 where service = 'pos'") == "UPDATE 0"
    assert await connection.execute("delete from theke.builds where service = 'pos'") == "DELETE 0"
    with pytest.raises(DENIED):
        await connection.execute("insert into theke.revisions (service, projection, active, tables) values ('pos', 'x', 1, '{}')")
    with pytest.raises(DENIED):
        await connection.execute("alter table theke.revisions disable row level security")
    with pytest.raises(DENIED):
        await connection.execute("truncate theke.builds")
    assert await connection.fetch("select * from theke.revisions where service = 'pos'") == before
    await connection.close()


async def test_the_gateway_has_files_and_nothing_else(server: Server) -> None:
    await server.attempt(server.log(GATEWAY), "delete from blobs.variants")
    for attempt in ("drop table blobs.files", "create table blobs.mine ()"):
        with pytest.raises(DENIED):
            await server.attempt(server.log(GATEWAY), attempt)
    with pytest.raises(DENIED):
        await asyncpg.connect(server.read(GATEWAY))
    for other in ("auth", "billing", "inventory", "pos"):
        with pytest.raises(DENIED):
            await server.attempt(server.log(other), "select * from blobs.files limit 1")


async def test_tables_that_the_owner_rebuilds_belong_to_the_service(server: Server) -> None:
    async with rebuild.connected(on_database(server.owner, NAMES[1]), "pos") as connection:
        assert await connection.fetchval("select current_user") == "theke_pos"
        projection = next(projection for projection in POS.projections if projection.name == "receipts")
        async with connection.transaction():
            await store.create(connection, "pos", store.Build(projection, 7))
            owners = await connection.fetch("select distinct tableowner from pg_tables where tablename like '%\\_r%g7'")
            assert [row["tableowner"] for row in owners] == ["theke_pos"]
            readable = "select has_table_privilege('theke_crm', 'pos.receipts_r' || $1 || 'g7', 'select')"
            assert await connection.fetchval(readable, str(projection.revision))
            await connection.execute(f"drop table pos.receipts_r{projection.revision}g7 cascade")


async def test_what_was_there_before_there_were_roles_is_handed_over(postgres_dsn: str) -> None:
    names = ("older_log", "older_read")
    connection = await asyncpg.connect(postgres_dsn)
    try:
        for name in names:
            await drop_database(connection, name)
            await create_database(connection, name)
        log, read = (on_database(postgres_dsn, name) for name in names)
        async with running(INVENTORY, Databases(log, read)):
            pass
        assert await ensure_databases(postgres_dsn, names=names) == ""
        assert await ensure_databases(postgres_dsn, names=names) == ""  # again changes nothing
        roles = Roles(postgres_dsn)
        async with running(INVENTORY, Databases(roles.dsn("inventory", log), roles.dsn("inventory", read))) as started:
            assert started.projector.leading
    finally:
        for name in names:
            await drop_database(connection, name)
        await connection.close()


@pytest.fixture
async def operator(postgres_dsn: str) -> AsyncIterator[str]:
    """The address of a user who may make databases and roles, and is no superuser."""
    names = ("operated_log", "operated_read")
    parts = urlsplit(postgres_dsn)
    connection = await asyncpg.connect(postgres_dsn)

    async def clear() -> None:
        for name in names:
            await drop_database(connection, name)
        for row in await connection.fetch("select rolname from pg_roles where rolname like 'operated%' order by rolname desc"):
            await connection.execute(f"drop owned by {row['rolname']}; drop role {row['rolname']}")

    await clear()
    await connection.execute(f"create role operated login createdb createrole password '{verifier(OPERATOR)}'")
    host = parts.netloc.rpartition("@")[2]
    yield urlunsplit(parts._replace(netloc=f"operated:{quote(OPERATOR, safe='')}@{host}"))
    await clear()
    await connection.close()


async def test_a_user_who_may_make_roles_is_enough(operator: str) -> None:
    names = ("operated_log", "operated_read")
    for _ in range(2):
        assert await ensure_databases(operator, names=names, prefix="operated") == ""
    roles = Roles(operator, prefix="operated")
    log, read = (roles.dsn("inventory", on_database(operator, name)) for name in names)
    async with running(INVENTORY, Databases(log, read)) as started:
        assert started.projector.leading
    with pytest.raises(DENIED):
        await Server(operator, roles).attempt(log, "select * from auth.events")


async def test_a_user_who_may_not_make_roles_works_for_all_services_and_it_is_said(operator: str, postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute("alter role operated nocreaterole")
    await connection.close()
    names = ("operated_log", "operated_read")
    why = await ensure_databases(operator, names=names, prefix="operated")
    assert "permission denied" in why
    log, read = (on_database(operator, name) for name in names)
    async with running(INVENTORY, Databases(log, read)) as started:
        assert started.projector.leading


def test_a_password_is_a_file_or_follows_from_the_owners(tmp_path: Path) -> None:
    dsn = "postgres://theke:secret@one:5432,two:5433/postgres?target_session_attrs=primary"
    (tmp_path / "postgres_pos").write_text("of its own\n")
    assert Roles(dsn, tmp_path).password("pos") == "of its own"
    derived = Roles(dsn, tmp_path).password("crm")
    assert len(derived) == 64
    assert derived == Roles(dsn).password("crm") != Roles(dsn).password("pos")
    assert derived != Roles(dsn.replace("secret", "other")).password("crm")
    address = Roles(dsn).dsn("crm")
    assert address == f"postgres://theke_crm:{derived}@one:5432,two:5433/postgres?target_session_attrs=primary"
    with pytest.raises(RolesRefused):
        Roles("postgres://theke@localhost/postgres").password("crm")


def test_the_verifier_is_what_the_password_proves() -> None:
    """RFC 5802: the stored key is the hash of the client's key."""
    scheme, rounds_and_salt, keys = verifier("pencil").split("$")
    rounds, salt = rounds_and_salt.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode(salt), int(rounds))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    assert (scheme, keys.split(":")[0]) == ("SCRAM-SHA-256", base64.b64encode(stored).decode())


def test_every_table_of_a_log_has_its_rights() -> None:
    made = re.findall(r"create table (\w+)", " ".join(text for _, text in migrations()))
    assert {*made, "migrations"} == LOG_TABLES.keys()
