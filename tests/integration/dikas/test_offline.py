"""Tills that were cut off: what they recorded is brought in once, whatever way it arrives, and a bad one holds up nobody."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from libs.contracts.pos.commands import ITEMS_PER_ORDER_MAX
from libs.contracts.pos.house import ChangeSettings, HouseSettings
from libs.domain.errors import unavailable
from libs.domain.principal import system
from tests.house import Inn, Theke, Till, done, fields_named, free_item, item, refused

REGISTER = {"Theke-Register": "van"}
SLOWLY_S = 0.5


def ago(minutes: float = 60) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


def command(id_: str, type_: str, body: Any, sequence: int = 1, *, at: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": id_, "sequence": sequence, "clientTime": at or ago(), "type": type_, "body": body, **more}


def sale(id_: str, article: str, sequence: int = 1, **more: Any) -> dict[str, Any]:
    return command(id_, "sale", {"items": [item(article)], "payments": [{"type": 0}]}, sequence, **more)


async def sync(till: Till, *items: Any, headers: Any = None) -> Any:
    return done(await till.post("sync", {"items": items}, headers=headers))


async def owns_numbers(inn: Inn, *registers: str) -> None:
    settings = HouseSettings(offline_registers=registers)
    principal = system(inn.instance, "test")
    await inn.theke.services.command("pos", "house.change_settings", ChangeSettings(settings=settings), HouseSettings, principal=principal)


async def test_a_sale_made_offline_counts_once_and_keeps_its_time(inn: Inn) -> None:
    till = await inn.till()
    at = ago(90)
    sold = sale("s-1", inn.menu["Cola"], at=at)
    first = await sync(till, sold)
    assert (first["done"], first["refused"]) == (1, 0)
    receipt = first["items"][0]["receipt"]
    assert (receipt["gross"], receipt["number"]) == (Decimal("3.50"), 1)
    assert receipt["offlineDate"] == datetime.fromisoformat(at).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert await sync(till, sold) == first
    assert len(await till.receipts()) == 1


async def test_an_evening_without_the_line(inn: Inn) -> None:
    """Orders, their bill by item, a void and a refund refer to each other by the till's own ids."""
    till = await inn.till()
    table, menu = inn.tables[1], inn.menu
    order = command("o-1", "order", {"tableId": table, "items": [item(menu["Cola"], 2), item(menu["Pils"])]}, 1)
    bill = command("p-1", "tablePayment", {"tableId": table, "items": [{"id": "@o-1/0"}], "payments": [{"type": 1}]}, 2)
    rest = command("p-2", "tablePayment", {"tableId": table, "payments": [{"type": 0}]}, 3)
    counter = sale("s-1", menu["Schnitzel"], 4)
    void = command("v-1", "void", {"receiptId": "@s-1"}, 5)
    back = command("r-1", "refund", {"receiptId": "@p-1", "items": [{"id": "@o-1/0", "quantity": 1}]}, 6)
    answer = await sync(till, rest, back, order, void, counter, bill)
    assert (answer["done"], answer["refused"]) == (6, 0), answer
    by_id = {one["id"]: one for one in answer["items"]}
    assert [one["id"] for one in answer["items"]] == ["p-2", "r-1", "o-1", "v-1", "s-1", "p-1"]
    assert by_id["p-1"]["receipt"]["gross"] == Decimal("7.00")
    assert by_id["p-2"]["receipt"]["gross"] == Decimal("4.20")
    assert by_id["v-1"]["receipt"]["voidedReceiptId"] == by_id["s-1"]["receipt"]["id"]
    assert by_id["r-1"]["receipt"]["gross"] == Decimal("-3.50")
    assert (await till.table(table))["status"] == 0
    assert (await sync(till, order, bill, rest, counter, void, back))["refused"] == 0
    assert len(await till.receipts()) == 5


