"""Everything a client can get wrong, at every endpoint: a clear status, the envelope, and the field by its name in this dialect."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from yarl import URL

from services.gateway import limits
from services.gateway.dikas.call import Route
from services.gateway.dikas.routes import ROUTES
from tests.house import Inn, Till, checked, done, fields_named, free_item, item, refused

SALE = "payments/direct-sale"
AT_ONCE_S = 5.0  # asking a service that stumbles takes ten
WITH_BODY = [route for route in ROUTES if route.body is not None]
GUARDED = [route for route in ROUTES if not route.public]
NO_THINGS = ("{number}", "{customerId}")  # nobody keeps customers yet: one without receipts has an empty list
WITH_ID = [route for route in ROUTES if "{" in route.path and not any(name in route.path for name in NO_THINGS)]
# a sound body per route, so that nothing but the id is wrong
BODIES: dict[str, Any] = {
    "articles": {"name": "Neu"},
    "article-groups": {"name": "Neu"},
    "tables": {"name": "Neu"},
    "table-groups": {"name": "Neu"},
    "staff": {"firstName": "Neu"},
    "webhooks": {"service": "pos", "after": 0},
}
UNKNOWN = {
    "articles": ("Artikel nicht gefunden", "Artikel mit ID '{}' existiert nicht", "There is no article with id '{}'"),
    "option-templates": (
        "Optionsvorlage nicht gefunden",
        "Optionsvorlage mit ID '{}' existiert nicht",
        "There is no option template with id '{}'",
    ),
    "price-rules": ("Preisregel nicht gefunden", "Preisregel mit ID '{}' existiert nicht", "There is no price rule with id '{}'"),
    "article-groups": (
        "Artikelgruppe nicht gefunden",
        "Artikelgruppe mit ID '{}' existiert nicht",
        "There is no article group with id '{}'",
    ),
    "tables": ("Tisch nicht gefunden", "Tisch mit ID '{}' existiert nicht", "There is no table with id '{}'"),
    "table-groups": ("Tischgruppe nicht gefunden", "Tischgruppe mit ID '{}' existiert nicht", "There is no table group with id '{}'"),
    "staff": ("Mitarbeiter nicht gefunden", "Mitarbeiter mit ID '{}' existiert nicht", "There is no user with id '{}'"),
    "webhooks": ("Webhook nicht gefunden", "Webhook mit ID '{}' existiert nicht", "There is no webhook with id '{}'"),
    "open-bons": ("Tisch nicht gefunden", "Tisch mit ID '{}' existiert nicht", "There is no table with id '{}'"),
    "items": ("Position nicht gefunden", "Position mit ID '{}' ist nicht offen", "There is no open item with id '{}'"),
    "receipts": ("Beleg nicht gefunden", "Beleg mit ID '{}' existiert nicht", "There is no receipt with id '{}'"),
    "shifts": ("Schicht nicht gefunden", "Schicht mit ID '{}' existiert nicht oder ist abgerechnet", "There is no open shift with id '{}'"),
    "day-close": (
        "Tagesabschluss nicht gefunden",
        "Tagesabschluss mit ID '{}' existiert nicht",
        "There is no end-of-day report with id '{}'",
    ),
}


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


def thing(route: Route) -> str:
    return route.path.split("/")[3]


def with_id(route: Route, id_: str) -> str:
    needed = "?reason=x" if name(route) == "DELETE /api/v1/open-bons/{id}" else ""
    return re.sub(r"\{\w+\}", id_, route.path) + needed


FLOOR: dict[str, Any] = {
    "PUT /api/v1/tables/layout": {"tables": [{"id": "tbl_none", "x": 1}]},
    "POST /api/v1/tables/{id}/gang": {"course": 1},
    "POST /api/v1/tables/{id}/move": {"targetTableId": "tbl_none"},
    "POST /api/v1/tables/{id}/merge": {"tableIds": ["tbl_none"]},
    "POST /api/v1/tables/{id}/split": {"items": [{"id": "obn_none"}], "targetTableId": "tbl_none"},
    "POST /api/v1/tables/{id}/transfer": {"staffId": "usr_none"},
    "PUT /api/v1/open-bons/{id}": {"note": "x"},
    "POST /api/v1/open-bons/{id}/status": {"status": "ready"},
    "POST /api/v1/open-bons/{id}/move": {"seat": 1},
}


PAPERS = {
    "POST /api/v1/receipts/{id}/email": {"to": "gast@example.com"},
    "POST /api/v1/receipts/{id}/hospitality": {"occasion": "Abschluss", "guests": ["Ada"], "host": "Konrad"},
}


def sound_body(route: Route) -> Any:
    if name(route) in PAPERS:
        return PAPERS[name(route)]
    if name(route) in FLOOR:
        return FLOOR[name(route)]
    return BODIES.get(thing(route), {}) if route.body else None


@pytest.fixture(scope="module")
async def waiter(shared_inn: Inn) -> Till:
    return await shared_inn.till("Waiter")


@pytest.fixture(scope="module")
async def kitchen(shared_inn: Inn) -> Till:
    return await shared_inn.till("Kitchen")


@pytest.fixture(scope="module")
async def bare(till: Till) -> AsyncIterator[aiohttp.ClientSession]:
    """HTTP without the till's manners."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


