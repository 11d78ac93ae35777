"""Shifts and days over HTTP: what is in the drawer, what a Z report holds, and what a close survives."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from libs.contracts.pos.house import DayClosing
from libs.eventstore.log import Log
from services.pos.closing import Closings
from services.pos.house import STREAM
from tests.house import Inn, Theke, Till, card, cash, done, item, refused

NOTHING = {
    "receiptCount": 0,
    "voidCount": 0,
    "refundCount": 0,
    "gross": 0,
    "net": 0,
    "tax": 0,
    "tips": 0,
    "cash": 0,
    "taxes": [],
    "payments": [],
}


async def x_report(till: Till) -> Any:
    return done(await till.get("day-close/x-report"))


def sums(receipts: list[Any]) -> dict[str, Decimal]:
    return {
        "gross": sum((receipt["gross"] for receipt in receipts), Decimal(0)),
        "tax": sum((receipt["tax"] for receipt in receipts), Decimal(0)),
        "tips": sum((receipt["tip"] for receipt in receipts), Decimal(0)),
    }


async def test_a_shift_from_its_float_to_a_booked_difference(inn: Inn) -> None:
    boss, anna = await inn.till(), await inn.till("Cashier")
    shift = done(await anna.post("shifts", {"openingFloat": Decimal("150.00")}), 201)
    sale = await anna.sell(item(inn.menu["Cola"], 2), paid=[cash("10.00")])
    assert sale["shiftId"] == shift["id"]
    await anna.sell(item(inn.menu["Pils"]), paid=[card("4.20")])
    await boss.sell(item(inn.menu["Pils"]), paid=[cash("5.00")])
    voided = await anna.sell(item(inn.menu["Pils"]), paid=[cash("4.20")])
    await anna.void(voided["id"])
    refused(await boss.post("day-close"), 409, "Schicht noch offen", shift["id"])
    settled = done(await anna.post(f"shifts/{shift['id']}/settle", {"countedCash": Decimal("156.50")}))
    assert (settled["expectedCash"], settled["countedCash"], settled["difference"]) == (
        Decimal("157.00"),
        Decimal("156.50"),
        Decimal("-0.50"),
    )
    assert (settled["totals"]["receiptCount"], settled["totals"]["voidCount"], settled["totals"]["gross"]) == (3, 1, Decimal("11.20"))
    assert (settled["totals"]["cash"], settled["isSettled"]) == (Decimal("7.00"), True)
    assert done(await boss.get(f"shifts/{shift['id']}")) == settled
    assert done(await boss.get("shifts", params={"open": "true"})) == []
    assert [one["id"] for one in done(await boss.get("shifts", params={"open": "false"}))] == [shift["id"]]
    refused(await anna.post(f"shifts/{shift['id']}/settle"), 409, "Schicht bereits abgerechnet")
    report = await boss.close_day()
    assert [(one["id"], one["difference"]) for one in report["shifts"]] == [(shift["id"], Decimal("-0.50"))]


async def test_a_z_report_holds_every_receipt_once_and_then_the_day_is_over(inn: Inn) -> None:
    boss = await inn.till()
    first = await boss.sell(item(inn.menu["Cola"], 2), item(inn.menu["Schnitzel"]), paid=[cash("30.00")], tip=Decimal("1.50"))
    second = await boss.sell(item(inn.menu["Cola"]), paid=[card("3.50")])
    back = await boss.refund(first["id"], {"id": first["items"][0]["id"], "quantity": 1})
    gone = await boss.void(second["id"])
    x = await x_report(boss)
    report = await boss.close_day()
    assert report["number"] == 1
    assert report["totals"] == x["totals"]
    assert report["registers"] == x["registers"]
    everything = [first, second, back, gone]
    assert {name: report["totals"][name] for name in ("gross", "tax", "tips")} == sums(everything)
    assert (report["totals"]["receiptCount"], report["totals"]["voidCount"], report["totals"]["refundCount"]) == (2, 1, 1)
    assert sum(payment["amount"] for payment in report["totals"]["payments"]) == report["totals"]["gross"] + report["totals"]["tips"]
    assert report["registers"] == [
        {"registerId": "1", "firstNumber": 1, "lastNumber": 4, "receipts": 4, "gross": report["totals"]["gross"]}
    ]
    after = await boss.sell(item(inn.menu["Pils"]))
    assert after["businessDay"] > report["date"]
    refused(await boss.post("day-close", {"date": report["date"]}), 409, "Tag bereits abgeschlossen")
    assert (await x_report(boss))["totals"]["gross"] == Decimal("4.20")
    assert done(await boss.get("day-close")) == [report]
    assert done(await boss.get(f"day-close/{report['id']}")) == report


async def test_open_tables_are_a_warning_that_can_be_confirmed(inn: Inn) -> None:
    boss = await inn.till()
    await boss.order(inn.tables[1], item(inn.menu["Cola"]))
    assert [one["tableId"] for one in (await x_report(boss))["openTables"]] == [inn.tables[1]]
    refused(await boss.post("day-close"), 409, "Offene Tische")
    refused(await boss.post("day-close", {"confirm": ["weather"]}), 400, "confirm[0]")
    refused(await boss.post("day-close", {"date": "tomorrow"}), 400, "date")
    refused(await boss.post("day-close", {"date": "9999-12-31"}), 400, "date")
    report = await boss.close_day("openTables")
    assert (report["confirmed"], report["totals"]) == (["openTables"], NOTHING)
    assert (await boss.pay(inn.tables[1]))["businessDay"] > report["date"]


async def test_the_same_key_closes_a_day_once_and_two_at_once_get_one_report(inn: Inn) -> None:
    boss, other = await inn.till(), await inn.till("Manager")
    await boss.sell(item(inn.menu["Cola"]))
    first = await boss.post("day-close", {}, key="close")
    assert done(await boss.post("day-close", {}, key="close"), 201) == done(first, 201)
    await boss.sell(item(inn.menu["Cola"]))
    answers = await asyncio.gather(*(till.post("day-close") for till in (boss, other) for _ in range(4)))
    reports = {answer.data["id"]: answer.data for answer in answers if answer.status == 201}
    assert {answer.status for answer in answers} <= {201, 409}
    first_of_them = min(reports.values(), key=lambda report: report["number"])  # whoever came later closed a day without a sale
    assert first_of_them["totals"]["gross"] == Decimal("3.50")
    numbers = [report["number"] for report in done(await boss.get("day-close"))]
    assert numbers == list(range(1, len(numbers) + 1))
    total = sum(report["totals"]["gross"] for report in done(await boss.get("day-close")))
    assert total == Decimal("7.00")


async def test_sales_while_the_day_is_closed_are_in_exactly_one_report(inn: Inn) -> None:
    boss = await inn.till()
    tills = [await inn.till("Cashier") for _ in range(8)]

    async def sell(till: Till) -> list[Any]:
        return [await till.sell(item(inn.menu["Cola"])) for _ in range(12)]

    selling = [asyncio.create_task(sell(till)) for till in tills]
    await asyncio.sleep(0.1)
    report = await boss.close_day()
    sales = [receipt for sold in await asyncio.gather(*selling) for receipt in sold]
    rest = (await x_report(boss))["totals"]
    assert report["totals"]["receiptCount"] + rest["receiptCount"] == len(sales)
    assert report["totals"]["receiptCount"] == sum(receipt["businessDay"] <= report["date"] for receipt in sales)
    assert report["totals"]["gross"] + rest["gross"] == Decimal("3.50") * len(sales)


async def test_one_bad_receipt_never_blocks_the_day(inn: Inn) -> None:
    """A receipt that nobody can read any more is named; everything else is counted."""
    boss = await inn.till()
    for _ in range(3):
        await boss.sell(item(inn.menu["Cola"]))
    log = inn.theke.hosts["pos"].log
    whole = Log.read_types

    async def torn(self: Log, instance: int, types: Any, *how: Any) -> list[Any]:
        rows = await whole(self, instance, types, *how)
        return [{**row, "data": b"{"} if row["number"] == 2 else row for row in rows]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(log), "read_types", torn)
        report = await boss.close_day()
    assert (report["totals"]["receiptCount"], report["totals"]["gross"]) == (2, Decimal("7.00"))
    assert len(report["unreadable"]) == 1


async def test_a_close_that_was_interrupted_is_finished_by_the_next(inn: Inn) -> None:
    """Between the two halves of a close the process dies: the fence stands, sales go on, and the next close makes the report."""
    boss = await inn.till()
    await boss.sell(item(inn.menu["Cola"]))

    async def dies(*_: Any) -> Any:
        raise RuntimeError("killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Closings, "_until_fence", dies)
        assert (await boss.post("day-close")).status >= 500
    events = await inn.theke.hosts["pos"].log.read_stream(inn.instance, STREAM, 10**9)
    assert [type(event.data) for event in events] == [DayClosing]
    after = await boss.sell(item(inn.menu["Pils"]))
    report = await boss.close_day()
    assert (report["totals"]["gross"], report["number"]) == (Decimal("3.50"), 1)
    assert after["businessDay"] > report["date"]


async def test_who_may_do_what(inn: Inn) -> None:
    waiter, cashier, kitchen = await inn.till("Waiter"), await inn.till("Cashier"), await inn.till("Kitchen")
    refused(await waiter.post("day-close"), 403)
    refused(await cashier.post("day-close"), 403)
    refused(await cashier.get("day-close/x-report"), 403)
    refused(await kitchen.post("shifts", {}), 403)
    shift = done(await waiter.post("shifts", {}), 201)
    refused(await waiter.post(f"shifts/{shift['id']}/settle"), 403)
    done(await cashier.post(f"shifts/{shift['id']}/settle"))
    sale = await cashier.sell(item(inn.menu["Cola"]))
    refused(await waiter.post(f"receipts/{sale['id']}/void"), 403)
    other = await (await inn.till()).sell(item(inn.menu["Cola"]))
    refused(await cashier.post(f"receipts/{other['id']}/void"), 403)
    await cashier.void(sale["id"])


async def test_another_house_sees_no_shift_and_no_report(inn: Inn, theke: Theke) -> None:
    elsewhere = await theke.inn()
    boss, stranger = await inn.till(), await elsewhere.till()
    shift = done(await boss.post("shifts", {}), 201)
    refused(await stranger.get(f"shifts/{shift['id']}"), 404)
    refused(await stranger.post(f"shifts/{shift['id']}/settle"), 404)
    done(await boss.post(f"shifts/{shift['id']}/settle"))
    report = await boss.close_day()
    refused(await stranger.get(f"day-close/{report['id']}"), 404)
    assert done(await stranger.get("day-close")) == []
    assert (await x_report(stranger))["openShifts"] == []
    assert (await stranger.close_day())["number"] == 1
    await elsewhere.close()
