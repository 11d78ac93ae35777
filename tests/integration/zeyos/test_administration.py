"""Groups, permissions and rows that only an operator writes, by the commands of `theke`; what users and the house show of themselves."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from libs.cli import applications, exits, groups, main, records
from libs.cli.acting import operator_of
from libs.cli.groups import Group, Groups, Member
from libs.cli.rows import Rows
from libs.contracts.auth.modules import MODULES
from libs.domain.errors import DomainError
from tests.house import Inn, Till, done, refused
from tests.integration.dikas.erp import Erp
from tests.integration.zeyos.conftest import Hire

Run = Callable[..., Awaitable[Any]]


@pytest.fixture
async def run(shared_inn: Inn, capsys: pytest.CaptureFixture[str]) -> Run:
    """`theke …` against the house; answers what `--json` prints."""

    async def ran(*words: str, code: int = exits.DONE) -> Any:
        arguments: argparse.Namespace = main.parser().parse_args([*words, "--json"])
        capsys.readouterr()
        services = shared_inn.theke.services
        if words[0] == "groups":
            assert await groups._act(arguments, services) == code
        else:
            rows = records.rows_of(Path(arguments.file).read_bytes())
            assert await records._put(arguments, services, rows) == code
        return json.loads(capsys.readouterr().out)

    return ran


@pytest.fixture
async def admin(client: Erp) -> Erp:
    await client.login()
    return client


async def _as(inn: Inn, employee: Any) -> Erp:
    one = Erp(inn.theke.url, inn.name)
    await one.login(employee.name, employee.password)
    return one


async def test_what_a_service_says_meanwhile_is_no_part_of_the_answer(run: Run, shared_inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that began to copy in the middle of a command had its line parsed as the command's JSON."""
    made, act = [], groups._act

    async def acts(*arguments: Any) -> int:
        structlog.get_logger("libs.bus.relay").info("relay_copying")
        made.append(arguments)
        return await act(*arguments)

    monkeypatch.setattr(groups, "_act", acts)
    assert await run("groups", "list", shared_inn.name) is not None
    assert made


async def test_an_operator_makes_groups_and_says_what_they_may(run: Run, shared_inn: Inn, hire: Hire, admin: Erp) -> None:
    name, employee = shared_inn.name, await hire("Kitchen", rights=("reports",))
    clerk = await _as(shared_inn, employee)
    assert (await clerk.ask("POST", "api/v1/accounts", {})).status == 403
    made = await run("groups", "create", name, "Verkauf")
    assert (made["name"], made["members"], made["permissions"]) == ("Verkauf", [], [])
    await run("groups", "add", name, "verkauf", employee.name.upper())
    await run("groups", "add", name, "Verkauf", employee.name, "--writable")
    await run("groups", "grant", name, "Verkauf", "accounts")
    assert (await clerk.ask("PUT", "api/v1/accounts", {"lastname": "x", "currency": "EUR"})).status == 403
    assert (await clerk.ask("POST", "api/v1/accounts", {})).json == []
    whole = await run("groups", "grant", name, "Verkauf", "accounts", "--writable")
    assert whole["members"] == [{"user": employee.name, "writable": True}]
    assert whole["permissions"] == [{"permission": "accounts", "writable": True}]
    account = {"lastname": "Kundin", "currency": "EUR", "ownergroup": made["id"]}
    assert (await clerk.ask("PUT", "api/v1/accounts", account)).status == 201
    assert (await run("groups", "rename", name, "Verkauf", "Vertrieb"))["id"] == made["id"]
    rows = {one: (await admin.ask("POST", f"api/v1/{one}", {})).json for one in ("groups", "groups2users", "permissions")}
    assert [(row["ID"], row["name"], row["activity"], row["leader"]) for row in rows["groups"]] == [(made["id"], "Vertrieb", 0, None)]
    assert [(row["group"], row["user"], row["writable"]) for row in rows["groups2users"]] == [(made["id"], employee.id, 1)]
    assert [(row["identifier"], row["writable"], row["creator"]) for row in rows["permissions"]] == [("accounts", 1, None)]
    access = (await clerk.ask("GET", "auth/v1/?access=1")).json
    assert (access["groups"], access["permissions"]["accounts"]) == ({str(made["id"]): 1}, 1)
    await run("groups", "revoke", name, "Vertrieb", "accounts")
    assert (await clerk.ask("POST", "api/v1/accounts", {})).status == 403
    await run("groups", "remove", name, "Vertrieb", employee.name)
    assert [group["members"] for group in await run("groups", "list", name)] == [[]]
    assert (await clerk.ask("POST", "api/v1/groups2users", {})).status == 403
    assert [(await admin.ask("PUT", f"api/v1/{one}", {})).status for one in ("groups", "users", "permissions")] == [405] * 3
    await clerk.close()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("grant", "Chor", "acounts"), "invalid_fields"),
        (("grant", "Niemand", "accounts"), "group_not_found"),
        (("add", "Chor", "nobody%"), "user_not_found"),
        (("revoke", "Chor", "accounts"), "row_not_found"),
        (("create", "CHOR"), "claim_taken"),
    ],
)
async def test_what_is_wrong_with_a_group_is_said(shared_inn: Inn, words: tuple[str, ...], reason: str) -> None:
    operator = await operator_of(shared_inn.theke.services, shared_inn.name)
    mine = Groups(Rows(shared_inn.theke.services, operator))
    if "Chor" not in [group.name for group in await mine.listed()]:
        await mine.create("Chor")
    arguments = main.parser().parse_args(["groups", words[0], shared_inn.name, *words[1:]])
    with pytest.raises(DomainError) as refusal:
        await groups._act(arguments, shared_inn.theke.services)
    assert refusal.value.reason == reason


