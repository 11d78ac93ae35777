"""Items of the ERP are the articles of the till: one domain behind two dialects."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from libs.contracts.inventory.items import ITEMS
from tests.house import Inn, Theke, Till, cash, done, item, refused
from tests.integration.dikas.erp import Erp

COLUMNS = [column.name for column in ITEMS.columns]


@pytest.fixture
async def erp(inn: Inn) -> AsyncIterator[Erp]:
    client = Erp(inn.theke.url, inn.name)
    await client.login()
    yield client
    await client.close()


@pytest.fixture
async def stranger(theke: Theke) -> AsyncIterator[Erp]:
    """The administrator of another business."""
    other = await theke.inn()
    client = Erp(theke.url, other.name)
    await client.login()
    yield client
    await client.close()
    await other.close()


# --- one domain ---------------------------------------------------------------------------------------------------------------


async def test_an_article_made_at_the_till_is_an_item_at_once(inn: Inn, erp: Erp) -> None:
    till = await inn.till()
    body = {"name": "Radler", "price": Decimal("3.90"), "taxClass": 0, "groupId": inn.group, "plu": "R1", "barcode": "4009"}
    done(await till.post("articles", body), 201)
    row = await erp.one("Radler")
    assert list(row) == COLUMNS
    assert (row["itemnum"], row["barcode"], row["sellingprice"], row["taxrate"]) == ("R1", "4009", Decimal("3.90"), 19)
    assert (row["visibility"], row["weight"], row["manufacturer"], row["description"]) == (0, 0, "", "")
    assert row["creator"] == (await erp.ask("GET", "auth/v1/")).json["user"]
    assert (await erp.ask("GET", f"api/v1/items/{row['ID']}")).json == row


async def test_a_price_changed_here_is_what_the_till_charges_next(inn: Inn, erp: Erp) -> None:
    till = await inn.till()
    cola = await erp.one("Cola")
    changed = await erp.ask("PATCH", f"api/v1/items/{cola['ID']}", {"sellingprice": Decimal("3.80"), "taxrate": 7})
    assert (changed.status, changed.json["sellingprice"], changed.json["taxrate"]) == (200, Decimal("3.80"), 7)
    receipt = await till.sell(item(inn.menu["Cola"], 2), paid=[cash("10")])
    assert receipt["gross"] == Decimal("7.60")
    assert [tax["rate"] for tax in receipt["taxes"]] == [Decimal("7")]


async def test_an_item_made_here_is_sold_at_the_till(inn: Inn, erp: Erp) -> None:
    till = await inn.till()
    made = await erp.ask("PUT", "api/v1/items", {"name": "Tasse", "sellingprice": 12.5, "taxrate": "19", "itemnum": "T-1", "weight": 0.35})
    assert made.status == 201, made.raw
    row = made.json
    assert made.headers["Content-Location"] == f"/{inn.name}/api/v1/items/{row['ID']}"
    assert (row["weight"], row["purchaseprice"]) == (Decimal("0.35"), 0)
    article = done(await till.get("articles/by-plu/T-1"))
    assert (article["name"], article["price"], article["taxClass"]) == ("Tasse", Decimal("12.50"), 0)
    assert (await till.sell(item(article["id"])))["gross"] == Decimal("12.50")
    archived = await erp.ask("PATCH", f"api/v1/items/{row['ID']}", {"visibility": 1})
    assert archived.json["visibility"] == 1
    refused(await till.post("payments/direct-sale", {"items": [item(article["id"])], "payments": [{"type": 0}]}), 409)


async def test_items_made_here_share_a_group_of_their_own(inn: Inn, erp: Erp) -> None:
    made = await asyncio.gather(*(erp.ask("PUT", "api/v1/items", {"name": f"Neu {ix}"}) for ix in range(4)))
    assert [one.status for one in made] == [201] * 4
    till = await inn.till()
    (group,) = [one for one in done(await till.get("article-groups")) if one["name"] == "ERP"]
    articles = done(await till.get("articles", params={"groupId": group["id"]}))
    assert sorted(one["name"] for one in articles) == [f"Neu {ix}" for ix in range(4)]
    assert all(one["taxClass"] == 2 for one in articles)  # no rate is a rate of 0
    for row in await erp.list(filters={"name": {"~": "^Neu"}}):
        assert (await erp.ask("DELETE", f"api/v1/items/{row['ID']}")).status == 204
    done(await till.delete(f"article-groups/{group['id']}"))
    assert (await erp.ask("PUT", "api/v1/items", {"name": "Danach"})).status == 201


# --- the query language -------------------------------------------------------------------------------------------------------


async def test_lists_speak_the_query_language(erp: Erp) -> None:
    assert await erp.names(sort=["-sellingprice"], limit=2) == ["Schnitzel", "Salat"]
    assert await erp.names(sort="name", offset=3) == ["Schnitzel", "Spende"]
    assert await erp.names(filters={"sellingprice": {">": "3.5", "<=": 5.80}}, sort=["name"]) == ["Pils", "Salat"]
    assert await erp.names(filter={"name": ["Cola", "Pils"]}, filters={"taxrate": 19, "name": {"~~*": "%IL%"}}) == ["Pils"]
    assert await erp.names(filters={"1": ["OR", {"name": {"~": "^C"}}, {"2": ["NOT", {"taxrate": [7, 19]}]}]}) == ["Cola", "Spende"]
    assert await erp.names(query="sch zel") == ["Schnitzel"]
    assert await erp.list(filters={"taxrate": 7}, count=1) == {"count": 2}
    assert await erp.list(fields={"rate": "taxrate", "0": "visibility"}, distinct=True, sort=["-taxrate"]) == [
        {"rate": 19, "visibility": 0},
        {"rate": 7, "visibility": 0},
        {"rate": 0, "visibility": 0},
    ]
    assert await erp.list(fields=["creator", "creator.name"], limit=1) == [{"creator": None, "creator.name": None}]  # made by Theke itself


async def test_a_form_asks_as_json_does(erp: Erp) -> None:
    form = {"fields[]": "name", "filters[taxrate][!=]": "19", "filters[1][0]": "OR", "filters[1][1][name]": "Salat", "limit": "3"}
    form["filters[1][2][name][~~*]"] = "%SPENDE%"
    asked = await erp.ask("POST", "api/v1/items/", form=form)
    assert [row["name"] for row in asked.json] == ["Salat", "Spende"]
    in_json = await erp.ask("POST", "api/v1/items", form={"fields": '["name"]', "filters": '{"name":"Cola"}'})
    assert in_json.json == [{"name": "Cola"}]
    made = await erp.ask("PUT", "api/v1/items", form={"name": "Aus Formular", "sellingprice": "4.20"})
    assert (made.status, made.json["sellingprice"]) == (201, Decimal("4.20"))


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"fields": ["nme"]}, "Bad Request: Invalid selection field: 'nme'"),
        ({"filters": {"name; drop table x": 1}}, "Bad Request: Invalid selection field: 'name; drop table x'"),
        ({"sort": ["-creator.password"]}, "Bad Request: Invalid selection field: 'creator.password'"),
        ({"filters": {"creator.name.x": 1}}, "Bad Request: Invalid selection field: 'creator.name.x'"),
        ({"expand": ["picture"]}, "Bad Request: Invalid selection field: 'picture'"),
        ({"filters": {"sellingprice": {"<": None}}}, "Bad Request: Field 'sellingprice': '<' does not go with null"),
        ({"filters": {"ID": "1 or 1=1"}}, "Bad Request: Field 'ID': must be an integer"),
        ({"filters": {"name": {"=;--": "x"}}}, "Bad Request: Field 'name': does not know the operator '=;--'"),
        ({"filters": {"name": {"~": "(a"}}}, "Bad Request: Field 'name': is not a valid pattern"),
        ({"filters": {"name": {"~~": "a\\"}}}, "Bad Request: Field 'name': is not a valid pattern"),
        ({"filters": {"ID": {"IN": list(range(10_001))}}}, "Bad Request: Field 'ID': may have 10000 entries at most"),
        ({"limit": 0}, "Bad Request: Field 'limit': must be between 1 and 10000"),
        ({"distinct": 1, "fields": ["name"], "sort": ["ID"]}, "Bad Request: Field 'ID': has to be among the fields of a distinct query"),
    ],
)
async def test_what_is_wrong_with_a_query_is_named(shared_erp: Erp, asked: Any, text: str) -> None:
    assert await shared_erp.refused(**asked) == text


@pytest.fixture(scope="module")
async def shared_erp(shared_inn: Inn) -> AsyncIterator[Erp]:
    client = Erp(shared_inn.theke.url, shared_inn.name)
    await client.login()
    yield client
    await client.close()


async def test_hostile_queries_get_an_answer_and_nothing_else(shared_erp: Erp) -> None:
    deep = b'["NOT",' * 1_000 + b'{"name":"x"}' + b"]" * 1_000
    raw = await shared_erp.ask("POST", "api/v1/items", raw=b'{"filters":%s}' % deep)
    assert (raw.status, "deeper than 32" in raw.text) == (400, True)
    medium: Any = {"name": "x"}
    for _ in range(14):
        medium = ["NOT", medium]
    assert "12 groups deep" in await shared_erp.refused(filters=medium)
    assert "200 entries" in await shared_erp.refused(filters={"1": ["OR", *({"ID": ix} for ix in range(500))]})
    for quoted in ("'; select 1; --", '"', "$1", "{inventory.articles}", "\\", "%' or '1'='1"):
        assert await shared_erp.list(filters={"name": quoted}) == []
        assert await shared_erp.list(filters={"name": {"~~": quoted.rstrip("\\")}}) == []
        assert len(await shared_erp.list(fields={quoted: "name"})) == 5
        await shared_erp.ask("GET", f"api/v1/items/{quoted.replace('%', '')}")
    assert await shared_erp.list(count=True) == {"count": 5}


async def test_a_catastrophic_pattern_is_stopped(erp: Erp) -> None:
    await erp.ask("PUT", "api/v1/items", {"name": "lang", "description": "a" * 1_001})
    said = await erp.refused(filters={"description": {"~": r"^(a*)(a*)(a*)(a*)\1\2\3\4$"}})
    assert said == "Bad Request: The query took more than 2000 ms; use simpler patterns or narrower filters"


async def test_numbers_out_of_every_range_name_nothing(shared_erp: Erp) -> None:
    for number in ("0", "999999999", "99999999999999999999", "-1", "1.5", "x"):
        assert (await shared_erp.ask("GET", f"api/v1/items/{number}")).status == 404
        assert (await shared_erp.ask("HEAD", f"api/v1/items/{number}")).status == 404
        assert (await shared_erp.ask("DELETE", f"api/v1/items/{number}")).status == 404
    for number in (2**63, -(2**70), 10**40):
        assert "must be between" in await shared_erp.refused(filters={"ID": number})
    assert await shared_erp.list(filters={"ID": 2**63 - 1}) == []
    for written in (
        b'{"filters":{"sellingprice":1e999999}}',
        b'{"limit":1e400}',
        b'{"filters":{"ID":1e30}}',
        b'{"offset":' + b"9" * 5_000 + b"}",
    ):
        assert (await shared_erp.ask("POST", "api/v1/items", raw=written)).status == 400


# --- single rows --------------------------------------------------------------------------------------------------------------


async def test_tags_of_a_row(erp: Erp) -> None:
    made = await erp.ask("PUT", "api/v1/items", {"name": "Glas"})
    path = f"api/v1/items/{made.json['ID']}"
    assert re.fullmatch(r'"[0-9a-f]{32}"', made.tag)
    got, there = await erp.ask("GET", path), await erp.ask("HEAD", path)
    assert (there.status, there.raw, got.tag, there.tag) == (204, b"", made.tag, made.tag)
    for method in ("GET", "HEAD"):
        assert (await erp.ask(method, path, headers={"If-None-Match": made.tag})).status == 304
    changed = await erp.ask("PATCH", path, {"unit": "H87"}, headers={"If-Match": made.tag})
    assert (changed.status, changed.json["unit"]) == (200, "H87")
    assert changed.tag == (await erp.ask("GET", path, headers={"If-None-Match": made.tag})).tag != made.tag
    stale = await erp.ask("PATCH", path, {"unit": "KGM"}, headers={"If-Match": made.tag})
    assert (stale.status, stale.text[:20]) == (412, "Precondition Failed:")
    assert (await erp.ask("DELETE", path, headers={"If-Match": made.tag})).status == 412
    assert (await erp.ask("DELETE", path, headers={"If-Match": changed.tag})).status == 204
    assert [(await erp.ask(method, path)).status for method in ("GET", "HEAD", "PATCH", "DELETE")] == [404] * 4


async def test_what_is_wrong_with_a_row_is_named(inn: Inn, erp: Erp) -> None:
    cola = await erp.one("Cola")
    path = f"api/v1/items/{cola['ID']}"

    async def said(method: str, where: str, body: Any) -> tuple[int, str]:
        reply = await erp.ask(method, where, body)
        return reply.status, reply.text

    assert await said("PUT", "api/v1/items", {"ID": cola["ID"], "name": "x"}) == (409, "Conflict: ID Present")
    assert await said("PUT", "api/v1/items", {"ID": 4711, "name": "x"}) == (
        400,
        "Bad Request: Field 'ID': must be between 1000000000 and 2147483647",
    )
    assert await said("PUT", "api/v1/items", {}) == (400, "Bad Request: Field 'name': is required")
    assert await said("PUT", "api/v1/items", {"name": " "}) == (400, "Bad Request: Field 'name': is required")
    assert await said("PATCH", path, {"ID": cola["ID"] + 1}) == (409, "Conflict: Non-matching ID")
    assert await said("PATCH", path, {"nam": "x"}) == (400, "Bad Request: Invalid selection field: 'nam'")
    assert await said("PATCH", path, {"taxrate": 12}) == (400, "Bad Request: Field 'taxrate': does not know the value '12'")
    assert await said("PATCH", path, {"sellingprice": -1}) == (400, "Bad Request: Field 'sellingprice': must be between 0 and 1000000")
    assert await said("PATCH", path, {"visibility": 3}) == (400, "Bad Request: Field 'visibility': must be one of: 0, 1, 2")
    assert (await erp.ask("PATCH", path, {"itemnum": "7"})).status == 200
    assert await said("PUT", "api/v1/items", {"name": "x", "itemnum": "7"}) == (409, "Conflict: Field 'itemnum': '7' is already taken")
    assert (await erp.ask("PATCH", path, {**cola, "itemnum": "7"})).status == 200  # what a client read it may send back
    assert (await erp.ask("PATCH", path, raw=b"[1]")).status == 400
    assert (await erp.ask("PATCH", path, raw=b"{")).status == 400
    till = await inn.till()
    rule = {"name": "Happy Hour", "articleId": inn.menu["Cola"], "changePercent": -50}
    done(await till.post("price-rules", rule), 201)
    assert await said("DELETE", path, None) == (409, "Conflict: Not Deletable")


async def test_a_write_may_be_repeated(erp: Erp) -> None:
    first, again = [await erp.ask("PUT", "api/v1/items", {"name": "Einmal"}, headers={"Idempotency-Key": "k-1"}) for _ in range(2)]
    assert (first.status, first.json) == (again.status, again.json) == (201, first.json)
    assert await erp.list(filters={"name": "Einmal"}, count=True) == {"count": 1}


# --- who may ------------------------------------------------------------------------------------------------------------------


async def test_logging_in_and_out(inn: Inn, erp: Erp) -> None:
    form = {"name": "admin", "password": "admin", "identifier": "a.b:c-1"}
    by_form = await erp.ask("POST", "auth/v1/login", form=form, token="")
    assert (by_form.json["identifier"], by_form.json["application"], by_form.json["user"]) == ("a.b:c-1", None, 1)
    token = by_form.json["token"]
    cookie = by_form.headers["Set-Cookie"]
    assert cookie.startswith(f"ZEYOSID={token}; Path=/{inn.name}/;")
    assert "HttpOnly; SameSite=Strict" in cookie
    by_cookie = await erp.ask("GET", "auth/v1/?access=1", token="", headers={"Cookie": f"ZEYOSID={token}"})
    assert (by_cookie.json["name"], by_cookie.json["admin"], by_cookie.json["permissions"]["inventory"]) == ("admin", 1, 1)
    assert (await erp.ask("HEAD", "auth/v1/", token=token)).status == 204
    gone = await erp.ask("GET", "auth/v1/logout", token=token)
    assert (gone.status, gone.raw) == (204, b"")
    dead = await erp.ask("POST", "api/v1/items", {}, token=token)
    assert (dead.status, dead.text) == (401, "Unauthorized: Invalid token for bearer authentication")
    assert dead.headers["WWW-Authenticate"] == f'Bearer realm="{inn.name}" error="invalid_token"'


async def test_an_e_mail_address_logs_in_whom_it_names_alone(inn: Inn, erp: Erp) -> None:
    await inn.provisioning.user("eva", "eva-password", ("Waiter",), email="eva@example.org")
    await erp.login("Eva@example.org", "eva-password")
    assert (await erp.ask("GET", "auth/v1/")).json["name"] == "eva"
    await inn.provisioning.user("ed", "ed-password", ("Waiter",), email="EVA@example.org")
    body = {"name": "eva@example.org", "password": "eva-password", "identifier": "x"}
    assert (await erp.ask("POST", "auth/v1/login", body)).status == 401


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"password": "wrong"}, 401),
        ({"name": "nobody@x"}, 401),
        ({"name": "x" * 5_000}, 401),
        ({"identifier": "a b"}, 400),
        ({"identifier": None}, 400),
        ({"password": 7}, 400),
        ({"expdate": 1}, 400),
        ({"expdate": "soon"}, 400),
        ({"appsecret": "short"}, 400),
        ({"otp": "123456"}, 400),
    ],
)
async def test_a_login_that_fails_says_no_more_than_it_must(shared_erp: Erp, change: dict[str, Any], status: int) -> None:
    body = {"name": "admin", "password": "admin", "identifier": "x", **change}
    reply = await shared_erp.ask("POST", "auth/v1/login", body, token="")
    assert reply.status == status
    if status == 401:
        assert reply.text == "Unauthorized: Invalid credentials"


async def test_nothing_of_another_business_is_reachable(inn: Inn, erp: Erp, stranger: Erp) -> None:
    theirs = await erp.ask("PUT", "api/v1/items", {"name": "Geheim", "itemnum": "G-1"})
    path = f"api/v1/items/{theirs.json['ID']}"
    assert await stranger.list(filters={"1": ["OR", {"name": "Geheim"}, {"ID": theirs.json["ID"]}]}) == []
    for method in ("GET", "HEAD", "PATCH", "DELETE"):
        foreign = await stranger.ask(method, path, {} if method == "PATCH" else None, instance=inn.name)
        assert foreign.status == 401, method
        assert (await stranger.ask(method, path)).status == 404, method
    for realm in (inn.name, "nowhere", "api"):
        assert (await stranger.ask("POST", "api/v1/items", {}, instance=realm)).status == 401
        assert (await stranger.ask("PUT", "api/v1/items", {"name": "x"}, instance=realm)).status == 401
        login = {"name": "eva", "password": "eva", "identifier": "x"}
        assert (await stranger.ask("POST", "auth/v1/login", login, instance=realm, token="")).status == 401
    assert await erp.list(fields=["name"], filters={"itemnum": "G-1"}) == [{"name": "Geheim"}]
    assert (await erp.ask("GET", path, headers={"If-None-Match": '"0"'})).tag == theirs.tag


async def test_rights_are_those_of_articles(inn: Inn, till: Till) -> None:
    await inn.till("Waiter")
    waiter = Erp(inn.theke.url, inn.name)
    await waiter.login("waiter", "waiter-password")
    path = f"api/v1/items/{(await waiter.one('Cola'))['ID']}"
    for method, where, body in (("PUT", "api/v1/items", {"name": "x"}), ("PATCH", path, {"unit": "x"}), ("DELETE", path, None)):
        reply = await waiter.ask(method, where, body)
        assert (reply.status, reply.text) == (403, "Forbidden: Lacking access permission")
    assert (await waiter.ask("GET", path, token="")).status == 401
    await waiter.close()


async def test_what_is_not_built_is_absent_in_this_dialects_words(shared_erp: Erp) -> None:
    missing = await shared_erp.ask("POST", "api/v1/inventions", {})
    assert (missing.status, missing.text[:11]) == (404, "Not Found: ")
    wrong = await shared_erp.ask("DELETE", "api/v1/items")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "POST, PUT")
    assert (await shared_erp.ask("GET", "api/v1/items/1?expand=subitems&extdata=1")).json["extdata"] is None