# --- ids ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", WITH_ID, ids=name)
async def test_unknown_id_in_the_words_of_the_seed(till: Till, route: Route) -> None:
    message, german, english = UNKNOWN["items" if route.path.startswith("/api/v1/open-bons/{id}") else thing(route)]
    answer = await till.ask(route.method, with_id(route, "art_123"), sound_body(route))
    assert (answer.status, answer.message) == (404, message)
    assert [text for text in answer.errors if "_none'" not in text] == [german.format("art_123")], "beside what the body names"
    answer = await till.ask(route.method, with_id(route, "art_123"), sound_body(route), headers={"Accept-Language": "en"})
    assert answer.status == 404
    assert [text for text in answer.errors if "_none'" not in text] == [english.format("art_123")]


@pytest.mark.parametrize("id_", ["%00", "%FF", "a%0Ab", "..%2F..", "%E2%82%AC", "x" * 2000, "a%20b", "%ED%A0%80"])
@pytest.mark.parametrize("route", WITH_ID, ids=name)
async def test_what_cannot_be_an_id_names_nothing_and_asks_nobody(till: Till, bare: aiohttp.ClientSession, route: Route, id_: str) -> None:
    url = URL(f"{till.http._base_url}".rstrip("/") + with_id(route, id_), encoded=True)
    headers = {"Authorization": f"Bearer {till.token}", "Content-Type": "application/json"}
    body = json.dumps(sound_body(route) or {}).encode()
    async with asyncio.timeout(AT_ONCE_S):
        async with bare.request(route.method, url, data=body, headers=headers) as response:
            answer = checked(response.status, response.headers, await response.read())
    assert answer.status == 404
    assert len(answer.errors[0]) < 150


@pytest.mark.parametrize("number", ["abc", "-1", "1.0", "1" * 30, "%00"])
async def test_a_receipt_number_is_a_number(till: Till, number: str) -> None:
    assert fields_named(await till.get(f"receipts/by-number/{number}")) == {"number"}


async def test_a_receipt_number_that_was_not_given_out(till: Till) -> None:
    refused(await till.get("receipts/by-number/999999"), 404, "Beleg nicht gefunden")


async def test_ids_in_bodies_are_looked_up_too(till: Till, shared_inn: Inn) -> None:
    table, cola = shared_inn.tables[1], shared_inn.menu["Cola"]
    refused(await till.post("open-bons", {"tableId": table, "items": [item("art_123")]}), 404, "Artikel mit ID 'art_123' existiert nicht")
    refused(await till.post("open-bons", {"tableId": "tbl_123", "items": [item(cola)]}), 404, "Tisch mit ID 'tbl_123' existiert nicht")
    refused(await till.post(SALE, {"items": [item("art_123")], "payments": []}), 404, "Artikel nicht gefunden")
    refused(await till.post("payments/table", {"tableId": "tbl_123", "payments": []}), 404, "Tisch nicht gefunden")
    body = {"name": "X", "price": 1, "taxClass": 0, "groupId": "artgrp_123"}
    refused(await till.post("articles", body), 400, "Artikelgruppe mit ID 'artgrp_123' existiert nicht")


# --- bodies -------------------------------------------------------------------------------------------------------------------


