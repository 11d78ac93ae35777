"""Access tokens of ERP clients: one per user, identifier and application, good for as long as the client asked, dead within a second."""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from libs.cli import exits
from libs.cli.acting import operator_of
from libs.cli.applications import create, deactivate, listed, renew_secret
from libs.cli.main import main
from libs.contracts.auth.access_tokens import LIFE_S, digest_of
from libs.contracts.auth.rights import permissions_of
from libs.domain.clock import Clock
from libs.domain.errors import DomainError
from libs.domain.principal import Principal
from libs.domain.records import RecordView
from libs.records.engine import Change, Delete, Deleted
from libs.records.numbered import Create as Made
from libs.records.numbered import Written
from libs.runtime.endpoints import Endpoints
from tests.house import Inn, Theke, Till
from tests.integration.dikas.erp import Erp
from tests.integration.zeyos.conftest import Employee, Hire

HEX = re.compile(r"[0-9a-f]{40}")
DEAD_WITHIN_S = 1.0
SLOW_MACHINE_S = 1.0  # on top, where everything shares two cores


async def login(client: Erp, who: Employee, **more: Any) -> Any:
    reply = await client.ask("POST", "auth/v1/login", {"name": who.name, "password": who.password, "identifier": "app", **more}, token="")
    assert reply.status == 200, reply
    return reply.json


async def refused_login(client: Erp, who: Employee, **more: Any) -> str:
    reply = await client.ask("POST", "auth/v1/login", {"name": who.name, "password": who.password, "identifier": "app", **more}, token="")
    assert reply.status in (400, 401), reply
    return reply.text


async def opens(client: Erp, token: str) -> bool:
    reply = await client.ask("GET", "auth/v1/", token=token)
    assert reply.status in (200, 401), reply
    if reply.status == 401:
        assert reply.text == "Unauthorized: Invalid token for bearer authentication"
        assert reply.headers["WWW-Authenticate"] == f'Bearer realm="{client.instance}" error="invalid_token"'
    return reply.status == 200


async def is_dead_soon(client: Erp, token: str) -> None:
    ends = time.monotonic() + DEAD_WITHIN_S + SLOW_MACHINE_S
    while await opens(client, token):
        assert time.monotonic() < ends, "the token lives on"


async def me(client: Erp, token: str, query: str = "") -> Any:
    reply = await client.ask("GET", f"auth/v1/{query}", token=token)
    assert reply.status == 200, reply
    return reply.json


# --- logging in ---------------------------------------------------------------------------------------------------------------


async def test_a_token_is_forty_hex_digits_and_opens_the_door(client: Erp, hire: Hire) -> None:
    who = await hire(email="Who@example.org")
    given = await login(client, who)
    assert list(given) == ["user", "application", "token", "identifier", "expdate"]
    assert HEX.fullmatch(given["token"])
    assert (given["user"], given["application"], given["identifier"]) == (who.id, None, "app")
    assert abs(given["expdate"] - time.time() - LIFE_S) < 60
    assert len(await Erp.list(_with(client, given["token"]), fields=["name"])) == 5
    by_form = await client.ask(
        "POST", "auth/v1/login", form={"name": "who@EXAMPLE.org", "password": who.password, "identifier": "form"}, token=""
    )
    assert (await me(client, by_form.json["token"]))["user"] == who.id


def _with(client: Erp, token: str) -> Erp:
    client.token = token
    return client


@pytest.mark.parametrize(
    ("asked", "answered"),
    [(None, None), ("null", None), (4_000_000_000, 4_000_000_000), ("4000000000", 4_000_000_000), (253_402_300_799, 253_402_300_799)],
)
async def test_a_token_lives_as_long_as_asked(client: Erp, hire: Hire, asked: Any, answered: Any) -> None:
    given = await login(client, await hire(), expdate=asked)
    assert given["expdate"] == answered
    assert await opens(client, given["token"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("expdate", 1),
        ("expdate", "yesterday"),
        ("expdate", 253_402_300_800),
        ("expdate", True),
        ("expdate", [1]),
        ("expdate", 10**30),
        ("identifier", "a b"),
        ("identifier", "x" * 101),
        ("identifier", ["x"]),
        ("appsecret", "f" * 39),
        ("appsecret", 7),
        ("otp", "123456"),
        ("password", None),
    ],
)
async def test_what_is_wrong_with_a_login_is_named(client: Erp, hire: Hire, field: str, value: Any) -> None:
    assert f"'{field}'" in await refused_login(client, await hire(), **{field: value})


