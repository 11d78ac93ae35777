"""Looking for receipts: every filter finds what it names and nothing else, newest first, page by page, without an end to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.projections import listed, tables
from tests.house import Inn, Till, done, fields_named, free_item, item, refused


async def found(till: Till, path: str = "receipts/search", **params: str) -> list[int]:
    """The numbers of what was found, in order."""
    return [receipt["number"] for receipt in done(await till.get(path, params=params))]


async def test_every_filter_finds_what_it_names(inn: Inn) -> None:
    anna, ben = await inn.till("Cashier", user="anna"), await inn.till("Waiter", user="ben")
    cola = await anna.sell(item(inn.menu["Cola"]))
    pils = await ben.sell(item(inn.menu["Pils"]), customerId="cus_1")
    await ben.order(inn.tables[1], item(inn.menu["Schnitzel"]))
    bill = await ben.pay(inn.tables[1])
    salad = await anna.sell(free_item("Gemischter SALAT, groß", "6.50"), customerId="cus_1")
    assert await found(anna) == [4, 3, 2, 1]
    assert await found(anna, number="2") == [2]
    assert await found(anna, staffId=cola["staffId"]) == [4, 1]
    assert await found(anna, staffId=pils["staffId"]) == [3, 2]
    assert await found(anna, tableId=inn.tables[1]) == [bill["number"]]
    assert await found(anna, customerId="cus_1") == [4, 2]
    assert await found(anna, "receipts/by-customer/cus_1") == [4, 2]
    assert await found(anna, "receipts/by-customer/cus_1", q="pils") == [2]
    assert await found(anna, registerId="2") == []
    assert await found(anna, q="salat") == [salad["number"]]
    assert await found(anna, q="GROSS") == [salad["number"]]
    assert await found(anna, q="%a%") == []
    assert await found(anna, q="cola", staffId=pils["staffId"]) == []


async def test_dates_are_business_days_or_moments(inn: Inn) -> None:
    till = await inn.till()
    receipt = await till.sell(item(inn.menu["Cola"]))
    day = receipt["businessDay"]
    before = (datetime.fromisoformat(day) - timedelta(days=1)).date().isoformat()
    assert await found(till, **{"from": day, "to": day}) == [1]
    assert await found(till, to=before) == []
    assert await found(till, **{"from": receipt["date"], "to": receipt["date"]}) == [1], "a second is all of it"
    later = (datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert await found(till, **{"from": later}) == []


async def test_voided_receipts_are_the_originals(inn: Inn) -> None:
    till = await inn.till()
    first = await till.sell(item(inn.menu["Cola"]))
    await till.sell(item(inn.menu["Pils"]))
    await till.void(first["id"])
    assert await found(till, "receipts/voided") == [1]
    [voided] = done(await till.get("receipts/voided"))
    assert voided["isVoided"]


async def test_pages_cover_everything_once_and_pieces_do_too(inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of three rows: what a list gives does not depend on how much it reads in one statement."""
    monkeypatch.setattr(tables, "PAGE_ROWS", 3)
    monkeypatch.setattr(listed, "PAGE_ROWS", 3)
    till = await inn.till()
    for ix in range(10):
        await till.sell(item(inn.menu["Cola" if ix % 2 else "Pils"]), customerId="cus_1" if ix < 7 else "cus_2")
    assert await found(till) == list(range(10, 0, -1))
    assert await found(till, "receipts") == list(range(1, 11))
    assert await found(till, q="cola") == [10, 8, 6, 4, 2]
    assert await found(till, customerId="cus_1") == [7, 6, 5, 4, 3, 2, 1]
    assert await found(till, "receipts", customerId="cus_2", sort="-number") == [10, 9, 8]
    assert await found(till, "receipts", sort="-gross,number") == [1, 3, 5, 7, 9, 2, 4, 6, 8, 10]
    assert await found(till, sort="gross,-date") == [10, 8, 6, 4, 2, 9, 7, 5, 3, 1]
    pages: list[Any] = [await found(till, q="cola", page=str(page), pageSize="2") for page in (1, 2, 3, 4)]
    assert pages == [[10, 8], [6, 4], [2], []]
    assert await found(till, pageSize="4") == [10, 9, 8, 7]
    paged = await till.get("receipts", params={"page": "2", "pageSize": "3", "sort": "-gross,number", "registerId": "1"})
    assert [receipt["number"] for receipt in done(paged)] == [7, 9, 2]
    assert paged.headers["Theke-Total"] == "10"
    assert "Theke-Total" not in (await till.get("receipts")).headers


async def test_all_lists_of_receipts_take_the_same_filters(inn: Inn) -> None:
    till = await inn.till()
    first = await till.sell(item(inn.menu["Cola"]), customerId="cus_1")
    await till.sell(item(inn.menu["Pils"]))
    await till.void(first["id"])
    assert await found(till, "receipts", q="pils") == await found(till, "receipts", number="2") == [2]
    assert await found(till, "receipts", isVoided="true") == await found(till, isVoided="true") == [1]
    assert await found(till, "receipts", isVoided="false") == [2, 3]
    assert await found(till, "receipts", registerId="2") == await found(till, "receipts", tableId="tbl_none") == []
    assert await found(till, "receipts/by-customer/cus_1", sort="number", page="1", pageSize="1") == [1]
    for path in ("receipts", "receipts/search", "receipts/voided", "receipts/by-customer/cus_1"):
        assert fields_named(await till.get(path, params={"sort": "secret"})) == {"sort"}
        assert fields_named(await till.get(path, params={"sort": "date,date,date,date,date,date"})) == {"sort"}


async def test_another_house_has_no_part_in_it(inn: Inn, shared_inn: Inn) -> None:
    await (await shared_inn.till()).sell(item(shared_inn.menu["Cola"]), customerId="cus_9")
    till = await inn.till()
    assert await found(till) == []
    assert await found(till, "receipts/by-customer/cus_9") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", "x"), ("number", "0"), ("number", "-1"), ("number", "9" * 30), ("from", "yesterday"), ("to", "2026-13-01"),
        ("staffId", "a b"), ("customerId", "%"), ("registerId", "ä"), ("tableId", "'"), ("page", "0"), ("page", "x"),
        ("pageSize", "0"), ("pageSize", "1001"), ("q", "x"), ("q", "x" * 101), ("q", "a\x00b"),
    ],
)  # fmt: skip
async def test_what_no_search_can_mean_is_refused(till: Till, name: str, value: str) -> None:
    assert fields_named(await till.get("receipts/search", params={name: value})) == {name}


async def test_whoever_may_not_see_receipts_finds_none(shared_inn: Inn) -> None:
    kitchen = await shared_inn.till("Kitchen")
    for path in ("search", "voided", "by-customer/cus_1"):
        refused(await kitchen.get(f"receipts/{path}"), 403)