NO_JSON = {
    "empty": (b"", "ab Byte 0"),
    "cut off": (b'{"items": [', "kein gültiges JSON"),
    "cut off behind a wrong type": (b'{"items": 5, "payments": ', "kein gültiges JSON"),
    "two values": (b"{} {}", "kein gültiges JSON"),
    "single quotes": (b"{'items': 1}", "kein gültiges JSON"),
    "NaN": (b'{"tip": NaN}', "kein gültiges JSON"),
    "Infinity": (b'{"tip": -Infinity}', "kein gültiges JSON"),
    "byte order mark": (b"\xef\xbb\xbf{}", "kein gültiges JSON"),
    "not UTF-8": (b'{"items": "\xff\xfe"}', "kein gültiges JSON"),
    "lone surrogate": (b'{"items": "\\ud800"}', "kein gültiges JSON"),
    "control character": (b'{"items": "\x00"}', "kein gültiges JSON"),
    "deep": (b'{"x": ' + b"[" * 40 + b"]" * 40 + b"}", "tiefer als 32 Ebenen"),
    "very deep": (b"[" * 200_000, "tiefer als 32 Ebenen"),
    "deep in an unknown field": (b'{"items": 5, "x": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}", "tiefer als 32 Ebenen"),
    "repeated key": (b'{"tip": 1, "items": [], "tip": 2}', "'tip' kommt in einem Objekt doppelt vor"),
    "repeated key below": (b'{"items": [{"quantity": 1, "quantity": 2}]}', "'quantity' kommt in einem Objekt doppelt vor"),
    "repeated key, written differently": (b'{"tip": 1, "t\\u0069p": 2}', "'tip' kommt in einem Objekt doppelt vor"),
}


@pytest.mark.parametrize("case", NO_JSON)
async def test_what_is_no_json_is_refused_with_a_reason(till: Till, case: str) -> None:
    raw, text = NO_JSON[case]
    answer = await till.post(SALE, raw=raw)
    assert (answer.status, answer.message) == (400, "Ungültiges JSON")
    assert text in answer.errors[0]


async def test_a_colon_in_a_text_is_no_second_key(till: Till) -> None:
    await till.sell(free_item('18:30 "spät": Menü', "10.00", note='a:b, "tip": 5'))


@pytest.mark.parametrize("route", WITH_BODY, ids=name)
@pytest.mark.parametrize("raw", [b"[]", b"null", b"5", b'"x"', b"true"])
async def test_a_body_is_an_object(till: Till, route: Route, raw: bytes) -> None:
    answer = await till.ask(route.method, with_id(route, "x_1"), raw=raw)
    assert (answer.status, answer.errors) == (400, ["Inhalt: muss ein Objekt sein"])


@pytest.mark.parametrize("route", WITH_BODY, ids=name)
async def test_malformed_json_at_every_endpoint(till: Till, route: Route) -> None:
    refused(await till.ask(route.method, with_id(route, "x_1"), raw=b'{"a":'), 400, "Ungültiges JSON")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""])
@pytest.mark.parametrize("route", WITH_BODY, ids=name)
async def test_wrong_content_type(till: Till, route: Route, content_type: str) -> None:
    answer = await till.ask(route.method, with_id(route, "x_1"), raw=b"{}", headers={"Content-Type": content_type})
    assert answer.status == 415


async def test_content_type_with_a_charset_is_json_too(till: Till, shared_inn: Inn) -> None:
    for content_type in ("application/json; charset=UTF-8", "Application/JSON;charset=utf8"):
        answer = await till.post("article-groups", {"name": "Neu"}, headers={"Content-Type": content_type})
        assert answer.status == 201


@pytest.mark.parametrize("route", WITH_BODY, ids=name)
async def test_oversized_body(till: Till, route: Route) -> None:
    raw = b'{"name": "' + b"x" * route.body_max_bytes + b'"}'
    answer = await till.ask(route.method, with_id(route, "x_1"), raw=raw)
    assert (answer.status, answer.message) == (413, "Anfrage zu groß")


async def test_a_packed_body_is_unpacked_and_bounded(till: Till, shared_inn: Inn) -> None:
    packed = {"Content-Encoding": "gzip"}
    sale = b'{"items": [{"articleId": "%s", "quantity": 1}], "payments": [{"type": 0}]}' % shared_inn.menu["Cola"].encode()
    assert (await till.post(SALE, raw=gzip.compress(sale), headers=packed)).status == 201
    assert (await till.post(SALE, raw=gzip.compress(b" " * 50_000_000), headers=packed)).status == 413
    assert (await till.post(SALE, raw=sale, headers=packed)).status == 400


