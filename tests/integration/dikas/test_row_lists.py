"""Lists of what is no record (open items, shifts, Z reports, tables as they are served, colleagues): pages, orders, filters, bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from libs.projections import listed, tables
from tests.house import Inn, Theke, Till, done, fields_named, item, refused

LISTS = (
    "receipts",
    "receipts/search",
    "receipts/voided",
    "receipts/by-customer/cus_1",
    "open-bons",
    "open-bons/table/{table}",
    "tables/{table}/open-bons",
    "tables/status",
    "shifts",
    "day-close",
    "staff/switch",
)


class Evening:
    """Three shifts with a difference each, two of them on a day that is closed; five open items at two tables, one cancelled."""

    def __init__(self, inn: Inn, boss: Till) -> None:
        self.inn = inn
        self.boss = boss
        self.shifts: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.items: list[str] = []

    async def begin(self) -> None:
        for user, counted in (("anna", "3.00"), ("ben", "1.00")):
            await self._shift(user, counted)
        self.reports.append(done(await self.boss.post("day-close"), 201))
        await self._shift("cleo", "2.00")
        menu, one, other = self.inn.menu, self.inn.tables[1], self.inn.tables[2]
        first = await self.boss.order(one, item(menu["Cola"], seat=2), item(menu["Pils"], course=2), item(menu["Salat"], seat=1))
        second = await self.boss.order(other, item(menu["Schnitzel"], seat=1), item(menu["Cola"]))
        self.items = [line["id"] for order in (first, second) for line in order["items"]]
        off = await self.boss.delete(f"open-bons/{self.items[4]}", params={"reason": "verschüttet"})
        assert done(off)

    async def _shift(self, user: str, counted: str) -> None:
        till = await self.inn.till("Cashier", user=user)
        shift = done(await till.post("shifts", {}), 201)
        settled = await self.boss.post(f"shifts/{shift['id']}/settle", {"countedCash": Decimal(counted)})
        self.shifts.append(done(settled))

    def path(self, list_: str) -> str:
        return list_.format(table=self.inn.tables[1])

    async def found(self, list_: str, **params: str) -> list[str]:
        return [row["id"] for row in done(await self.boss.get(self.path(list_), params=params))]


@pytest.fixture(scope="module")
async def evening(theke: Theke) -> AsyncIterator[Evening]:
    inn = await theke.inn()
    evening = Evening(inn, await inn.till())
    await evening.begin()
    yield evening
    await inn.close()


async def test_open_items_are_narrowed_and_sorted(evening: Evening) -> None:
    cola, pils, salad, schnitzel, _ = evening.items
    table = evening.inn.tables[1]
    assert await evening.found("open-bons") == [cola, pils, salad, schnitzel]
    assert await evening.found("open-bons", sort="-openAmount") == [schnitzel, salad, pils, cola]
    assert await evening.found("open-bons", sort="seat,-createdDate") == [schnitzel, salad, cola, pils], "what has none stands last"
    assert await evening.found("open-bons", articleId=evening.inn.menu["Cola"]) == [cola]
    assert await evening.found("open-bons", state="cancelled", sort="-openAmount") == [evening.items[4]]
    assert await evening.found("open-bons", state="cancelled", articleId=evening.inn.menu["Pils"]) == []
    assert await evening.found("open-bons", staffId="usr_none") == []
    for path in ("tables/{table}/open-bons", "open-bons/table/{table}"):
        assert await evening.found(path) == [cola, pils, salad]
        assert await evening.found(path, state="held") == [pils]
        assert await evening.found(path, sort="-openAmount", page="1", pageSize="2") == [salad, pils]
        assert await evening.found(path, page="9") == [], f"{table} is there"
    refused(await evening.boss.get("tables/tbl_none/open-bons", params={"page": "1"}), 404)


async def test_shifts_are_narrowed_and_sorted(evening: Evening) -> None:
    one, two, three = (shift["id"] for shift in evening.shifts)
    staff = evening.shifts[1]["staffId"]
    day = evening.shifts[0]["businessDay"]
    assert await evening.found("shifts") == [one, two, three]
    assert await evening.found("shifts", sort="-openedDate") == [three, two, one]
    assert await evening.found("shifts", sort="difference") == [two, three, one]
    assert await evening.found("shifts", staffId=staff) == [two]
    assert await evening.found("shifts", registerId="1", **{"from": day, "to": day}) == [one, two]
    assert await evening.found("shifts", registerId="2") == await evening.found("shifts", open="true") == []
    assert await evening.found("shifts", to="2020-01-01") == []


async def test_z_reports_are_narrowed_and_sorted(evening: Evening) -> None:
    [report] = evening.reports
    assert await evening.found("day-close", sort="-gross,number") == [report["id"]]
    assert await evening.found("day-close", **{"from": report["firstDate"], "to": report["date"]}) == [report["id"]]
    assert await evening.found("day-close", staffId=report["staffId"]) == [report["id"]]
    assert await evening.found("day-close", staffId="usr_none") == await evening.found("day-close", to="2020-01-01") == []


async def test_tables_as_they_are_served_are_narrowed_and_sorted(evening: Evening) -> None:
    served = [evening.inn.tables[1], evening.inn.tables[2]]
    me = done(await evening.boss.get("auth/me"))["id"]
    assert await evening.found("tables/status", status="1") == await evening.found("tables/status", staffId=me) == served
    assert set(await evening.found("tables/status", status="0")).isdisjoint(served)
    assert (await evening.found("tables/status", sort="-openAmount"))[:2] == served[::-1]
    assert await evening.found("tables/status", sort="-number") == (await evening.found("tables/status", sort="number"))[::-1]
    assert await evening.found("tables/status", isActive="false") == await evening.found("tables/status", groupId="tblgrp_none") == []
    assert fields_named(await evening.boss.get("tables/status", params={"status": "2"})) == {"status"}


async def test_colleagues_are_sorted_by_their_numbers(evening: Evening) -> None:
    ids = await evening.found("staff/switch", sort="staffNumber")
    assert ids == (await evening.found("staff/switch", sort="staffNumber", pageSize="1000"))
    numbers = [one["staffNumber"] for one in done(await evening.boss.get("staff/switch", params={"sort": "-staffNumber"}))]
    there = [number for number in numbers if number is not None]
    assert there == sorted(there, reverse=True)


@pytest.mark.parametrize("path", LISTS)
async def test_pages_cover_a_list_once_and_pieces_do_too(evening: Evening, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    whole = await evening.found(path)
    pages: list[str] = []
    for page in range(1, len(whole) // 2 + 2):
        answer = await evening.boss.get(evening.path(path), params={"page": str(page), "pageSize": "2"})
        assert answer.headers["Theke-Total"] == str(len(whole))
        pages += [row["id"] for row in done(answer)]
    assert pages == whole
    monkeypatch.setattr(tables, "PAGE_ROWS", 2)
    assert await evening.found(path) == whole


@pytest.mark.parametrize("path", LISTS)
async def test_a_wrong_page_or_order_is_named(evening: Evening, path: str) -> None:
    for name, value in (("page", "0"), ("page", "x"), ("pageSize", "1001"), ("sort", "secret"), ("sort", "--id")):
        assert fields_named(await evening.boss.get(evening.path(path), params={name: value})) == {name}


@pytest.mark.parametrize("path", [path for path in LISTS if path not in ("receipts/voided", "receipts/by-customer/cus_1")])
async def test_a_list_too_long_to_be_had_at_once_says_how_to_get_it(evening: Evening, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    if path.startswith("receipts"):
        await evening.boss.sell(item(evening.inn.menu["Cola"]))
    rows = len(await evening.found(path))
    monkeypatch.setattr(listed, "ALL_MAX_ROWS", rows)
    assert len(await evening.found(path)) == rows, "as many as may be had at once"
    monkeypatch.setattr(listed, "ALL_MAX_ROWS", rows - 1)
    refused(await evening.boss.get(evening.path(path)), 413, "'page'")
    assert len(await evening.found(path, pageSize="1000")) == rows


async def test_staff_too_many_to_be_had_at_once(evening: Evening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "ALL_MAX_ROWS", 1)
    refused(await evening.boss.get("staff"), 413, "'page'")


async def test_another_house_sees_none_of_it(evening: Evening, shared_inn: Inn) -> None:
    stranger = await shared_inn.till()
    for path in ("open-bons", "shifts", "day-close"):
        assert done(await stranger.get(path)) == done(await stranger.get(path, params={"page": "1"})) == []
    refused(await stranger.get(evening.path("tables/{table}/open-bons")), 404)


# --- tags of what is shown ----------------------------------------------------------------------------------------------------


async def not_modified(till: Till, path: str, tag: str) -> int:
    headers = {"Authorization": f"Bearer {till.token}", "If-None-Match": tag}
    async with till.http.get(f"/api/v1/{path}", headers=headers) as answer:
        assert (answer.status == 304) is ((await answer.read()) == b"")
        return answer.status


async def test_what_nobody_edits_has_a_tag_too(inn: Inn) -> None:
    till = await inn.till()
    shift = done(await till.post("shifts", {}), 201)["id"]
    receipt = (await till.sell(item(inn.menu["Cola"])))["id"]
    for path, change in ((f"receipts/{receipt}", f"receipts/{receipt}/void"), (f"shifts/{shift}", f"shifts/{shift}/settle")):
        tag = (await till.get(path)).headers["ETag"]
        assert [await not_modified(till, path, text) for text in (tag, '"x"')] == [304, 200]
        assert (await till.post(change)).status in (200, 201)
        assert await not_modified(till, path, tag) == 200, "more became of it"
    report = done(await till.post("day-close"), 201)["id"]
    tag = (await till.get(f"day-close/{report}")).headers["ETag"]
    assert await not_modified(till, f"day-close/{report}", tag) == 304
