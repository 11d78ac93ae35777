"""Keys of programs: they read what their scopes name, and nothing else, until they end."""

from __future__ import annotations

import asyncpg
import pytest

from libs.cli.acting import operator_of
from libs.cli.apikeys import _act, create, listed, revoke
from libs.cli.main import parser
from libs.contracts.auth.api_keys import KEY, new_key
from libs.domain.errors import DomainError
from libs.domain.principal import Principal
from tests.house import Inn, Theke, done, item, refused


@pytest.fixture
async def operator(theke: Theke, inn: Inn) -> Principal:
    return await operator_of(theke.services, inn.name)


async def test_a_key_reads_what_its_scopes_name_and_writes_nothing(theke: Theke, inn: Inn, operator: Principal) -> None:
    made = await create(theke.services, operator, "menu on the web", ("inventory.articles",))
    assert KEY.fullmatch(made.secret)
    program = inn.stranger()
    for headers in ({"X-Api-Key": made.secret}, {"Authorization": f"Bearer {made.secret}"}):
        articles = done(await program.get("articles", token="", headers=headers))
        assert {article["name"] for article in articles} >= {"Pils"}
        refused(await program.get("receipts", token="", headers=headers), 403)
        body = {"items": [item(inn.menu["Pils"])], "payments": [{"type": 0}]}
        refused(await program.post("payments/direct-sale", body, token="", headers=headers), 403, "Der Schlüssel darf nur lesen")
    other = await theke.inn()
    refused(await program.get("articles", token="", headers={"X-Api-Key": made.secret, "Theke-Instance": other.name}), 401)

    await revoke(theke.services, operator, made.prefix)
    refused(await program.get("articles", token="", headers={"X-Api-Key": made.secret}), 401)
    [shown] = await listed(theke.services, operator)
    assert (shown.prefix, shown.revoked_at is not None) == (made.prefix, True)
    assert (await revoke(theke.services, operator, made.prefix)).revoked_at == shown.revoked_at, "twice is once"


async def test_a_key_that_is_not_one_opens_nothing(theke: Theke, inn: Inn, operator: Principal) -> None:
    made = await create(theke.services, operator, "x", ("pos.reports",))
    other = await theke.inn()
    moved = made.secret.replace(f"_i{inn.instance}_", f"_i{other.instance}_")
    program = inn.stranger()
    for key in ("thk_", moved, made.secret[:-1] + ("0" if made.secret[-1] != "0" else "1"), new_key(inn.instance), "x" * 5_000, "ключ"):
        refused(await program.get("articles", token="", headers={"X-Api-Key": key}), 401)


async def test_a_key_ends_and_is_kept_as_a_digest(theke: Theke, inn: Inn, operator: Principal) -> None:
    made = await create(theke.services, operator, "x", ("inventory.articles",), days=1)
    connection = await asyncpg.connect(theke.log_dsn)
    said = await connection.fetch("select data from auth.events where instance = $1 and type = 'api_key.created'", inn.instance)
    await connection.close()
    assert said
    assert not any(made.secret.rpartition("_")[2].encode() in row["data"] for row in said)
    read = await asyncpg.connect(theke.read_dsn)
    [table] = await read.fetch("select tablename from pg_tables where schemaname = 'auth' and tablename ~ '^api_keys_r[0-9g]+$'")
    await read.execute(f"update auth.{table['tablename']} set expires = now() where instance = $1", inn.instance)
    await read.close()
    refused(await inn.stranger().get("articles", token="", headers={"X-Api-Key": made.secret}), 401)


@pytest.mark.parametrize(
    ("name", "scopes", "days", "field"),
    [
        ("", ("pos.reports",), 1, "name"),
        ("x" * 101, ("pos.reports",), 1, "name"),
        ("x", (), 1, "scopes"),
        ("x", ("everything",), 1, "scopes"),
        ("x", ("pos.reports",), 4_000, "expires"),
        ("x", ("pos.reports",), 0, "expires"),
    ],
)
async def test_what_is_wrong_with_a_key_is_named(
    theke: Theke, operator: Principal, name: str, scopes: tuple[str, ...], days: int, field: str
) -> None:
    with pytest.raises(DomainError) as refused_:
        await create(theke.services, operator, name, scopes, days)
    assert [fault.path for fault in refused_.value.fields] == [field]


async def test_nobody_of_the_instance_makes_or_lists_keys(theke: Theke, inn: Inn) -> None:
    nobody = Principal(inn.instance, "usr_x", permissions={"auth.staff": True})
    with pytest.raises(DomainError, match="missing_right"):
        await create(theke.services, nobody, "x", ("pos.reports",))
    with pytest.raises(DomainError, match="missing_right"):
        await listed(theke.services, nobody)


async def test_the_command_line_shows_a_key_once(theke: Theke, inn: Inn, capsys: pytest.CaptureFixture[str]) -> None:
    async def said(*arguments: str) -> str:
        assert await _act(parser().parse_args(["apikeys", *arguments]), theke.services) == 0
        return capsys.readouterr().out

    made = await said("create", inn.name, "journal", "--scope", "pos.reports")
    secret = made.split("Key: ")[1].split()[0]
    shown = await said("list", inn.name)
    assert secret.rpartition("_")[0] in shown
    assert secret not in shown
    assert "revoked" in await said("revoke", inn.name, secret.rpartition("_")[0])