MISSING = {
    "POST /api/v1/receipts/{id}/email": {"to"},
    "POST /api/v1/receipts/{id}/hospitality": {"occasion", "guests", "host"},
    "POST /api/v1/auth/login": {"username", "password"},
    "POST /api/v1/auth/refresh": {"accessToken", "refreshToken"},
    "POST /api/v1/auth/pin": {"pin"},
    "POST /api/v1/auth/card": {"cardId"},
    "POST /api/v1/staff": {"username"},
    "POST /api/v1/staff/switch": {"staffId", "pin"},
    "POST /api/v1/articles": {"name", "price", "taxClass", "groupId"},
    "POST /api/v1/article-groups": {"name"},
    "POST /api/v1/option-templates": {"name"},
    "POST /api/v1/price-rules": {"name"},
    "POST /api/v1/webhooks": {"url"},
    "POST /api/v1/webhooks/{id}/replay": {"service", "after"},
    "POST /api/v1/tables": {"number"},
    "POST /api/v1/table-groups": {"name"},
    "POST /api/v1/tables/{id}/gang": {"course"},
    "POST /api/v1/tables/{id}/move": {"targetTableId"},
    "POST /api/v1/tables/{id}/merge": {"tableIds"},
    "POST /api/v1/tables/{id}/split": {"items"},
    "POST /api/v1/tables/{id}/transfer": {"staffId"},
    "POST /api/v1/open-bons/{id}/status": {"status"},
    "POST /api/v1/open-bons/{id}/move": {"targetTableId"},
    "POST /api/v1/open-bons": {"tableId", "items"},
    "POST /api/v1/open-bons/batch": {"orders"},
    "POST /api/v1/payments/direct-sale": {"items", "payments"},
    "POST /api/v1/payments/table": {"tableId", "payments"},
    "POST /api/v1/sync": {"items"},
}


@pytest.mark.parametrize("route", [route for route in WITH_BODY if route.method == "POST" and not route.body_may_be_absent], ids=name)
async def test_every_missing_field_is_named(till: Till, route: Route) -> None:
    answer = await till.ask("POST", with_id(route, "x_1"), {})
    assert fields_named(answer) == MISSING[name(route)]
    assert all(text.endswith("fehlt") for text in answer.errors)
    nothing = dict.fromkeys(MISSING[name(route)])
    assert fields_named(await till.ask("POST", with_id(route, "x_1"), nothing)) == MISSING[name(route)]


