"""Reports say what the receipts say, to the cent: every figure is summed up anew, in plain Python, over what ``GET /receipts`` gives."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import asyncpg
import pytest

from libs.contracts.inventory.records import ARTICLE, ARTICLE_GROUP
from tests.agreement import BERLIN, at, day_of, the_whole_truth
from tests.history import History, receipts_table, write
from tests.house import Inn, Till, done, fields_named, free_item, item, refused

SEED: Final = 31
REPORTS: Final = ("revenue", "top-articles", "wgr", "weekly", "hourly", "staff", "payment-methods")
# in March the clock goes from 2 to 3 on the 29th, in October from 3 to 2 on the 25th
YEAR: Final = {"from": "2026-01-01", "to": "2026-12-31"}


def booked_on(receipt: Any) -> date:
    local = at(receipt).astimezone(BERLIN)
    return local.date() - timedelta(days=local.hour < 4)


# --- an evening, sold through the tills ---------------------------------------------------------------------------------------


async def an_evening(inn: Inn) -> tuple[Till, dict[str, str | None]]:
    """A manager's till, and the tree of groups: sixty bills by four people, with tips, mixed money, three tax rates and voids."""
    dice = random.Random(SEED)
    drinks = await inn.add(ARTICLE_GROUP, name="Getränke", number=1)
    beer = await inn.add(ARTICLE_GROUP, name="Bier", number=2, parent_key=drinks)
    draught = await inn.add(ARTICLE_GROUP, name="Fassbier", number=3, parent_key=beer)
    await inn.add(ARTICLE_GROUP, name="Wein", number=4, parent_key=drinks)
    articles = [*inn.menu.values()]
    for name, group, tax_class in (("Helles", draught, 0), ("Weizen", beer, 0), ("Milch", drinks, 1)):
        articles.append(await inn.add(ARTICLE, name=name, price="3.35", tax_class=tax_class, group_key=group))
    staff = [await inn.till("Waiter", user="kim"), await inn.till("Waiter", user="toni"), await inn.till("Cashier", user="mika")]
    manager = await inn.till("Manager")
    for ix in range(60):
        items = [
            item(dice.choice(articles), dice.choice(("1", "2", "0.5", "0.333")), discountPercent=dice.choice((0, 0, 10, 100)))
            for _ in range(dice.randint(1, 5))
        ]
        if dice.random() < 0.3:
            items.append(free_item(dice.choice(("Menü", "Tagesgericht")), "12.35", dice.choice((0, 1, 2)), dice.randint(1, 2)))
        paid = [{"type": dice.choice((0, 1, 4, 5))}, *([{"type": dice.choice((0, 3)), "amount": 20}] if dice.random() < 0.6 else [])]
        dice.shuffle(paid)
        till = dice.choice(staff)
        sold = await till.sell(*items, paid=paid, tip=Decimal(dice.choice((0, 0, 75, 130))).scaleb(-2))
        if ix % 9 == 4:
            await manager.void(sold["id"])
    # it is one article, whatever it is called in between
    await manager.put(f"articles/{inn.menu['Cola']}", {"name": "Cola 0,4l"})
    await staff[0].sell(item(inn.menu["Cola"], 2))
    return manager, {drinks: None, beer: drinks, draught: beer}


async def test_an_evening_to_the_cent(inn: Inn) -> None:
    till, parents = await an_evening(inn)
    receipts = await till.receipts()
    today = booked_on(receipts[0])
    span = {"from": str(today), "to": str(today + timedelta(days=1))}  # it may have become tomorrow meanwhile
    await the_whole_truth(till, receipts, parents, span)
    groups = done(await till.get("reports/wgr", params=span))["groups"]
    assert [(row["name"], row["level"]) for row in groups][:3] == [("Getränke", 0), ("Bier", 1), ("Fassbier", 2)]
    assert groups[0]["totalGross"] == groups[0]["gross"] + groups[1]["totalGross"]
    assert groups[-1]["groupId"] is None
    named = {row["name"] for row in done(await till.get("reports/top-articles", params={**span, "limit": "500"}))["top"]}
    assert "Cola 0,4l" in named
    assert "Cola" not in named
    people = done(await till.get("reports/staff", params=span))["staff"]
    assert {row["name"] for row in people} == {"kim", "toni", "mika", "manager"}


