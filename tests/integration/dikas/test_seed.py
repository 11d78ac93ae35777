"""The published examples of the API, executed word for word. Only ids, tokens and times may differ, and those only within their form."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.house import Inn, Till, done

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
KEY = "[a-z2-7]{26}"


def as_written(raw: bytes, **names: str) -> str:
    """The answer's text with times as T and the named patterns by their names; numbers and key order stay as they were sent."""
    text = TIME.sub("T", raw.decode())
    for name, pattern in names.items():
        text = re.sub(pattern, name, text)
    return text


async def test_login(shared_inn: Inn) -> None:
    stranger = shared_inn.stranger()
    answer = await stranger.post("auth/login", {"username": "admin", "password": "admin"}, headers={"Theke-Instance": shared_inn.name})
    assert answer.status == 200
    assert list(answer.data) == ["accessToken", "refreshToken", "expiresIn"]
    assert answer.data["expiresIn"] == 3600
    assert answer.data["accessToken"].startswith("eyJ")
    assert answer.data["refreshToken"]
    assert answer.headers["Cache-Control"] == "no-store"


async def test_refresh_takes_both_tokens_and_gives_a_new_pair(shared_inn: Inn) -> None:
    till = await shared_inn.till()
    before = till.tokens()
    answer = await till.post("auth/refresh", before, token="")
    assert list(done(answer)) == ["accessToken", "refreshToken", "expiresIn"]
    assert answer.data["accessToken"] != before["accessToken"]
    assert answer.data["refreshToken"] != before["refreshToken"]
    done(await till.get("articles", token=answer.data["accessToken"]))


async def test_create_an_article(till: Till, shared_inn: Inn) -> None:
    raw = b'{\n  "name": "Cola 0,3l",\n  "price": 3.50,\n  "taxClass": 0,\n  "groupId": "%s"\n}' % shared_inn.group.encode()
    answer = await till.post("articles", raw=raw)
    assert answer.status == 201
    assert as_written(answer.raw, ART=f"art_{KEY}", GROUP=f"artgrp_{KEY}") == (
        '{"data":{"id":"ART","name":"Cola 0,3l","price":3.50,"taxClass":0,"groupId":"GROUP","isActive":true,'
        '"createdDate":"T","changedDate":"T"},"isSuccess":true,"message":null,"errors":null}'
    )
    created = datetime.fromisoformat(answer.data["createdDate"])
    assert answer.data["createdDate"] == answer.data["changedDate"]
    assert abs(datetime.now(UTC) - created) < timedelta(seconds=30)
    again = await till.get(f"articles/{answer.data['id']}")
    assert again.raw == answer.raw


async def test_an_article_that_is_not_there(till: Till) -> None:
    answer = await till.get("articles/art_123")
    assert answer.status == 404
    assert json.loads(answer.raw) == {
        "data": None,
        "isSuccess": False,
        "message": "Artikel nicht gefunden",
        "errors": ["Artikel mit ID 'art_123' existiert nicht"],
    }


@pytest.mark.parametrize(
    ("accepts", "message"),
    [
        (None, "Artikel nicht gefunden"),
        ("de", "Artikel nicht gefunden"),
        ("de-AT,de;q=0.9,en;q=0.8", "Artikel nicht gefunden"),
        ("en", "Article not found"),
        ("EN-us", "Article not found"),
        ("en-GB,en;q=0.9,de;q=0.1", "Article not found"),
        ("de;q=0.2, en;q=0.7", "Article not found"),
        ("de ; q=0.2, en ; q=0.7", "Article not found"),
        ("fr,en;q=0.5", "Article not found"),
        ("fr", "Artikel nicht gefunden"),
        ("en;q=0", "Artikel nicht gefunden"),
        ("*", "Artikel nicht gefunden"),
        ("en;q=NaN, de;q=high", "Artikel nicht gefunden"),
        (",;=,," * 100, "Artikel nicht gefunden"),
    ],
)
async def test_language_is_german_unless_english_is_preferred(till: Till, accepts: str | None, message: str) -> None:
    answer = await till.get("articles/art_123", headers={"Accept-Language": accepts} if accepts else {})
    assert (answer.status, answer.message) == (404, message)


async def test_article_groups(till: Till) -> None:
    created = await till.post("article-groups", {"name": "Getränke", "number": 4711, "color": "#00f"})
    assert created.status == 201
    assert re.fullmatch(f"artgrp_{KEY}", created.data["id"])
    assert created.data["color"] == "#00f"
    assert created.data in done(await till.get("article-groups"))


async def test_amounts_are_json_numbers_with_two_places(till: Till, shared_inn: Inn) -> None:
    answer = await till.post(
        "payments/direct-sale",
        {"items": [{"articleId": shared_inn.menu["Pils"], "quantity": 2}], "payments": [{"type": 0, "amount": 10}]},
    )
    text = as_written(answer.raw)
    assert answer.status == 201
    for part in ('"unitPrice":4.20', '"total":8.40', '"gross":8.40', '"amount":10.00', '"change":1.60', '"tip":0.00', '"quantity":2,'):
        assert part in text


async def test_the_seeds_table_calls(till: Till) -> None:
    table = done(await till.post("tables", {"number": 77, "name": "Tisch 77"}), 201)
    assert re.fullmatch(f"tbl_{KEY}", table["id"])
    assert (table["status"], table["course"], table["openItems"]) == (0, None, 0)
    assert table in done(await till.get("tables"))
    assert done(await till.get(f"tables/{table['id']}")) == table