WRONG: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "types of an article": (
        "POST articles",
        {"name": 5, "price": "3.50", "taxClass": "0", "groupId": [], "isActive": "yes", "sortOrder": 1.5, "options": {}},
        {"name", "price", "taxClass", "groupId", "isActive", "sortOrder", "options"},
    ),
    "one type wrong, the rest missing": ("POST articles", {"price": "abc"}, {"name", "price", "taxClass", "groupId"}),
    "ranges of an article": (
        "POST articles",
        {"name": " ", "price": -1, "taxClass": 7, "groupId": "a/b", "course": 21, "plu": "x" * 31, "color": "\u0001"},
        {"name", "price", "taxClass", "groupId", "course", "plu", "color"},
    ),
    "places of a price": ("POST articles", {"name": "x", "price": 1.00001, "taxClass": 0, "groupId": "g"}, {"price"}),
    "an integer of no size": ("POST articles", {"name": "x", "price": 1, "taxClass": 10**30, "groupId": "g"}, {"taxClass"}),
    "a price of no size": ("POST articles", {"name": "x", "price": 10**40, "taxClass": 0, "groupId": "g"}, {"price"}),
    "types of options": (
        "POST articles",
        {"name": "x", "price": 1, "taxClass": 0, "groupId": "g", "options": [{"id": 5, "price": "1"}, 7]},
        {"options[0].id", "options[0].name", "options[0].price", "options[1]"},
    ),
    "an option's price of no size": (
        "POST articles",
        {"name": "x", "price": 1, "taxClass": 0, "groupId": "g", "options": [{"id": "a", "name": "b", "price": 10**40}]},
        {"options[0].price"},
    ),
    "an option twice": (
        "POST articles",
        {"name": "x", "price": 1, "taxClass": 0, "groupId": "g", "options": [{"id": "a", "name": "b"}, {"id": "a", "name": "c"}]},
        {"options[1].id"},
    ),
    "an option without a name": (
        "POST articles",
        {"name": "x", "price": 1, "taxClass": 0, "groupId": "g", "options": [{"id": "a", "name": ""}]},
        {"options[0].name"},
    ),
    "a cleared field that is required": ("PUT articles/{article}", {"name": None, "price": None}, {"name", "price"}),
    "types of a group": ("POST article-groups", {"name": [], "number": "1", "parentId": 5}, {"name", "number", "parentId"}),
    "ranges of a table": (
        "POST tables",
        {"number": 0, "seats": -1, "shape": 9, "rotation": 91, "width": 10_001, "x": -100_001},
        {"number", "seats", "shape", "rotation", "width", "x"},
    ),
    "types of a table": (
        "POST tables",
        {"number": "1", "name": 5, "cleaningRequired": 1, "isActive": 0, "groupId": 3},
        {"number", "name", "cleaningRequired", "isActive", "groupId"},
    ),
    "types of a table group": ("POST table-groups", {"name": "x", "showPlan": "no", "seatSelection": 1}, {"showPlan", "seatSelection"}),
    "a course that is no number": ("POST tables/{table}/gang", {"course": "1"}, {"course"}),
    "a course that is not served": ("POST tables/{table}/gang", {"course": 21}, {"course"}),
    "types of an order": (
        "POST open-bons",
        {"tableId": 5, "items": [{"articleId": 5, "quantity": "2", "course": True, "seat": "1", "note": 1}, 7]},
        {"tableId", "items[0].articleId", "items[0].quantity", "items[0].course", "items[0].seat", "items[0].note", "items[1]"},
    ),
    "types of an option": (
        "POST open-bons",
        {"tableId": "t", "items": [{"articleId": "a", "quantity": 1, "options": [{"optionId": "a"}, {"quantity": "2"}, []]}]},
        {"items[0].options[1].optionId", "items[0].options[1].quantity", "items[0].options[2]"},
    ),
    "a batch of orders": (
        "POST open-bons/batch",
        {"orders": [{"tableId": "t", "items": [{}]}, {"items": {}}, None]},
        {"orders[0].items[0].quantity", "orders[1].tableId", "orders[1].items", "orders[2]"},
    ),
    "ranges of an order": (
        "POST open-bons",
        {"tableId": "{table}", "items": [{"articleId": "{cola}", "quantity": 0, "course": 0, "seat": 1000, "discountPercent": 101}]},
        {"items[0].quantity", "items[0].course", "items[0].seat", "items[0].discountPercent"},
    ),
    "two discounts": (
        "POST open-bons",
        {"tableId": "{table}", "items": [{"articleId": "{cola}", "quantity": 1, "discountPercent": 10, "discountAmount": 1}]},
        {"items[0].discountAmount"},
    ),
    "an article and a name": (
        "POST open-bons",
        {"tableId": "{table}", "items": [{"articleId": "{cola}", "quantity": 1, "name": "x", "taxClass": 0}]},
        {"items[0].name", "items[0].taxClass"},
    ),
    "a free article that says too little": (
        "POST open-bons",
        {"tableId": "{table}", "items": [{"quantity": 1}, {"quantity": 1, "name": "", "price": 1, "taxClass": 5}]},
        {"items[0].name", "items[0].price", "items[0].taxClass", "items[1].name"},
    ),
    "an option that is not on offer": (
        "POST open-bons",
        {"tableId": "{table}", "items": [{"articleId": "{cola}", "quantity": 1, "options": [{"optionId": "salat", "quantity": 0}]}]},
        {"items[0].options[0].optionId", "items[0].options[0].quantity"},
    ),
    "no items": ("POST open-bons", {"tableId": "{table}", "items": []}, {"items"}),
    "no orders": ("POST open-bons/batch", {"orders": []}, {"orders"}),
    "too many items": ("POST open-bons", {"tableId": "{table}", "items": [{"articleId": "{cola}", "quantity": 1}] * 501}, {"items"}),
    "a text without end": (
        "POST open-bons",
        {"tableId": "{table}", "items": [{"articleId": "{cola}", "quantity": 1, "note": "x" * 201}]},
        {"items[0].note"},
    ),
    "types of a sale": (
        "POST payments/direct-sale",
        {"items": {}, "payments": [{"type": "0", "amount": "5"}, {"amount": 1}, 3], "tip": "1", "customerId": 5},
        {"items", "payments[0].type", "payments[0].amount", "payments[1].type", "payments[2]", "tip", "customerId"},
    ),
    "places of amounts": (
        "POST payments/direct-sale",
        {
            "items": [{"articleId": "{cola}", "quantity": 1, "discountAmount": 0.001}],
            "payments": [{"type": 0, "amount": 3.505}],
            "tip": 1.005,
        },
        {"items[0].discountAmount", "payments[0].amount", "tip"},
    ),
    "ranges of a sale": (
        "POST payments/direct-sale",
        {"items": [{"articleId": "{cola}", "quantity": 1.0005}], "payments": [{"type": 7, "amount": -1}], "tip": -1, "customerId": "a b"},
        {"items[0].quantity", "payments[0].type", "payments[0].amount", "tip", "customerId"},
    ),
    "two payments without amount": (
        "POST payments/direct-sale",
        {"items": [{"articleId": "{cola}", "quantity": 1}], "payments": [{"type": 0}, {"type": 1}]},
        {"payments[1].amount"},
    ),
    "a text with NUL, wherever it stands": (
        "POST payments/direct-sale",
        {
            "items": [{"articleId": "\0", "quantity": 1, "note": "a\0b", "options": [{"optionId": "\0"}]}],
            "payments": [],
            "customerId": "\0",
        },
        {"items[0].articleId", "items[0].note", "items[0].options[0].optionId", "customerId"},
    ),
    "NUL in a login": ("POST auth/login", {"username": "a\0", "password": "\0"}, {"username", "password"}),
    "types of a bill": (
        "POST payments/table",
        {"tableId": [], "items": [{"id": 5, "quantity": "1"}, {}], "payments": {}},
        {"tableId", "items[0].id", "items[0].quantity", "items[1].id", "payments"},
    ),
    "an item twice": (
        "POST payments/table",
        {"tableId": "{table}", "items": [{"id": "obn_1"}, {"id": "obn_1", "quantity": -1}], "payments": []},
        {"items[1].id", "items[1].quantity"},
    ),
    "an employee nobody could be": (
        "POST staff",
        {
            "username": "",
            "pin": "12a4",
            "cardId": "!",
            "password": "x" * 300,
            "roles": ["King"],
            "cashPointRights": ["x"],
            "staffNumber": 0,
        },
        {"username", "pin", "cardId", "password", "roles[0]", "cashPointRights[0]", "staffNumber"},
    ),
    "types of an employee": (
        "POST staff",
        {"username": 5, "pin": 1234, "birthDate": "yesterday", "roles": "Admin", "isActive": "yes", "staffNumber": "1000"},
        {"username", "pin", "birthDate", "roles", "isActive", "staffNumber"},
    ),
    "a PIN of nobody": ("POST auth/pin", {"pin": "1234"}, {"username"}),
    "a switch to somebody with nothing": ("POST staff/switch", {"staffNumber": 1000}, {"pin"}),
    "types of a login": ("POST auth/login", {"username": 5, "password": None}, {"username", "password"}),
}