async def test_without_days_a_report_is_about_today(inn: Inn) -> None:
    till = await inn.till()
    before = datetime.now(UTC)
    await till.sell(item(inn.menu["Cola"], 2))
    report = done(await till.get("reports/revenue"))
    assert report["from"] == report["to"]
    assert report["from"] in {str(booked_on({"date": moment.isoformat()})) for moment in (before, datetime.now(UTC))}
    if before.astimezone(BERLIN).hour != 3:  # else the day may have ended in between
        assert (report["gross"], report["receiptCount"]) == (Decimal("7.00"), 1)


async def test_nothing_sold(inn: Inn) -> None:
    till = await inn.till()
    nothing = {"from": "2020-02-01", "to": "2020-02-29"}
    zero = {**nothing, "gross": 0, "net": 0, "tax": 0, "tip": 0, "receiptCount": 0, "voidCount": 0}
    assert done(await till.get("reports/revenue", params=nothing)) == {**zero, "taxes": [], "payments": [], "days": []}
    await the_whole_truth(till, [], {}, nothing)


# --- a year, of which only the receipts are there -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def year(shared_inn: Inn) -> AsyncIterator[list[Any]]:
    """Receipts of 2026 with voids and refunds, dense around both changes of the clock, in the order they were taken."""
    articles = {shared_inn.menu[name]: (name, shared_inn.group) for name in ("Cola", "Pils", "Schnitzel")}
    history = History(SEED, {**articles, "gone": ("Fischbrötchen", "artgrp_gone"), "free": ("=Menü", "")}, ["usr_gone", "usr_went"])
    receipts = list(history.receipts(400, date(2026, 1, 2), 350))
    for begin in (datetime(2026, 3, 28, 22, 10, tzinfo=UTC), datetime(2026, 10, 24, 21, 10, tzinfo=UTC)):
        receipts += [history.sale(begin + n * timedelta(minutes=20)) for n in range(24)]
    receipts.sort(key=lambda receipt: receipt.at)
    connection = await asyncpg.connect(shared_inn.theke.read_dsn)
    await write(connection, shared_inn.instance, receipts)
    yield receipts
    await connection.execute(f"delete from pos.{await receipts_table(connection)} where instance = $1", shared_inn.instance)
    await connection.close()


async def test_a_year_to_the_cent(till: Till, year: list[Any]) -> None:
    receipts = await till.receipts()
    assert len(receipts) == len(year)
    assert [day_of(receipt) for receipt in receipts] == [booked_on(receipt) for receipt in receipts]
    await the_whole_truth(till, receipts, {}, YEAR)


@pytest.mark.parametrize("day", ["2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25"])
async def test_nights_in_which_the_clock_changes(till: Till, year: list[Any], day: str) -> None:
    receipts = [receipt for receipt in await till.receipts() if str(booked_on(receipt)) == day]
    assert receipts
    await the_whole_truth(till, receipts, {}, {"from": day, "to": day})


async def test_the_hour_repeated_in_autumn_is_one_hour_and_the_one_skipped_in_spring_is_none(till: Till, year: list[Any]) -> None:
    async def receipts_at(day: str, hour: int) -> int:
        hours = done(await till.get("reports/hourly", params={"from": day, "to": day}))["hours"]
        return sum(row["receiptCount"] + row["voidCount"] for row in hours if row["hour"] == hour)

    assert await receipts_at("2026-03-28", 2) == 0
    assert await receipts_at("2026-03-28", 3) == 3
    assert await receipts_at("2026-10-24", 2) == 6
    assert await receipts_at("2026-10-24", 3) == 3


