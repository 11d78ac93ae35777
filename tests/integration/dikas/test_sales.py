"""What a till does all day: sell, order, serve, bill, void; every rule through HTTP, every receipt to the cent."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from libs.contracts.inventory.records import TAX_RATE
from libs.contracts.pos.payment_kinds import PAYMENT_KINDS
from tests.house import Inn, Till, card, cash, done, fields_named, free_item, item, refused

D = Decimal
RECEIPT = [
    "id", "number", "registerId", "date", "staffId", "tableId", "items", "taxes", "gross", "net", "tax", "payments", "change", "tip",
    "isVoided", "voidReceiptId", "voidedReceiptId", "refundedReceiptId", "refundReceiptIds", "refunded", "businessDay", "shiftId",
    "offlineDate",
    "isSigned",
]  # fmt: skip
RECEIPT_ITEM = [
    "id", "articleId", "name", "quantity", "unitPrice", "discount", "total", "taxClass", "taxRate", "course", "seat",
]  # fmt: skip


def check_sums(receipt: Any) -> Any:
    """Every cent of a receipt has its place."""
    assert list(receipt) == RECEIPT
    for line in receipt["items"]:
        assert list(line) == RECEIPT_ITEM
        full = (line["unitPrice"] * line["quantity"]).quantize(D("0.01"), "ROUND_HALF_UP")
        assert full - line["discount"] == line["total"]
    by_rate: dict[Decimal, Decimal] = {}
    for line in receipt["items"]:
        by_rate[line["taxRate"]] = by_rate.get(line["taxRate"], D(0)) + line["total"]
    assert {tax["rate"]: tax["gross"] for tax in receipt["taxes"]} == by_rate
    for tax in receipt["taxes"]:
        assert list(tax) == ["rate", "net", "tax", "gross"]
        assert tax["net"] + tax["tax"] == tax["gross"]
        assert abs(tax["net"] - tax["gross"] * 100 / (100 + tax["rate"])) <= D("0.005")
    for name in ("gross", "net", "tax"):
        assert receipt[name] == sum(tax[name] for tax in receipt["taxes"])
    assert sum(payment["amount"] for payment in receipt["payments"]) == receipt["gross"] + receipt["tip"] + receipt["change"]
    return receipt


async def sold(till: Till, *items: Any, **how: Any) -> Any:
    return check_sums(await till.sell(*items, **how))


def line(receipt: Any, ix: int = 0) -> tuple[Any, ...]:
    found = receipt["items"][ix]
    return found["name"], found["quantity"], found["unitPrice"], found["discount"], found["total"]


# --- over the counter ---------------------------------------------------------------------------------------------------------


async def test_a_sale_of_two_rates(inn: Inn) -> None:
    till = await inn.till("Waiter")
    receipt = await sold(till, item(inn.menu["Cola"], 2), item(inn.menu["Schnitzel"]), item(inn.menu["Spende"]), paid=[cash("50")])
    assert [(tax["rate"], tax["net"], tax["tax"], tax["gross"]) for tax in receipt["taxes"]] == [
        (19, D("5.88"), D("1.12"), D("7.00")),
        (7, D("16.73"), D("1.17"), D("17.90")),
        (0, D("1.00"), D("0.00"), D("1.00")),
    ]
    assert (receipt["gross"], receipt["change"], receipt["number"], receipt["registerId"]) == (D("25.90"), D("24.10"), 1, "1")
    assert receipt["staffId"] == done(await till.get("auth/me"))["id"]
    assert (receipt["tableId"], receipt["isVoided"], receipt["voidReceiptId"], receipt["voidedReceiptId"]) == (None, False, None, None)
    assert done(await till.get(f"receipts/{receipt['id']}")) == receipt


async def test_options_carry_surcharges(till: Till, shared_inn: Inn) -> None:
    schnitzel = shared_inn.menu["Schnitzel"]
    options = [{"optionId": "salat", "quantity": 2}, {"optionId": "klein"}]
    receipt = await sold(till, item(schnitzel, 3, options=options), item(schnitzel, options=[{"optionId": "salat"}]))
    assert line(receipt) == ("Schnitzel", 3, D("16.90"), D("0.00"), D("50.70"))
    assert line(receipt, 1) == ("Schnitzel", 1, D("19.40"), D("0.00"), D("19.40"))


async def test_discounts(till: Till, shared_inn: Inn) -> None:
    cola = shared_inn.menu["Cola"]
    receipt = await sold(
        till,
        item(cola, 3, discountPercent=10),
        item(cola, 3, discountAmount=D("0.50")),
        item(cola, discountPercent=D("33.33")),
        item(cola, discountPercent=100),
        item(cola, discountAmount=D("3.50")),
        item(cola, discountPercent=0),
    )
    assert [line(receipt, ix)[3:] for ix in range(6)] == [
        (D("1.05"), D("9.45")),
        (D("0.50"), D("10.00")),
        (D("1.17"), D("2.33")),
        (D("3.50"), D("0.00")),
        (D("3.50"), D("0.00")),
        (D("0.00"), D("3.50")),
    ]


async def test_a_discount_is_not_more_than_the_line(till: Till, shared_inn: Inn) -> None:
    body = {"items": [item(shared_inn.menu["Cola"], discountAmount=D("3.51"))], "payments": [{"type": 0}]}
    answer = await till.post("payments/direct-sale", body)
    assert fields_named(answer) == {"items[0].discountAmount"}
    assert answer.errors == ["Feld 'items[0].discountAmount': muss zwischen 0.00 und 3.50 liegen"]


async def test_the_price_can_be_overridden(till: Till, shared_inn: Inn) -> None:
    receipt = await sold(till, item(shared_inn.menu["Cola"], 2, price=D("2.00")), item(shared_inn.menu["Cola"], price=0))
    assert line(receipt) == ("Cola", 2, D("2.00"), D("0.00"), D("4.00"))
    assert line(receipt, 1) == ("Cola", 1, D("0.00"), D("0.00"), D("0.00"))


async def test_quantities_need_not_be_whole(till: Till, shared_inn: Inn) -> None:
    receipt = await sold(
        till, item(shared_inn.menu["Cola"], "0.333"), free_item("Käse", "19.90", 1, "0.125"), free_item("kWh", "0.0825", 0, 7)
    )
    assert [line(receipt, ix)[1:] for ix in range(3)] == [
        (D("0.333"), D("3.50"), D("0.00"), D("1.17")),
        (D("0.125"), D("19.90"), D("0.00"), D("2.49")),
        (7, D("0.0825"), D("0.00"), D("0.58")),
    ]


async def test_a_free_article(till: Till) -> None:
    receipt = await sold(till, free_item("Tagesgericht", "9.90", 1, 2, note="ohne Zwiebeln", course=2, seat=4))
    found = receipt["items"][0]
    assert (found["articleId"], found["name"], found["taxRate"], found["course"], found["seat"]) == (None, "Tagesgericht", 7, 2, 4)


async def test_a_tip_is_no_turnover(till: Till, shared_inn: Inn) -> None:
    receipt = await sold(till, item(shared_inn.menu["Cola"]), paid=[cash("5.00")], tip=D("0.50"))
    assert (receipt["gross"], receipt["tip"], receipt["change"]) == (D("3.50"), D("0.50"), D("1.00"))


async def test_several_ways_of_paying_at_once(till: Till, shared_inn: Inn) -> None:
    paid = [card("3.00"), {"type": 5, "amount": D("2.00")}, cash("10.00")]
    receipt = await sold(till, item(shared_inn.menu["Cola"], 3), paid=paid)
    assert receipt["payments"] == paid
    assert receipt["change"] == D("4.50")


async def test_one_payment_takes_what_is_missing(till: Till, shared_inn: Inn) -> None:
    receipt = await sold(till, item(shared_inn.menu["Cola"], 3), paid=[card("3.00"), {"type": 0}], tip=D("1.00"))
    assert receipt["payments"] == [card("3.00"), cash("8.50")]


@pytest.mark.parametrize("kind", [kind for kind in PAYMENT_KINDS.values() if not kind.draws], ids=lambda kind: kind.key)
async def test_change_comes_out_of_cash_only(till: Till, shared_inn: Inn, kind: Any) -> None:
    body = {"items": [item(shared_inn.menu["Cola"])], "payments": [{"type": kind.code, "amount": D("5.00")}]}
    answer = await till.post("payments/direct-sale", body)
    if kind.gives_change:
        assert done(answer, 201)["change"] == D("1.50")
    else:
        refused(answer, 422, "Rückgeld nur aus Bargeld", "Zu zahlen 3,50 €; Rückgeld 1,50 €, aber nur 0,00 € bar gegeben")
    english = await till.post("payments/direct-sale", {**body, "payments": [cash("1")]}, headers={"Accept-Language": "en"})
    refused(english, 422, "Payment too low", "€3.50 is due, €2.50 is missing")


@pytest.mark.parametrize("kind", [10, 20, 99])
async def test_ways_of_paying_that_wait_for_their_accounts(till: Till, shared_inn: Inn, kind: int) -> None:
    payments = [{"type": kind, "amount": D("3.50")}]
    answer = await till.post("payments/direct-sale", {"items": [item(shared_inn.menu["Cola"])], "payments": payments})
    refused(answer, 422, "Zahlart nicht möglich", f"Zahlart {kind} ist noch nicht möglich")


async def test_too_little_money(till: Till, shared_inn: Inn) -> None:
    body = {"items": [item(shared_inn.menu["Cola"], 2)], "payments": [cash("5.00")], "tip": D("1.00")}
    refused(await till.post("payments/direct-sale", body), 422, "Zu zahlen 8,00 €, es fehlen 3,00 €")
    refused(await till.post("payments/direct-sale", {**body, "payments": []}), 422, "es fehlen 8,00 €")


async def test_too_much_for_one_receipt(inn: Inn) -> None:
    """What would not fit the log is refused before anything is written."""
    till = await inn.till()
    options = [{"id": f"wahl-{ix}", "name": f"Sonderwunsch Nummer {ix}", "price": 0} for ix in range(20)]
    done(await till.put(f"articles/{inn.menu['Cola']}", {"options": options}))
    chosen = [{"optionId": option["id"]} for option in options]
    body = {"items": [item(inn.menu["Cola"], options=chosen)] * 450, "payments": [{"type": 0}]}
    refused(await till.post("payments/direct-sale", body), 413, "Vorgang zu groß")
    refused(await till.post("open-bons", {"tableId": inn.tables[1], "items": body["items"]}), 413, "Vorgang zu groß")
    assert await till.receipts() == []
    assert await till.open_items(inn.tables[1]) == []


async def test_an_article_that_is_off(inn: Inn) -> None:
    till = await inn.till()
    cola = inn.menu["Cola"]
    assert done(await till.put(f"articles/{cola}", {"isActive": False}))["isActive"] is False
    answer = await till.post("payments/direct-sale", {"items": [item(cola)], "payments": [{"type": 0}]})
    refused(answer, 409, "Artikel ist nicht aktiv", f"Artikel 'Cola' ({cola}) ist nicht aktiv")


async def test_a_voucher_has_no_tax_when_it_is_sold(till: Till) -> None:
    receipt = await sold(till, free_item("Gutschein", "50.00", 99))
    assert receipt["taxes"] == [{"rate": 0, "net": D("50.00"), "tax": D("0.00"), "gross": D("50.00")}]


# --- data, not code -----------------------------------------------------------------------------------------------------------


async def test_the_price_of_the_next_sale_is_the_one_just_written(inn: Inn) -> None:
    till, other = await inn.till(), await inn.till("Waiter")
    for price in ("4.00", "4.10", "0.00", "3.99"):
        done(await till.put(f"articles/{inn.menu['Cola']}", {"price": D(price)}))
        assert (await other.sell(item(inn.menu["Cola"])))["gross"] == D(price)


async def test_a_new_tax_rate_is_used_by_the_next_sale(inn: Inn) -> None:
    till = await inn.till()
    today = datetime.now(UTC).date()
    await inn.add(TAX_RATE, tax_class=1, name="19 % ab morgen", rate=D(19), valid_from=(today + timedelta(days=3)).isoformat())
    assert (await sold(till, item(inn.menu["Salat"])))["taxes"][0]["rate"] == 7
    await inn.add(TAX_RATE, tax_class=1, name="16 %", rate=D(16), valid_from=(today - timedelta(days=2)).isoformat())
    receipt = await sold(till, item(inn.menu["Salat"]))
    assert receipt["taxes"] == [{"rate": 16, "net": D("5.00"), "tax": D("0.80"), "gross": D("5.80")}]


async def test_a_new_tax_class_is_data_too(inn: Inn) -> None:
    till = await inn.till()
    body = {"name": "Wein", "price": D("6.00"), "taxClass": 7, "groupId": inn.group}
    refused(await till.post("articles", body), 400, "Feld 'taxClass': kennt den Wert '7' nicht")
    await inn.add(TAX_RATE, tax_class=7, name="5,5 %", rate=D("5.5"), valid_from="2020-01-01")
    wine = done(await till.post("articles", body), 201)["id"]
    receipt = await sold(till, item(wine), free_item("Most", "2.00", 7))
    assert receipt["taxes"] == [{"rate": D("5.5"), "net": D("7.58"), "tax": D("0.42"), "gross": D("8.00")}]


# --- at the table -------------------------------------------------------------------------------------------------------------


async def status(till: Till, table: str) -> tuple[int, int, Decimal]:
    found = await till.table(table)
    listed = next(one for one in done(await till.get("tables")) if one["id"] == table)
    assert listed == found
    return found["status"], found["openItems"], found["openAmount"]


async def test_a_table_from_the_first_order_to_the_cloth(inn: Inn) -> None:
    till, table = await inn.till("Waiter"), inn.tables[3]
    assert await status(till, table) == (0, 0, D("0.00"))
    await till.order(table, item(inn.menu["Cola"], 2), item(inn.menu["Schnitzel"], course=2))
    assert await status(till, table) == (1, 2, D("24.90"))
    assert (await till.table(table))["occupiedSince"] is not None
    receipt = check_sums(await till.pay(table, cash("30.00"), tip=D("2.00")))
    assert (receipt["tableId"], receipt["gross"], receipt["change"]) == (table, D("24.90"), D("3.10"))
    assert await status(till, table) == (3, 0, D("0.00"))
    refused(await till.post("open-bons", {"tableId": table, "items": [item(inn.menu["Cola"])]}), 409, "Tisch muss erst gereinigt werden")
    refused(await till.post("payments/table", {"tableId": table, "payments": []}), 409, "Nichts zu bezahlen")
    assert done(await till.post(f"tables/{table}/cleaned"))["status"] == 0
    assert await status(till, table) == (0, 0, D("0.00"))
    refused(await till.post(f"tables/{table}/cleaned"), 409, "Tisch muss nicht gereinigt werden")
    assert (await till.table(table))["occupiedSince"] is None


async def test_a_table_that_needs_no_cleaning_is_free_at_once(inn: Inn) -> None:
    till, table = await inn.till(), inn.tables[1]
    await till.order(table, item(inn.menu["Cola"]))
    await till.pay(table)
    assert await status(till, table) == (0, 0, D("0.00"))


async def test_changing_a_table_shows_the_guests_at_it(inn: Inn) -> None:
    till, table = await inn.till(), inn.tables[1]
    await till.order(table, item(inn.menu["Cola"]))
    changed = done(await till.put(f"tables/{table}", {"name": "Fenster", "cleaningRequired": True}))
    assert (changed["name"], changed["status"], changed["openItems"], changed["openAmount"]) == ("Fenster", 1, 1, D("3.50"))
    await till.pay(table)
    assert (await status(till, table))[0] == 3


async def test_courses(inn: Inn) -> None:
    till, table = await inn.till(), inn.tables[1]
    refused(await till.post(f"tables/{table}/gang", {"course": 1}), 409, "Tisch ist nicht besetzt")
    order = await till.order(table, item(inn.menu["Salat"], course=1), item(inn.menu["Schnitzel"], course=2, seat=3))
    assert [(one["course"], one["seat"]) for one in order["items"]] == [(1, None), (2, 3)]
    assert (await till.table(table))["course"] is None
    called = done(await till.post(f"tables/{table}/gang", {"course": 2}))
    assert called == {"id": table, "status": 1, "course": 2, "openItems": 2, "openAmount": D("23.70")}
    assert (await till.table(table))["course"] == 2
    refused(await till.post(f"tables/{table}/gang", {"course": 3}), 409, "Für Gang 3 ist nichts bestellt")
    receipt = await till.pay(table)
    assert [one["course"] for one in receipt["items"]] == [1, 2]
    assert (await till.table(table))["course"] is None


async def test_an_order_answers_with_an_id_per_item(inn: Inn) -> None:
    till, table = await inn.till("Waiter"), inn.tables[1]
    order = await till.order(table, item(inn.menu["Schnitzel"], 2, options=[{"optionId": "salat"}], note="durch", discountPercent=10))
    assert list(order) == ["id", "tableId", "staffId", "createdDate", "items"]
    assert order["id"].startswith("ord_")
    found = order["items"][0]
    assert found["id"].startswith("obn_")
    assert (found["quantity"], found["unitPrice"], found["discount"], found["total"]) == (2, D("19.40"), D("3.88"), D("34.92"))
    assert found["options"] == [{"optionId": "salat", "name": "Salat statt Pommes", "quantity": 1, "price": D("1.50")}]
    [still_open] = await till.open_items(table)
    assert {name: still_open[name] for name in found} == found
    assert (still_open["orderId"], still_open["tableId"], still_open["staffId"]) == (order["id"], table, order["staffId"])
    assert (still_open["openQuantity"], still_open["openAmount"]) == (2, D("34.92"))


async def test_open_items_stand_in_the_order_they_were_placed_and_not_in_that_of_their_ids(inn: Inn) -> None:
    till, table = await inn.till("Waiter"), inn.tables[1]
    placed = [await till.order(table, *(free_item(f"Gericht {number}", "1.00", 1) for number in range(40))) for _ in range(2)]
    ids = [one["id"] for order in placed for one in order["items"]]
    assert sorted(ids[:40]) != ids[:40]  # base 32 writes digits behind letters, so ids alone would not do
    assert [one["id"] for one in await till.open_items(table)] == ids


async def test_selected_items_and_parts_of_items(inn: Inn) -> None:
    """Three guests share: what is paid in parts adds up to the whole, whatever the cents do."""
    till, table = await inn.till(), inn.tables[1]
    order = await till.order(table, free_item("Flasche Wein", "10.00", 0, 3), item(inn.menu["Cola"]), item(inn.menu["Salat"]))
    wine, cola, salad = (one["id"] for one in order["items"])
    first = check_sums(await till.pay(table, items=[{"id": wine, "quantity": 1}, {"id": cola}]))
    assert first["gross"] == D("13.50")
    assert [(one["id"], one["openQuantity"], one["openAmount"]) for one in await till.open_items(table)] == [
        (wine, 2, D("20.00")),
        (salad, 1, D("5.80")),
    ]
    answer = await till.post("payments/table", {"tableId": table, "items": [{"id": wine, "quantity": 3}], "payments": [{"type": 0}]})
    refused(answer, 409, "Menge größer als offen", f"Von Position '{wine}' sind nur 2 offen")
    refused(await till.post("payments/table", {"tableId": table, "items": [{"id": cola}], "payments": [{"type": 0}]}), 409, "nur 0 offen")
    refused(
        await till.post("payments/table", {"tableId": table, "items": [{"id": "obn_x"}], "payments": [{"type": 0}]}),
        404,
        "Position nicht gefunden",
    )
    second = check_sums(await till.pay(table, items=[{"id": wine, "quantity": D("0.5")}]))
    third = check_sums(await till.pay(table, card("20.80")))
    assert first["gross"] + second["gross"] + third["gross"] == D("39.30")
    assert await status(till, table) == (0, 0, D("0.00"))


async def test_thirds_of_a_discounted_line_add_up(inn: Inn) -> None:
    till, table = await inn.till(), inn.tables[1]
    order = await till.order(table, free_item("Platte", "33.35", 1, 3, discountPercent=D("12.5")))
    total = order["items"][0]["total"]
    parts = [check_sums(await till.pay(table, items=[{"id": order["items"][0]["id"], "quantity": 1}]))["gross"] for _ in range(3)]
    assert sum(parts) == total == D("87.54")


async def test_a_bill_longer_than_a_receipt_is_paid_in_two(inn: Inn) -> None:
    till, table = await inn.till(), inn.tables[1]
    orders = [await till.order(table, *[free_item("Kurzer", "2.00")] * 300) for _ in range(2)]
    refused(await till.post("payments/table", {"tableId": table, "payments": [{"type": 0}]}), 409, "Höchstens 500 Positionen auf einmal")
    first = check_sums(await till.pay(table, items=[{"id": one["id"]} for one in orders[0]["items"]]))
    rest = check_sums(await till.pay(table))
    assert (first["gross"], rest["gross"]) == (D("600.00"), D("600.00"))
    assert await status(till, table) == (0, 0, D("0.00"))


async def test_a_batch_of_orders_is_all_or_nothing(inn: Inn) -> None:
    till, one, two = await inn.till(), inn.tables[1], inn.tables[2]
    cola = item(inn.menu["Cola"])
    orders = [{"tableId": one, "items": [cola]}, {"tableId": two, "items": [cola, cola]}, {"tableId": one, "items": [cola]}]
    placed = done(await till.post("open-bons/batch", {"orders": orders}), 201)["orders"]
    assert [(order["tableId"], len(order["items"])) for order in placed] == [(one, 1), (two, 2), (one, 1)]
    assert len({order["id"] for order in placed}) == 3
    bad = [*orders, {"tableId": two, "items": [item("art_gone")]}]
    refused(await till.post("open-bons/batch", {"orders": bad}), 404, "Artikel mit ID 'art_gone' existiert nicht")
    assert (await status(till, one), await status(till, two)) == ((1, 2, D("7.00")), (1, 2, D("7.00")))


async def test_a_table_that_is_off_takes_no_orders_but_guests_may_pay(inn: Inn) -> None:
    till, table = await inn.till(), inn.tables[1]
    await till.order(table, item(inn.menu["Cola"]))
    done(await till.put(f"tables/{table}", {"isActive": False}))
    refused(await till.post("open-bons", {"tableId": table, "items": [item(inn.menu["Cola"])]}), 409, "Tisch ist nicht aktiv")
    assert (await till.pay(table))["gross"] == D("3.50")


async def test_two_devices_at_one_table_lose_no_line(inn: Inn) -> None:
    """32 orders at once through two gateways, and every one of them is on the bill, once."""
    other = await inn.theke.another_gateway()
    tills = [await inn.till("Waiter"), await inn.till("Bar", "Cashier", url=other.address)]
    table = inn.tables[1]
    orders = await asyncio.gather(*(tills[ix % 2].order(table, free_item(f"Bon {ix}", "1.00")) for ix in range(32)))
    ids = {order["items"][0]["id"] for order in orders}
    assert len(ids) == 32
    assert {one["id"] for one in await tills[0].open_items(table)} == ids
    bill = check_sums(await tills[1].pay(table))
    assert {one["id"] for one in bill["items"]} == ids
    assert {one["name"] for one in bill["items"]} == {f"Bon {ix}" for ix in range(32)}


async def test_two_devices_that_bill_one_table_bill_it_once(inn: Inn) -> None:
    tills = [await inn.till("Waiter"), await inn.till("Cashier")]
    table = inn.tables[1]
    await tills[0].order(table, item(inn.menu["Cola"], 2))
    answers = await asyncio.gather(
        *(tills[ix % 2].post("payments/table", {"tableId": table, "payments": [{"type": 0}]}) for ix in range(8))
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    assert len(await tills[0].receipts()) == 1


# --- receipts -----------------------------------------------------------------------------------------------------------------


async def test_a_void_takes_everything_back(inn: Inn) -> None:
    till, table = await inn.till("Manager"), inn.tables[1]
    await till.order(table, item(inn.menu["Cola"], 2, discountPercent=10), item(inn.menu["Schnitzel"]))
    receipt = await till.pay(table, card("5.00"), cash("30.00"), tip=D("1.00"))
    void = await till.void(receipt["id"])
    assert void["number"] == receipt["number"] + 1
    assert void["voidedReceiptId"] == receipt["id"]
    for name in ("gross", "net", "tax", "change", "tip"):
        assert void[name] == -receipt[name]
    assert [(one["quantity"], one["total"]) for one in void["items"]] == [(-one["quantity"], -one["total"]) for one in receipt["items"]]
    assert [one["amount"] for one in void["payments"]] == [-one["amount"] for one in receipt["payments"]]
    original = done(await till.get(f"receipts/{receipt['id']}"))
    assert original == {**receipt, "isVoided": True, "voidReceiptId": void["id"]}
    refused(await till.post(f"receipts/{receipt['id']}/void"), 409, "Beleg ist bereits storniert", f"wurde mit '{void['id']}' storniert")
    refused(await till.post(f"receipts/{void['id']}/void"), 409, "Stornobeleg kann nicht storniert werden")
    assert await status(till, table) == (0, 0, D("0.00"))


async def test_eight_voids_at_once_are_one(inn: Inn) -> None:
    till = await inn.till()
    receipt = await till.sell(item(inn.menu["Cola"]))
    answers = await asyncio.gather(*(till.post(f"receipts/{receipt['id']}/void") for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    assert [one["gross"] for one in await till.receipts()] == [D("3.50"), D("-3.50")]


async def test_registers_count_for_themselves(inn: Inn) -> None:
    till = await inn.till()
    body = {"items": [item(inn.menu["Cola"])], "payments": [{"type": 0}]}
    numbers = []
    for register in ("bar", "garten", "bar", "1", "garten", "bar"):
        receipt = done(await till.post("payments/direct-sale", body, headers={"Theke-Register": register}), 201)
        assert receipt["registerId"] == register
        numbers.append((register, receipt["number"]))
    assert numbers == [("bar", 1), ("garten", 1), ("bar", 2), ("1", 1), ("garten", 2), ("bar", 3)]
    found = done(await till.get("receipts/by-number/2", headers={"Theke-Register": "garten"}))
    assert (found["registerId"], found["number"]) == ("garten", 2)
    refused(await till.get("receipts/by-number/3", headers={"Theke-Register": "garten"}), 404)
    assert done(await till.get("receipts/by-number/1"))["registerId"] == "1"


async def test_32_clients_at_one_register_leave_no_gap(inn: Inn) -> None:
    tills = [await inn.till("Waiter"), await inn.till("Cashier")]
    receipts = await asyncio.gather(*(tills[ix % 2].sell(item(inn.menu["Cola"])) for ix in range(64)))
    assert sorted(receipt["number"] for receipt in receipts) == list(range(1, 65))


async def test_more_than_a_thousand_receipts_come_as_one_list(inn: Inn) -> None:
    """Over several pieces of the cursor and of the bus, in order, and filtered by time to the moment."""
    till = await inn.till()
    menu = list(inn.menu.values())
    ready = asyncio.Semaphore(32)

    async def sale(ix: int) -> Any:
        async with ready:
            return await till.sell(item(menu[ix % len(menu)], 1 + ix % 3), paid=[{"type": ix % 2}])

    sales = await asyncio.gather(*(sale(ix) for ix in range(1050)))
    listed = await till.receipts()
    assert [receipt["number"] for receipt in listed] == list(range(1, 1051))
    assert {receipt["id"]: receipt for receipt in listed} == {receipt["id"]: receipt for receipt in sales}
    await asyncio.sleep(1.1)  # times are shown to the second
    last = await till.sell(item(menu[0]))
    assert [receipt["id"] for receipt in await till.receipts(**{"from": last["date"]})] == [last["id"]]
    before, later = ((datetime.fromisoformat(last["date"]) + timedelta(seconds=by)).isoformat() for by in (-1, 2))
    assert len(await till.receipts(to=last["date"])) == 1051
    assert len(await till.receipts(to=before)) == 1050
    assert len(await till.receipts(**{"from": listed[0]["date"], "to": later})) == 1051
    assert await till.receipts(**{"from": later}) == []
    local = datetime.fromisoformat(last["date"]).astimezone().isoformat()
    answer = await till.ask("GET", f"/api/v1/receipts?from={local}")  # the plus sign is not escaped
    assert [receipt["id"] for receipt in done(answer)] == [last["id"]]


async def test_an_empty_list_is_a_list(inn: Inn) -> None:
    assert await (await inn.till()).receipts() == []


# --- the menu -----------------------------------------------------------------------------------------------------------------


async def test_only_named_fields_change_and_null_clears(inn: Inn) -> None:
    till = await inn.till()
    body = {"name": "Bier", "price": 4, "taxClass": 0, "groupId": inn.group, "plu": "101", "course": 2, "color": "#fff", "unit": "l"}
    made = done(await till.post("articles", {**body, "options": [{"id": "gross", "name": "groß", "price": 1}]}), 201)
    assert made["options"] == [{"id": "gross", "name": "groß", "price": D("1.00")}]
    changed = done(await till.put(f"articles/{made['id']}", {"price": D("4.10"), "plu": None, "options": []}))
    assert changed == {
        **{name: value for name, value in made.items() if name not in ("plu", "options")},
        "price": D("4.10"),
        "changedDate": changed["changedDate"],
    }
    assert done(await till.get(f"articles/{made['id']}")) == changed
    assert done(await till.put(f"articles/{made['id']}", {})) == changed


async def test_a_full_answer_can_be_sent_back(inn: Inn) -> None:
    """Clients read, change a field and send all of it."""
    till = await inn.till()
    for path in (f"articles/{inn.menu['Schnitzel']}", f"article-groups/{inn.group}", f"tables/{inn.tables[1]}"):
        found = done(await till.get(path))
        back = done(await till.put(path, found))
        assert {**back, "changedDate": None} == {**found, "changedDate": None}  # a table's shown name is its number until it has one


async def test_what_must_be_unique_is_named(inn: Inn) -> None:
    till = await inn.till()
    body = {"name": "x", "price": 1, "taxClass": 0, "groupId": inn.group, "plu": "7"}
    done(await till.post("articles", body), 201)
    refused(await till.post("articles", body), 409, "Wert bereits vergeben", "Feld 'plu': '7' ist bereits vergeben")
    refused(await till.post("tables", {"number": 1}), 409, "Feld 'number': '1' ist bereits vergeben")
    done(await till.delete(f"tables/{inn.tables[1]}"))
    done(await till.post("tables", {"number": 1}), 201)


async def test_a_group_with_articles_stays(inn: Inn) -> None:
    till = await inn.till()
    refused(await till.delete(f"article-groups/{inn.group}"), 409, "Artikelgruppe wird verwendet")
    for article in inn.menu.values():
        done(await till.delete(f"articles/{article}"))
    done(await till.delete(f"article-groups/{inn.group}"))
    refused(await till.get(f"article-groups/{inn.group}"), 404)
    refused(await till.delete(f"article-groups/{inn.group}"), 404)


async def test_a_deleted_article_is_not_sold(inn: Inn) -> None:
    till, cola = await inn.till(), inn.menu["Cola"]
    done(await till.delete(f"articles/{cola}"))
    refused(await till.get(f"articles/{cola}"), 404)
    refused(await till.put(f"articles/{cola}", {"name": "x"}), 404)
    refused(await till.post("payments/direct-sale", {"items": [item(cola)], "payments": [{"type": 0}]}), 404, "Artikel nicht gefunden")
    assert cola not in {article["id"] for article in done(await till.get("articles"))}