def filled(value: Any, inn: Inn) -> Any:
    if isinstance(value, dict):
        return {key: filled(one, inn) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, inn) for one in value]
    if isinstance(value, str):
        return value.replace("{table}", inn.tables[1]).replace("{cola}", inn.menu["Cola"]).replace("{article}", inn.menu["Pils"])
    return value


@pytest.mark.parametrize("case", WRONG)
async def test_every_field_at_fault_is_named(till: Till, shared_inn: Inn, case: str) -> None:
    target, body, fields = WRONG[case]
    method, path = filled(target, shared_inn).split(" ")
    answer = await till.ask(method, path, filled(body, shared_inn))
    assert fields_named(answer) == fields, answer.errors
    english = await till.ask(method, path, filled(body, shared_inn), headers={"Accept-Language": "en"})
    assert fields_named(english) == fields
    assert english.message == "Invalid input"


NUMBERS = [
    "1e400",
    "-1e400",
    "1e-400",
    "1e999999",
    "1e5000000",
    "1e999999999",
    "-1e999999999",
    "1e-999999999",
    "9" * 4000,
    "0." + "1" * 5000,
]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12])
@pytest.mark.parametrize("field", ["quantity", "price", "discountPercent", "discountAmount", "amount", "tip"])
async def test_a_number_of_any_size_is_refused_at_once(till: Till, field: str, number: str) -> None:
    """A number whose digits had to be written out would stop the house for minutes."""
    values = {
        "quantity": "1",
        "price": "1",
        "discountPercent": "null",
        "discountAmount": "null",
        "amount": "null",
        "tip": "null",
        field: number,
    }
    line = ", ".join(f'"{key}": {values[key]}' for key in ("quantity", "price", "discountPercent", "discountAmount"))
    payment = f'{{"type": 0, "amount": {values["amount"]}}}'
    raw = f'{{"items": [{{"name": "x", "taxClass": 0, {line}}}], "payments": [{payment}], "tip": {values["tip"]}}}'
    async with asyncio.timeout(AT_ONCE_S):
        answer = await till.post(SALE, raw=raw.encode())
    assert len(fields_named(answer)) == 1
    assert next(iter(fields_named(answer))).endswith(field)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12])