@pytest.mark.parametrize("filters", [{"registerId": "2"}, {"staffId": "usr_went"}, {"registerId": "1", "staffId": "usr_gone"}])
async def test_of_one_register_or_one_employee(till: Till, year: list[Any], filters: dict[str, str]) -> None:
    receipts = [receipt for receipt in await till.receipts() if all(receipt[field] == value for field, value in filters.items())]
    assert 0 < len(receipts) < len(year)
    await the_whole_truth(till, receipts, {}, {**YEAR, **filters})


async def test_a_register_nobody_has_sold_nothing(till: Till, year: list[Any]) -> None:
    await the_whole_truth(till, [], {}, {**YEAR, "registerId": "99"})


async def test_a_moment_stands_for_its_business_day(till: Till, year: list[Any]) -> None:
    night = {"from": "2026-03-01T02:59:59Z", "to": "2026-03-03T04:00:00+01:00"}
    report = done(await till.get("reports/revenue", params=night))
    assert (report["from"], report["to"]) == ("2026-02-28", "2026-03-03")
    assert report == done(await till.get("reports/revenue", params={"from": "2026-02-28", "to": "2026-03-03"}))
    assert report == done(await till.get("/api/v1/reports/revenue?from=2026-02-28&to=2026-03-03T04:00:00+01:00"))


async def test_only_an_end_is_that_day(till: Till, year: list[Any]) -> None:
    report = done(await till.get("reports/revenue", params={"to": "2026-03-29"}))
    assert report["from"] == report["to"] == "2026-03-29"


async def test_the_limit_cuts_both_rankings(till: Till, year: list[Any]) -> None:
    full = done(await till.get("reports/top-articles", params=YEAR))
    assert [row["name"] for row in full["top"]] == [row["name"] for row in reversed(full["worst"])]
    cut = done(await till.get("reports/top-articles", params={**YEAR, "limit": "2"}))
    assert (cut["top"], cut["worst"]) == (full["top"][:2], full["worst"][:2])
    assert (cut["gross"], cut["articles"]) == (full["gross"], full["articles"])


async def test_who_and_what_is_gone_keeps_its_figures(till: Till, year: list[Any]) -> None:
    groups = done(await till.get("reports/wgr", params=YEAR))["groups"]
    assert [(row["groupId"], row["name"]) for row in groups[1:]] == [("artgrp_gone", None), (None, None)]
    assert all(row["gross"] for row in groups)
    assert {row["name"] for row in done(await till.get("reports/staff", params=YEAR))["staff"]} == {None}


async def test_another_house_sees_nothing_of_it(inn: Inn, year: list[Any]) -> None:
    await the_whole_truth(await inn.till(), [], {}, YEAR)


# --- asked wrongly, or by the wrong people ------------------------------------------------------------------------------------


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"from": "2026-03-02", "to": "2026-03-01"}, "from"),
        ({"from": "9999-12-31"}, "from"),
        ({"from": "2026-02-30"}, "from"),
        ({"to": "yesterday"}, "to"),
        ({"to": "20260301"}, "to"),
        ({"from": "2026-03-01T12:00:00"}, "from"),
        ({"to": "0001-01-01T00:00:00Z"}, "to"),
        ({"from": "\x00"}, "from"),
        ({"from": "2010-01-01", "to": "2026-01-01"}, "from"),
        ({"registerId": "a b"}, "registerId"),
        ({"staffId": "\x00"}, "staffId"),
    ],
    ids=str,
)
async def test_what_cannot_be_asked_is_named(till: Till, report: str, params: dict[str, str], field: str) -> None:
    assert fields_named(await till.get(f"reports/{report}", params=params)) == {field}


@pytest.mark.parametrize("limit", ["0", "-1", "501", "ten", "1.5", "9" * 30])
async def test_a_limit_is_a_number_within_reason(till: Till, limit: str) -> None:
    assert fields_named(await till.get("reports/top-articles", params={"limit": limit})) == {"limit"}