async def test_a_group_is_printed_for_people(shared_inn: Inn, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Group(7, "Küche", False, (Member("eva", True),), ())
    groups._print(argparse.Namespace(json=False), [shown])
    assert capsys.readouterr().out == "7     Küche   (not active)\n      members: eva (writes)\n"
    with pytest.raises(SystemExit, match="0"):
        main.parser().parse_args(["groups", "--help"])
    assert all(module in capsys.readouterr().out for module in MODULES[:1])


async def test_roles_of_the_till_give_modules(shared_inn: Inn, hire: Hire) -> None:
    for role, modules in (
        ("Manager", {"inventory": 1, "accounts": 1, "billing": 0}),
        ("Waiter", {"inventory": 0}),
        ("Admin", {"inventory": 1, "dev": 1, "billing": 1}),
    ):
        one = await _as(shared_inn, await hire(role))
        for module, resource in (("inventory", "items"), ("accounts", "accounts"), ("billing", "transactions"), ("dev", "weblets")):
            status = (await one.ask("POST", f"api/v1/{resource}", {"limit": 1})).status
            assert status == (200 if module in modules or role == "Admin" else 403), (role, resource)
        writes = (await one.ask("PUT", "api/v1/accounts", {"currency": "EUR"})).status
        assert writes == (400 if modules.get("accounts") or role == "Admin" else 403), role
        await one.close()


# --- users --------------------------------------------------------------------------------------------------------------------


async def test_users_are_the_staff(shared_inn: Inn, admin: Erp) -> None:
    till: Till = await shared_inn.till()
    body = {"username": "Lena", "password": "lena-password", "email": "lena@example.org", "roles": ["Waiter"], "endDate": "2030-06-30"}
    hired = done(await till.post("staff", {**body, "apiOnly": True, "noPublic": True}), 201)
    assert (hired["apiOnly"], hired["noPublic"]) == (True, True)
    (row,) = (await admin.ask("POST", "api/v1/users", {"filters": {"name": "Lena"}})).json
    assert (row["email"], row["apionly"], row["nopublic"], row["activity"], row["contact"]) == ("lena@example.org", 1, 1, 0, None)
    assert (row["creator"], row["lastlogin"], row["expdate"]) == (1, None, 1909101600)  # 4:00 of the morning after
    credentials = {"username": "Lena", "password": "lena-password"}
    refused(await till.post("auth/login", credentials, token="", headers={"Theke-Instance": shared_inn.name}), 401)
    lena = Erp(shared_inn.theke.url, shared_inn.name)
    await lena.login("Lena", "lena-password")
    assert (await lena.ask("POST", "api/v1/items", {})).json == []  # public rows are hidden
    contact = (await admin.ask("PUT", "api/v1/contacts", {"lastname": "Lena", "type": 1})).json["ID"]
    done(await till.put(f"staff/{hired['id']}", {"noPublic": False, "isActive": False}))
    assert (await admin.ask("GET", f"api/v1/users/{row['ID']}")).json["activity"] == 1
    assert (await lena.ask("POST", "api/v1/items", {})).status == 401
    assert (await admin.ask("DELETE", f"api/v1/contacts/{contact}")).status == 204
    await lena.close()


# --- rows out of a file, the house --------------------------------------------------------------------------------------------


async def test_rows_that_the_api_only_reads_come_out_of_a_file(run: Run, shared_inn: Inn, admin: Erp, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('[{"name": "Preise", "identifier": "shop.prices"}, {"name": "Start", "identifier": "shop.start"}]')
    made = await run("records", "put", shared_inn.name, "services", str(file))
    assert [row["identifier"] for row in made] == ["shop.prices", "shop.start"]
    assert (await admin.ask("GET", f"api/v1/services/{made[0]['ID']}")).json == made[0]
    file.write_text(f'{{"ID": {made[0]["ID"]}, "name": "Neue Preise"}}\n\n{{"identifier": "shop.start", "name": "doppelt"}}\n')
    changed = await run("records", "put", shared_inn.name, "services", str(file), code=exits.FAILED)
    assert [(row["ID"], row["name"]) for row in changed] == [(made[0]["ID"], "Neue Preise")]
    for resource, body in (
        ("weblets", {"name": "W", "identifier": "w", "width": 300}),
        ("resources", {"name": "R", "identifier": "r"}),
        ("contacts", {"lastname": "Datei", "extdata": {"herkunft": "Liste", "zahl": 1.5}, "tags": ["neu"]}),
        ("items", {"name": "Aus Datei", "sellingprice": 2.5, "subitems": [{"type": 1}], "foreigntaxrates": {"AT": 20.5}}),
    ):
        file.write_text(json.dumps(body))
        (row,) = await run("records", "put", shared_inn.name, resource, str(file))
        got = (await admin.ask("GET", f"api/v1/{resource}/{row['ID']}?extdata=1")).json
        assert {name: got[name] for name in row if name != "sellingprice"} == {
            name: value for name, value in row.items() if name != "sellingprice"
        }


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"[1]", b'{"a": 1}\n{', b"\xff", b"[" * 100_000])
def test_a_file_without_rows_is_refused(content: bytes) -> None:
    with pytest.raises(records.Unreadable):
        records.rows_of(content)