async def test_an_article_cannot_cost_that(till: Till, shared_inn: Inn, number: str) -> None:
    head = f'"name": "x", "taxClass": 0, "groupId": "{shared_inn.group}"'
    assert fields_named(await till.post("articles", raw=f'{{{head}, "price": {number}}}'.encode())) == {"price"}
    options = f'"options": [{{"id": "a", "name": "b", "price": {number}}}]'
    answer = await till.post("articles", raw=f'{{{head}, "price": 1, {options}}}'.encode())
    assert fields_named(answer) == {"options[0].price"}
    done(await till.get("articles"))


async def test_a_number_no_computer_reads_is_no_json(till: Till) -> None:
    refused(await till.post(SALE, raw=b'{"items": [], "payments": [], "tip": ' + b"9" * 100_000 + b"}"), 400, "Ungültiges JSON")


async def test_bounds_of_amounts_are_told_in_euros(till: Till) -> None:
    answer = await till.post(SALE, {"items": [free_item("x", "1")], "payments": [{"type": 0, "amount": 0}]})
    assert answer.errors == ["Feld 'payments[0].amount': muss zwischen 0.01 und 100000000000.00 liegen"]


# --- headers ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "value", "field"),
    [
        ("Theke-Register", "", "Theke-Register"),
        ("Theke-Register", "Kasse 1", "Theke-Register"),
        ("Theke-Register", "x" * 65, "Theke-Register"),
        ("Theke-Register", "ä", "Theke-Register"),
        ("Theke-Instance", "x y", "Theke-Instance"),
        ("Theke-Instance", "x" * 65, "Theke-Instance"),
        ("Idempotency-Key", "", "Idempotency-Key"),
        ("Idempotency-Key", "x" * (limits.IDEMPOTENCY_KEY_MAX_CHARS + 1), "Idempotency-Key"),
    ],
)
async def test_headers_that_cannot_be_meant(till: Till, header: str, value: str, field: str) -> None:
    answer = await till.post(SALE, {"items": [free_item("x", "1")], "payments": [{"type": 0}]}, headers={header: value})
    assert fields_named(answer) == {field}


@pytest.mark.parametrize(
    "query", ["yesterday", "2026-03-05", "2026-03-05T18:30:00", "2026-99-01T00:00:00Z", "0001-01-01T00:00:00+23:00", "\0"]
)
@pytest.mark.parametrize("side", ["from", "to"])
async def test_a_filter_is_a_moment_with_a_time_zone(till: Till, side: str, query: str) -> None:
    assert fields_named(await till.get("receipts", params={side: query})) == {side}


# --- what is no request of ours -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api/v1", "/api/v1/nothing", "/api/v1/articles/", "/api/v2/articles", "/%00", "/" + "x" * 3000])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_unknown_address(till: Till, method: str, path: str) -> None:
    answer = await till.ask(method, path, token="")
    assert (answer.status, answer.message) == (404, "Adresse nicht gefunden")


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
async def test_wrong_method_tells_the_right_ones(till: Till, path: str) -> None:
    right = {route.method for route in ROUTES if route.path == path}
    right |= {"HEAD"} if "GET" in right else set()
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - right:
        same_shape = re.sub(r"\{\w+\}", "x", path)
        answer = await till.ask(method, same_shape)
        if answer.status != 405:  # a fixed word where another route has an id
            fixed = ("/batch", "/switch", "/by-number/{number}", "/table/{tableId}", "/search", "/tables/layout", "/tables/status")
            assert path.endswith(fixed), answer
            continue
        assert set(answer.headers["Allow"].split(", ")) >= right
        assert method not in answer.headers["Allow"].split(", ")