async def test_a_bad_one_is_listed_and_holds_up_nobody(inn: Inn) -> None:
    till = await inn.till()
    cola = inn.menu["Cola"]
    bad = [
        sale("b-1", "art_none"),
        command("b-2", "sale", {"items": [], "payments": []}),
        command("b-3", "sale", {"items": [item(cola)], "payments": "cash"}),
        command("b-4", "dance", {}),
        {"id": "b-5"},
        sale("b-6", cola, at="yesterday"),
        sale("b-7", cola, at=(datetime.now(UTC) + timedelta(days=1)).isoformat()),
        sale("b-8", cola, at=(datetime.now(UTC) - timedelta(days=400)).isoformat()),
        sale("an id with blanks", cola),
        command("b-9", "void", {"receiptId": "@nothing"}),
        command("b-10", "sale", {"items": [free_item("x", "1.00")] * (ITEMS_PER_ORDER_MAX + 1), "payments": [{"type": 0}]}),
        command("b-11", "tablePayment", {"tableId": "tbl_none", "items": [{"id": "@g-1/9999"}], "payments": [{"type": 0}]}),
        "no object",
    ]
    good = [sale(f"g-{number}", cola, number) for number in range(5)]
    answer = await sync(till, *bad[:6], *good, *bad[6:])
    statuses = {one["id"]: one["status"] for one in answer["items"] if one["id"] is not None}
    assert [statuses[one["id"]] for one in good] == ["done"] * 5
    assert (answer["done"], answer["refused"]) == (5, len(bad))
    assert all(one["message"] and one["errors"] for one in answer["items"] if one["status"] == "refused")
    assert len(await till.receipts()) == len(good)
    assert [one["errors"] for one in answer["items"] if one["id"] == "b-1"] == [["Artikel mit ID 'art_none' existiert nicht"]]


async def test_a_register_that_may_be_cut_off_numbers_its_receipts_itself(inn: Inn) -> None:
    till = await inn.till()
    await owns_numbers(inn, "van")
    answer = await sync(till, *(sale(f"s-{n}", inn.menu["Cola"], n, number=n) for n in (3, 1, 2)), headers=REGISTER)
    assert {one["id"]: one["receipt"]["number"] for one in answer["items"]} == {"s-1": 1, "s-2": 2, "s-3": 3}
    twice = await sync(till, sale("other", inn.menu["Cola"], 9, number=2), headers=REGISTER)
    assert twice["items"][0]["message"] == "Wert bereits vergeben"
    refused(await till.post("payments/direct-sale", sale("x", inn.menu["Cola"])["body"], headers=REGISTER), 409, "nummeriert")
    bare = await sync(till, sale("bare", inn.menu["Cola"], 10), headers=REGISTER)
    assert bare["items"][0]["message"] == "Kasse nummeriert selbst"
    elsewhere = await sync(till, sale("elsewhere", inn.menu["Cola"], 1, number=1))
    assert elsewhere["items"][0]["message"] == "Kasse nummeriert nicht selbst"
    assert done(await till.get("receipts/by-number/2", headers=REGISTER))["id"] == answer["items"][2]["receipt"]["id"]
    report = await till.close_day()
    assert [(one["registerId"], one["firstNumber"], one["lastNumber"], one["receipts"]) for one in report["registers"]] == [
        ("van", 1, 3, 3)
    ]


async def test_who_numbers_a_register_does_not_change(inn: Inn) -> None:
    till = await inn.till()
    await till.sell(item(inn.menu["Cola"]))
    with pytest.raises(Exception, match="register_has_receipts"):
        await owns_numbers(inn, "1")
    await owns_numbers(inn, "van")
    with pytest.raises(Exception, match="register_stays_offline"):
        await owns_numbers(inn)


async def test_a_document_of_a_closed_day_is_booked_on_the_open_one(inn: Inn) -> None:
    till = await inn.till()
    await till.sell(item(inn.menu["Cola"]))
    report = await till.close_day()
    late = (await sync(till, sale("late", inn.menu["Cola"], at=ago(30))))["items"][0]["receipt"]
    assert late["businessDay"] > report["date"]
    assert late["offlineDate"] < report["closedDate"]
    assert done(await till.get("day-close/x-report"))["totals"]["gross"] == Decimal("3.50")