async def test_a_second_login_with_the_same_identifier_replaces_the_first(client: Erp, hire: Hire) -> None:
    who = await hire()
    first, other = await login(client, who), await login(client, who, identifier="other")
    assert await opens(client, first["token"])
    second = await login(client, who)
    assert await opens(client, second["token"])
    await is_dead_soon(client, first["token"])
    assert await opens(client, other["token"])
    tokens = [given["token"] for given in await asyncio.gather(*(login(client, who) for _ in range(4)))]
    ends = time.monotonic() + DEAD_WITHIN_S + SLOW_MACHINE_S
    while (alive := sum([await opens(client, token) for token in (*tokens, second["token"])])) != 1:
        assert time.monotonic() < ends, alive


async def test_the_end_is_kept(theke: Theke, shared_inn: Inn, hire: Hire) -> None:
    """At a gateway that lives in the past a token with an end to come is one that has ended."""

    class Yesterday(Clock):
        def now(self) -> datetime:
            return datetime.fromtimestamp(time.time() - 86_400, UTC)

    gateway = await theke.another_gateway(clock=Yesterday())
    past = Erp(gateway.address, shared_inn.name)
    given = await login(past, await hire(), expdate=int(time.time()) - 3_600)
    assert not await opens(past, given["token"])
    await past.close()


async def test_a_token_is_of_its_instance_and_its_dialect_alone(theke: Theke, client: Erp, hire: Hire, till: Till) -> None:
    token = (await login(client, await hire()))["token"]
    other = await theke.inn()
    elsewhere = Erp(theke.url, other.name)
    for wrong in (token, token.upper(), "0" * 40, "0" * 39, "", "x", "null"):
        assert not await opens(elsewhere, wrong)
    assert not await opens(client, token.upper())
    assert (await till.get("auth/me", token=token)).status == 401
    assert await opens(client, till.token), "the tills' own tokens are good in both dialects"
    await elsewhere.close()
    await other.close()


# --- the end of a token ---------------------------------------------------------------------------------------------------------


async def test_a_logout_ends_this_token_and_no_other(client: Erp, hire: Hire) -> None:
    who = await hire()
    token, other = (await login(client, who))["token"], (await login(client, who, identifier="other"))["token"]
    gone = await client.ask("GET", "auth/v1/logout", token="", headers={"Cookie": f"ZEYOSID={token}"})
    assert (gone.status, gone.raw, gone.headers["Set-Cookie"][:9]) == (204, b"", "ZEYOSID=;")
    await is_dead_soon(client, token)
    assert (await client.ask("GET", "auth/v1/logout", token=token)).status == 401
    assert await opens(client, other)
    assert HEX.fullmatch((await login(client, who))["token"])


async def ends(who: Employee, how: str) -> None:
    match how:
        case "deactivated":
            await who.change(is_active=False)
        case "denied":
            await who.change(rights=("denyLogin",))
        case "last day":
            await who.change(end_date="2020-01-01")
        case "password":
            await who.set_password("another good password")
        case "deleted":
            await who.leave()


@pytest.mark.parametrize("how", ["deactivated", "denied", "last day", "password", "deleted"])
async def test_who_may_not_log_in_any_more_is_out(client: Erp, hire: Hire, how: str) -> None:
    who = await hire("Waiter")
    token = (await login(client, who, expdate=None))["token"]
    assert await opens(client, token)
    await ends(who, how)
    await is_dead_soon(client, token)


async def test_who_is_let_in_again_needs_another_token(client: Erp, hire: Hire) -> None:
    who = await hire("Waiter")
    token = (await login(client, who))["token"]
    await who.change(is_active=False)
    await who.change(is_active=True)
    await is_dead_soon(client, token)
    token = (await login(client, who))["token"]
    await who.change(is_active=False)  # nobody asked meanwhile
    await who.change(is_active=True)
    await is_dead_soon(client, token)
    assert await opens(client, (await login(client, who))["token"])


async def test_rights_are_those_of_this_moment(client: Erp, hire: Hire) -> None:
    who = await hire("Waiter")
    token = (await login(client, who))["token"]

    async def may_write() -> bool:
        return (await client.ask("PUT", "api/v1/items", {"name": "x"}, token=token)).status == 201

    assert not await may_write()
    for right, expected in ((("manageArticles",), True), ((), False)):
        await who.change(rights=right)
        ends = time.monotonic() + DEAD_WITHIN_S + SLOW_MACHINE_S
        while await may_write() is not expected:
            assert time.monotonic() < ends
    assert await opens(client, token)


async def test_every_gateway_hears_of_it(theke: Theke, shared_inn: Inn, client: Erp, hire: Hire) -> None:
    elsewhere = Erp((await theke.another_gateway()).address, shared_inn.name)
    who = await hire()
    token = (await login(client, who))["token"]
    assert await opens(elsewhere, token)
    await client.ask("GET", "auth/v1/logout", token=token)
    await is_dead_soon(elsewhere, token)
    await elsewhere.close()