@pytest.mark.parametrize("path", ["articles", "articles/{id}", "articles/art_123", "receipts", "auth/me"])
async def test_head_is_get_without_the_body(till: Till, shared_inn: Inn, path: str) -> None:
    path = path.replace("{id}", shared_inn.menu["Cola"])
    get = await till.get(path)
    async with till.http.head(f"/api/v1/{path}", headers={"Authorization": f"Bearer {till.token}"}) as head:
        assert head.status == get.status
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
        assert await head.read() == b""


POST_LOGIN = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\n"
JSON = b"Content-Type: application/json\r\n"
RAW_REQUESTS = {
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "unknown method": (b"FOO /api/v1/articles HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "raw bytes in the path": (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "path without end": (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    "header without end": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    "negative length": (POST_LOGIN + b"Content-Length: -5\r\n\r\n", 400),
    "two lengths": (POST_LOGIN + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
    "length and chunks": (
        POST_LOGIN + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "chunk without size": (
        POST_LOGIN + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400,
    ),
    "impossible expectation": (b"GET /api/v1/articles HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417),
    "token of bytes": (b"GET /api/v1/articles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n", 401),
    "instance of bytes": (
        POST_LOGIN + JSON + b'Content-Length: 31\r\nTheke-Instance: \xff\r\n\r\n'
        b'{"username":"a","password":"b"}', 400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RAW_REQUESTS)
async def test_what_is_hardly_a_request_gets_the_envelope_too(till: Till, case: str) -> None:
    raw, status = RAW_REQUESTS[case]
    answer = await raw_answer(till, raw)
    assert answer.status == status
    assert "aiohttp" not in str(answer.headers)


async def raw_answer(till: Till, raw: bytes) -> Any:
    address = urlsplit(str(till.http._base_url))
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(raw)
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
            body = await reader.readexactly(int(headers["Content-Length"]))
        return checked(int(head.split(" ")[1]), headers, body)
    finally:
        writer.close()


async def test_expect_continue_is_answered(till: Till, shared_inn: Inn) -> None:
    address = urlsplit(str(till.http._base_url))
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = (
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    )
    writer.write(head.encode())
    async with asyncio.timeout(10):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert b"400 Bad Request" in await reader.readuntil(b"\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET /api/v1/articles HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half a request"])
async def test_a_connection_on_which_nothing_comes_is_closed(shared_inn: Inn, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(limits, "FIRST_REQUEST_WITHIN_S", 0.2)
    address = urlsplit(shared_inn.theke.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(sent)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_a_connection_that_is_used_stays(shared_inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_REQUEST_WITHIN_S", 0.2)
    address = urlsplit(shared_inn.theke.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    for _ in range(2):
        writer.write(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.4)
    writer.close()


async def test_a_body_that_never_comes_is_not_waited_for(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_WITHIN_S", 0.2)
    head = POST_LOGIN + JSON + b"Content-Length: 100\r\n\r\n{"
    answer = await raw_answer(till, head)
    assert (answer.status, answer.message) == (408, "Zeitüberschreitung")


# --- rights -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", GUARDED, ids=name)
async def test_nobody_gets_in_without_a_token(shared_inn: Inn, route: Route) -> None:
    stranger = shared_inn.stranger()
    answer = await stranger.ask(route.method, with_id(route, "x"), sound_body(route))
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    await stranger.close()


async def test_a_missing_right_is_named(kitchen: Till) -> None:
    answer = await kitchen.post("payments/direct-sale", {"items": [], "payments": []})
    assert (answer.status, answer.message, answer.errors) == (403, "Keine Berechtigung", ["Es fehlt das Recht 'pos.payments'"])


async def test_a_refusal_tells_its_trace(till: Till) -> None:
    answer = await till.get("articles/art_123")
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["Theke-Trace"])