async def test_ten_years_are_the_most(till: Till) -> None:
    done(await till.get("reports/weekly", params={"from": "2016-03-10", "to": "2026-03-17"}))
    answer = await till.get("reports/weekly", params={"from": "2016-03-09", "to": "2026-03-17"})
    refused(answer, 400, "Feld 'from': darf höchstens 3660 Tage umfassen")


@pytest.mark.parametrize("role", ["Waiter", "Cashier", "Kitchen", "Bar"])
async def test_reports_are_for_those_who_may(shared_inn: Inn, role: str) -> None:
    till = await shared_inn.till(role)
    for report in REPORTS:
        refused(await till.get(f"reports/{report}"), 403, "pos.reports")


# --- as a table ---------------------------------------------------------------------------------------------------------------


async def table(till: Till, report: str, language: str = "de", **params: str) -> tuple[Any, str]:
    headers = {"Authorization": f"Bearer {till.token}", "Accept": "text/csv", "Accept-Language": language}
    async with till.http.get(f"/api/v1/reports/{report}", headers=headers, params=params) as answer:
        assert answer.status == 200
        return answer.headers, (await answer.read()).decode("utf-8")


def parsed(text: str, delimiter: str) -> list[list[str]]:
    assert text.startswith("\ufeff")
    assert text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter, strict=True))


ROWS: Final[Mapping[str, Any]] = {
    "revenue": lambda data: 1 + len(data["taxes"]) + len(data["payments"]) + len(data["days"]),
    "top-articles": lambda data: len(data["top"]) + len(data["worst"]),
    "wgr": lambda data: len(data["groups"]),
    "weekly": lambda data: sum(len(week["days"]) for week in data["weeks"]),
    "hourly": lambda data: 24,
    "staff": lambda data: len(data["staff"]),
    "payment-methods": lambda data: len(data["payments"]),
}


@pytest.mark.parametrize("report", REPORTS)
async def test_every_report_is_a_table_too(till: Till, year: list[Any], report: str) -> None:
    data = done(await till.get(f"reports/{report}", params=YEAR))
    for language, delimiter in (("de", ";"), ("en", ",")):
        headers, text = await table(till, report, language, **YEAR)
        assert headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
        assert headers["Content-Disposition"] == f'attachment; filename="{report}_2026-01-01_2026-12-31.csv"'
        assert headers["Vary"] == "Accept, Accept-Language"
        rows = parsed(text, delimiter)
        assert len({len(row) for row in rows}) == 1
        assert len(rows) == 1 + ROWS[report](data)


async def test_a_table_adds_up_like_the_report(till: Till, year: list[Any]) -> None:
    data = done(await till.get("reports/staff", params=YEAR))
    german, english = [(await table(till, "staff", language, **YEAR))[1] for language in ("de", "en")]
    rows = parsed(german, ";")
    assert rows[0] == ["Mitarbeiter-ID", "Name", "Brutto", "Trinkgeld", "Belege", "Stornos", "Storniert", "Durchschnitt"]
    assert sum(Decimal(row[2].replace(",", ".")) for row in rows[1:]) == data["gross"]
    rows = parsed(english, ",")
    assert rows[0] == ["Staff id", "Name", "Gross", "Tip", "Receipts", "Voids", "Voided", "Average"]
    assert sum(Decimal(row[2]) for row in rows[1:]) == data["gross"]


async def test_an_articles_name_is_no_formula(till: Till, year: list[Any]) -> None:
    _, text = await table(till, "top-articles", **YEAR)
    assert ";'=Menü;" in text
    assert ";=Menü" not in text


async def test_a_refusal_stays_json(till: Till) -> None:
    refused(await till.get("reports/revenue", params={"from": "x"}, headers={"Accept": "text/csv"}), 400, "Feld 'from'")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", "text/csv;q=0", "application/json, text/csv;q=0.9"])
async def test_whoever_does_not_ask_for_csv_gets_json(till: Till, accept: str) -> None:
    done(await till.get("reports/revenue", headers={"Accept": accept}))


async def test_only_reports_are_tables(till: Till) -> None:
    done(await till.get("articles", headers={"Accept": "text/csv"}))