# --- who am I -----------------------------------------------------------------------------------------------------------------


async def test_who_am_i(client: Erp, hire: Hire) -> None:
    who = await hire("Waiter", first_name="Eva", email="eva@inn.example")
    token = (await login(client, who))["token"]
    shown = await me(client, token)
    assert shown == {
        "auth": {"user": who.id, "application": None, "lang": "de"},
        "user": who.id,
        "contact": None,
        "name": who.name,
        "fullname": "Eva",
        "email": "eva@inn.example",
    }
    whole = await me(client, token, "?access=1&settings=1")
    assert {name: whole[name] for name in ("admin", "nopublic", "apionly", "groups", "settings")} == {
        "admin": 0, "nopublic": 0, "apionly": 0, "groups": {}, "settings": {},
    }  # fmt: skip
    assert whole["permissions"] == {"inventory": 0}
    assert (await client.ask("GET", "auth/v1", token=token)).json == shown
    head = await client.ask("HEAD", "auth/v1/", token="", headers={"Cookie": f"ZEYOSID={token}"})
    assert (head.status, head.raw) == (204, b"")
    assert (await client.ask("HEAD", "auth/v1/", token="0" * 40)).status == 401


async def test_groups_and_flags_of_a_user_are_told(theke: Theke, shared_inn: Inn, client: Erp, hire: Hire) -> None:
    who = await hire("Waiter", contact=None)
    await who.change(apionly=True, nopublic=True)
    token = (await login(client, who))["token"]
    principal = shared_inn.provisioning.principal
    services = theke.services
    group, _ = await services.command("auth", "group.create", Made(values={"name": "Lager"}), Written, principal=principal)
    values = {"group": group.id, "user": who.id, "writable": 1}
    await services.command("auth", "membership.create", Made(values=values), Written, principal=principal)
    values = {"group": group.id, "identifier": "tickets", "writable": 1}
    await services.command("auth", "permission.create", Made(values=values), Written, principal=principal)
    whole = await me(client, token, "?access=1")
    assert (whole["nopublic"], whole["apionly"], whole["groups"]) == (1, 1, {str(group.id): 1})
    assert whole["permissions"] == {"inventory": 0, "tickets": 1}
    info = (await client.ask("GET", "oauth2/v1/userinfo", token=token)).json
    assert info["groups"] == [{"id": group.id, "name": "Lager", "writable": 1}]
    till = shared_inn.stranger()
    body = {"username": who.name, "password": who.password}
    answer = await till.post("auth/login", body, token="", headers={"Theke-Instance": shared_inn.name})
    assert answer.status == 401, "programs have no place at a till"


# --- applications -------------------------------------------------------------------------------------------------------------


async def test_an_application_and_its_tokens(theke: Theke, shared_inn: Inn, client: Erp, hire: Hire) -> None:
    services, operator = theke.services, await operator_of(theke.services, shared_inn.name)
    who = await hire()
    shop = await create(services, operator, "web.shop", name="Shop", vendor="Wir", callbackurls=["https://shop.example/back"])
    assert HEX.fullmatch(shop.secret)
    plain = await login(client, who)
    bound = await login(client, who, appsecret=shop.secret.upper())
    assert bound["application"] == shop.id
    assert (await me(client, bound["token"]))["auth"]["application"] == shop.id
    assert await opens(client, plain["token"]), "another application's token stands beside it"
    renewed = await renew_secret(services, operator, "web.shop")
    assert await refused_login(client, who, appsecret=shop.secret) == "Unauthorized: Invalid credentials"
    assert await opens(client, bound["token"])
    other = await login(client, who, appsecret=renewed.secret, identifier="other")
    await deactivate(services, operator, "web.shop")
    await is_dead_soon(client, bound["token"])
    assert await refused_login(client, who, appsecret=renewed.secret) == "Unauthorized: Invalid credentials"
    (view,) = [view for view in await listed(services, operator) if view.id == shop.id]
    await services.command("auth", "application.change", Change(key=view.key, values={"activity": 0}), RecordView, principal=operator)
    assert not await opens(client, other["token"]), "nor does it come back with the application"
    again = await login(client, who, appsecret=renewed.secret)
    await services.command("auth", "application.delete", Delete(key=view.key), Deleted, principal=operator)
    await is_dead_soon(client, again["token"])
    assert await opens(client, plain["token"])