async def test_the_house_says_where_it_is(client: Erp, shared_inn: Inn, hire: Hire) -> None:
    one = await _as(shared_inn, await hire("Kitchen"))
    config = (await one.ask("GET", "api/v1/config")).json
    assert config == {"locale": "de_DE", "country": "DE", "currency": "EUR", "timezone": "Europe/Berlin"}
    till = await shared_inn.till()
    done(await till.put("config", {"letterhead": {"country": "AT"}}))
    assert (await one.ask("GET", "api/v1/config")).json["locale"] == "de_AT"
    assert (await one.ask("GET", "api/v1/settings")).json == {}
    for name in ("config", "settings"):
        assert (await one.ask("GET", f"api/v1/{name}", token="")).status == 401
    await one.close()


async def test_applications_are_rows_that_developers_read(admin: Erp, shared_inn: Inn) -> None:
    operator = await operator_of(shared_inn.theke.services, shared_inn.name)
    made = await applications.create(shared_inn.theke.services, operator, "shop", name="Laden", vendor="Wir", callbackurls=[])
    (row,) = (await admin.ask("POST", "api/v1/applications", {"query": "lad", "expand": []})).json
    assert {**row, "creationdate": 0, "lastmodified": 0} == {
        "ID": made.id, "activity": 0, "creationdate": 0, "creator": None, "identifier": "shop", "lastmodified": 0, "name": "Laden",
        "vendor": "Wir", "version": 10_000,
    }  # fmt: skip
    assert made.secret not in json.dumps(row, default=str)
    operators = Rows(shared_inn.theke.services, operator)
    service = await operators.put("services", {"name": "S", "identifier": "shop.s", "application": made.id})
    asked = {"fields": ["application.name"], "filters": {"ID": service["ID"]}}
    assert (await admin.ask("POST", "api/v1/services", asked)).json == [{"application.name": "Laden"}]