async def test_a_day_that_came_in_late_is_not_the_last_one(inn: Inn) -> None:
    """The newest receipt in the log is from the day before yesterday; closing means up to the last day there is a receipt of."""
    till = await inn.till()
    today = await till.sell(item(inn.menu["Cola"]))
    late = (await sync(till, sale("late", inn.menu["Cola"], at=ago(48 * 60))))["items"][0]["receipt"]
    assert late["businessDay"] < today["businessDay"]
    report = await till.close_day()
    assert (report["firstDate"], report["date"]) == (late["businessDay"], today["businessDay"])
    assert report["totals"]["gross"] == Decimal("7.00")


async def test_a_thousand_sales_sent_twice_shuffled_with_a_bad_one(inn: Inn) -> None:
    """Nothing is lost, nothing doubled, no number is missing."""
    till = await inn.till()
    dice = random.Random(7)
    at = ago(120)
    commands = [sale(f"s-{n}", dice.choice(list(inn.menu.values())), n, at=at) for n in range(999)]
    commands.insert(500, sale("bad", "art_none", 500, at=at))
    began = time.perf_counter()
    first = await sync(till, *commands)
    dice.shuffle(commands)
    second = await sync(till, *commands)
    print(f"1,000 offline sales sent twice: {time.perf_counter() - began:.1f} s")
    assert (first["done"], first["refused"], second["done"], second["refused"]) == (999, 1, 999, 1)
    receipts = await till.receipts()
    assert sorted(receipt["number"] for receipt in receipts) == list(range(1, 1000))
    answers = {one["id"]: one["receipt"] for one in first["items"] if one["status"] == "done"}
    assert {one["id"]: one["receipt"] for one in second["items"] if one["status"] == "done"} == answers


async def test_uploads_at_once_are_one(inn: Inn) -> None:
    till = await inn.till()
    at = ago()
    commands = [sale(f"s-{n}", inn.menu["Cola"], n, at=at) for n in range(50)]
    answers = await asyncio.gather(*(sync(till, *commands) for _ in range(3)))
    assert all(answer == answers[0] for answer in answers)
    assert len(await till.receipts()) == 50


async def test_an_upload_is_asked_for_again_only_once_nothing_of_it_is_under_way(
    inn: Inn, theke: Theke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of its sales met a log that was away: the answer left the others at work, and the repeat came among them."""
    dispatcher = theke.hosts["pos"].dispatcher
    execute, under_way, tries, met = dispatcher.execute, set(), Counter(), []

    async def slow(type_: Any, command: Any, *, timeout: float) -> Any:
        tries[command.id] += 1
        if tries.total() == 1:
            raise unavailable("log_unreachable")
        met.append(command.id in under_way)
        under_way.add(command.id)
        await asyncio.sleep(SLOWLY_S)
        under_way.discard(command.id)
        return await execute(type_, command, timeout=timeout)

    monkeypatch.setattr(dispatcher, "execute", slow)
    till = await inn.till()
    answer = await sync(till, *(sale(f"s-{number}", inn.menu["Cola"], number) for number in range(3)))
    assert (answer["done"], answer["refused"]) == (3, 0)
    assert sorted(tries.values()) == [2, 2, 2]
    assert not any(met)


async def test_uploads_are_bounded_and_guarded(inn: Inn, theke: Theke) -> None:
    till, kitchen = await inn.till(), await inn.till("Kitchen")
    assert fields_named(await till.post("sync", {"items": []})) == {"items"}
    assert fields_named(await till.post("sync", {"items": [{}] * 1001})) == {"items"}
    assert fields_named(await till.post("sync", {})) == {"items"}
    refused(await kitchen.post("sync", {"items": [sale("s", inn.menu["Cola"])]}), 403)
    assert (await till.post("sync", raw=b'{"items": [' + b" " * 5_000_000 + b"]}")).status == 413
    elsewhere = await theke.inn()
    stranger = await elsewhere.till()
    sold = sale("s", inn.menu["Cola"])
    own, foreign = await sync(till, sold), await sync(stranger, sold)
    assert (own["done"], foreign["refused"]) == (1, 1)
    waiter = await inn.till("Waiter")
    answer = await sync(waiter, command("v", "void", {"receiptId": own["items"][0]["receipt"]["id"]}))
    assert answer["items"][0]["message"] == "Keine Berechtigung"
    await elsewhere.close()