async def test_applications_are_of_one_business(theke: Theke, shared_inn: Inn, client: Erp, hire: Hire) -> None:
    other = await theke.inn()
    theirs = await create(theke.services, await operator_of(theke.services, other.name), "theirs", name="Theirs")
    who = await hire()
    assert await refused_login(client, who, appsecret=theirs.secret) == "Unauthorized: Invalid credentials"
    operator = await operator_of(theke.services, shared_inn.name)
    assert (await create(theke.services, operator, "theirs", name="Ours")).secret != theirs.secret
    with pytest.raises(DomainError) as refused:
        await create(theke.services, operator, "THEIRS", name="Ours again")
    assert refused.value.reason == "claim_taken"
    await other.close()


@pytest.mark.parametrize(
    "url", ["http://shop.example/", "https://a@shop.example/", "javascript:x", "https://", "https://x/#y", "x", "https://x/\n"]
)
async def test_a_callback_is_https_or_this_machine(theke: Theke, shared_inn: Inn, url: str) -> None:
    with pytest.raises(DomainError) as refused:
        await create(theke.services, await operator_of(theke.services, shared_inn.name), "bad", name="x", callbackurls=[url])
    assert [field.path for field in refused.value.fields] == ["callbackurls[0]"]


async def test_nobody_but_the_operator_makes_applications(shared_inn: Inn, theke: Theke) -> None:
    administrator = Principal(shared_inn.instance, "usr_x", permissions=permissions_of(["Admin"]))
    with pytest.raises(DomainError) as refused:
        await create(theke.services, administrator, "mine", name="x")
    assert refused.value.reason == "missing_right"


# --- secrets ------------------------------------------------------------------------------------------------------------------


async def test_no_token_and_no_secret_is_kept(
    theke: Theke, shared_inn: Inn, client: Erp, hire: Hire, auth_log: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    who = await hire()
    shop = await create(theke.services, await operator_of(theke.services, shared_inn.name), "kept", name="Kept")
    token = (await login(client, who, appsecret=shop.secret))["token"]
    assert await opens(client, token)
    rows = await auth_log.fetch("select type, stream, data, meta from events where instance = $1", shared_inn.instance)
    said = [bytes(row["data"]).decode() + bytes(row["meta"]).decode() + row["stream"] for row in rows]
    said += [f"{row['name']} {row['value']!r}" for row in await auth_log.fetch("select name, value from secrets")]
    assert any(digest_of(token) in text for text in said)
    said += ["".join(capfd.readouterr())]
    reading = await asyncpg.connect(theke.read_dsn)
    try:
        tables = await reading.fetch("select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'auth'")
        for table in tables:
            said += [str(row) for row in await reading.fetch(f"select t::text from {table['name']} t")]
    finally:
        await reading.close()
    for secret in (token, shop.secret):
        assert [text[:200] for text in said if secret in text] == []
    assert [text[:200] for text in said if digest_of(shop.secret) in text and not text.startswith("client secret ")] == []
    events = {row["type"] for row in rows}
    assert {"token.issued", "application.created", "client_secret.set"} <= events


# --- the command line ---------------------------------------------------------------------------------------------------------


async def test_the_operators_command(
    theke: Theke, shared_inn: Inn, client: Erp, hire: Hire, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("libs.cli.acting.find", lambda _: Endpoints("", theke.settings.nats_url, "", 0, True, ()))

    async def theke_applications(action: str, *more: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["applications", action, shared_inn.name, *more])
        return code, *capsys.readouterr()

    code, out, _ = await theke_applications("create", "desk", "--name", "Front desk", "--callback", "https://desk.example/", "--json")
    made = json.loads(out)
    assert (code, made["identifier"], made["name"]) == (exits.DONE, "desk", "Front desk")
    assert (await login(client, await hire(), appsecret=made["secret"]))["application"] == made["id"]
    _, out, _ = await theke_applications("secret", "desk")
    (renewed,) = HEX.findall(out)
    assert renewed != made["secret"]
    code, _, error = await theke_applications("create", "desk")
    assert (code, "desk" in error) == (exits.FAILED, True)
    assert (await theke_applications("deactivate", "nobody"))[0] == exits.FAILED
    assert (await theke_applications("deactivate", "desk", "--json"))[0] == exits.DONE
    _, out, _ = await theke_applications("list", "--json")
    (shown,) = [one for one in json.loads(out) if one["identifier"] == "desk"]
    assert shown == {
        "id": made["id"], "identifier": "desk", "name": "Front desk", "vendor": None, "activity": 1, "callbackurls": ["https://desk.example/"],
    }  # fmt: skip
    _, out, _ = await theke_applications("list")
    assert [line.split() for line in out.splitlines() if " desk " in line] == [[str(made["id"]), "desk", "deactivated", "Front", "desk"]]
    assert not HEX.search(out)
