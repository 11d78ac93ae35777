"""An evening in a house with twelve tables: three at the tills, four hundred orders in courses, bills in parts and in mixed money. In
the end receipts, orders, open items and the log tell the same story to the cent."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from decimal import Decimal
from typing import Any, Final

from libs.contracts.pos.events import LinesPaid, OrderPlaced, ReceiptIssued, ReceiptVoided
from libs.contracts.pos.records import TABLE
from tests.house import Inn, Till, done, free_item, item

SEED: Final = 20260305
TABLES: Final = 12
ORDERS: Final = 400
VOIDS: Final = 5
CENT: Final = Decimal("0.01")


class Evening:
    """What the staff wrote down: every order and every receipt as it was answered."""

    def __init__(self, inn: Inn, tables: list[str]) -> None:
        self.inn = inn
        self.tables = tables
        self.orders: list[Any] = []
        self.receipts: list[Any] = []

    async def serve(self, till: Till, dice: random.Random, tables: list[str], orders: int) -> None:
        """One waiter's evening: order, call a course, take money; tables are shared with nobody while guests sit."""
        for _ in range(orders):
            table = dice.choice(tables)
            if (await till.table(table))["status"] == 3:
                done(await till.post(f"tables/{table}/cleaned"))
            await self._order(till, dice, table)
            if dice.random() < 0.2:
                done(await till.post(f"tables/{table}/gang", {"course": self.orders_at(table)[-1]["items"][0]["course"]}))
            if dice.random() < 0.35:
                await self._bill(till, dice, table)
            if dice.random() < 0.1:
                await self._counter(till, dice)

    def orders_at(self, table: str) -> list[Any]:
        return [order for order in self.orders if order["tableId"] == table]

    async def _order(self, till: Till, dice: random.Random, table: str) -> None:
        courses = sorted(dice.choices((1, 2, 3), k=dice.randint(1, 4)))
        self.orders.append(await till.order(table, *(self._item(dice, course) for course in courses)))

    def _item(self, dice: random.Random, course: int) -> dict[str, Any]:
        if dice.random() < 0.15:
            price = str(Decimal(dice.randint(50, 3000)).scaleb(-2))
            return free_item("Tagesgericht", price, dice.choice((0, 1, 2)), dice.randint(1, 3), course=course)
        name = dice.choice(list(self.inn.menu))
        more: dict[str, Any] = {"course": course, "seat": dice.randint(1, 6)}
        if name == "Schnitzel" and dice.random() < 0.5:
            more["options"] = [{"optionId": dice.choice(("salat", "klein"))}]
        if dice.random() < 0.2:
            more["discountPercent"] = Decimal(dice.choice(("5", "10", "12.5", "33.33", "100")))
        return item(self.inn.menu[name], dice.choice(("1", "2", "3", "0.5", "0.333")), **more)

    async def _bill(self, till: Till, dice: random.Random, table: str) -> None:
        """Everything, some lines, or a part of one line; in cash, by card, or both."""
        still_open = await till.open_items(table)
        how = dice.random()
        chosen: list[dict[str, Any]] | None = None
        if how < 0.35:
            chosen = [{"id": line["id"]} for line in dice.sample(still_open, dice.randint(1, len(still_open)))]
        elif how < 0.7:
            line = dice.choice(still_open)
            part = (line["openQuantity"] * Decimal(dice.randint(1, 9)) / 10).quantize(Decimal("0.001"))
            chosen = [{"id": line["id"], "quantity": max(part, Decimal("0.001"))}]
        more = {} if chosen is None else {"items": chosen}
        self.receipts.append(await till.pay(table, *self._money(dice), tip=self._tip(dice), **more))

    async def _counter(self, till: Till, dice: random.Random) -> None:
        sold = await till.sell(self._item(dice, 1), self._item(dice, 1), paid=self._money(dice), tip=self._tip(dice))
        self.receipts.append(sold)

    def _tip(self, dice: random.Random) -> Decimal:
        return Decimal(dice.choice((0, 0, 50, 100, 137))).scaleb(-2)

    def _money(self, dice: random.Random) -> list[dict[str, Any]]:
        """What is missing, in one kind; a note that may be more than enough beside it."""
        rest = {"type": dice.choice((0, 1, 4, 5))}
        note = {"type": dice.choice((0, 3)), "amount": Decimal(dice.choice((1, 2, 5, 50)))}
        return [[rest], [rest, note], [note, rest]][dice.randint(0, 2)]


async def test_an_evening(inn: Inn) -> None:
    tables = [
        *inn.tables.values(),
        *[await inn.add(TABLE, number=number, needs_cleaning=number % 2 == 0) for number in range(4, TABLES + 1)],
    ]
    evening = Evening(inn, tables)
    staff = [await inn.till("Waiter", user="kim"), await inn.till("Waiter", user="toni"), await inn.till("Cashier", user="mika")]
    shares = [ORDERS // 3, ORDERS // 3, ORDERS - 2 * (ORDERS // 3)]
    await asyncio.gather(*(evening.serve(till, random.Random(SEED + ix), tables[ix::3], shares[ix]) for ix, till in enumerate(staff)))
    manager = await inn.till("Manager")
    evening.receipts += [await manager.void(receipt["id"]) for receipt in evening.receipts[:: len(evening.receipts) // VOIDS][:VOIDS]]
    assert len(evening.orders) == ORDERS
    await receipts_agree_with_what_was_answered(manager, evening)
    await every_line_is_paid_or_open(manager, evening)
    await the_log_agrees(inn, evening)


async def receipts_agree_with_what_was_answered(till: Till, evening: Evening) -> None:
    listed = await till.receipts()
    assert [receipt["number"] for receipt in listed] == list(range(1, len(evening.receipts) + 1))
    answered = {receipt["id"]: receipt for receipt in evening.receipts}
    assert len(answered) == len(evening.receipts)
    voids = {receipt["voidedReceiptId"]: receipt["id"] for receipt in listed if receipt["voidedReceiptId"]}
    assert len(voids) == VOIDS
    for receipt in listed:
        void = voids.get(receipt["id"])
        assert receipt == {**answered[receipt["id"]], "isVoided": void is not None, "voidReceiptId": void}
        assert sum(payment["amount"] for payment in receipt["payments"]) == receipt["gross"] + receipt["tip"] + receipt["change"]
        assert receipt["gross"] == sum(line["total"] for line in receipt["items"])
        assert receipt["gross"] == receipt["net"] + receipt["tax"] == sum(tax["gross"] for tax in receipt["taxes"])
        assert all(tax["net"] + tax["tax"] == tax["gross"] for tax in receipt["taxes"])


async def every_line_is_paid_or_open(till: Till, evening: Evening) -> None:
    """Each ordered line: what receipts billed of it and what is open make up all of it, in quantity and money."""
    quantity: dict[str, Decimal] = defaultdict(Decimal)
    amount: dict[str, Decimal] = defaultdict(Decimal)
    for receipt in evening.receipts:
        if receipt["tableId"] and not receipt["voidedReceiptId"]:
            for line in receipt["items"]:
                quantity[line["id"]] += line["quantity"]
                amount[line["id"]] += line["total"]
    at_tables = {table: await till.open_items(table) for table in evening.tables}
    for table, still_open in at_tables.items():
        shown = await till.table(table)
        assert shown["openItems"] == len(still_open)
        assert shown["openAmount"] == sum((line["openAmount"] for line in still_open), Decimal(0))
        assert (shown["status"] == 1) == bool(still_open)
        for line in still_open:
            assert line["openQuantity"] > 0
            quantity[line["id"]] += line["openQuantity"]
            amount[line["id"]] += line["openAmount"]
    ordered = {line["id"]: line for order in evening.orders for line in order["items"]}
    assert {id_: line["quantity"] for id_, line in ordered.items()} == quantity
    assert {id_: line["total"] for id_, line in ordered.items()} == amount
    assert sum(map(len, at_tables.values())) > 0, "the dice left nothing open"


async def the_log_agrees(inn: Inn, evening: Evening) -> None:
    events: list[Any] = []
    log = inn.theke.hosts["pos"].log
    while page := await log.read(inn.instance, events[-1].position if events else 0, 500):
        events += page
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    placed = [event.data for event in events if isinstance(event.data, OrderPlaced)]
    assert {order.order: cents(sum(line.total for line in order.lines)) for order in placed} == {
        order["id"]: sum(line["total"] for line in order["items"]) for order in evening.orders
    }
    issued = {event.data.receipt: event for event in events if isinstance(event.data, ReceiptIssued)}
    for receipt in evening.receipts:
        event = issued.pop(receipt["id"])
        assert event.number == receipt["number"]
        assert [cents(value) for value in (event.data.gross, event.data.net, event.data.tax, event.data.tip, event.data.change)] == [
            receipt[name] for name in ("gross", "net", "tax", "tip", "change")
        ]
    assert not issued, "the log knows receipts that nobody was told of"
    paid = [event.data for event in events if isinstance(event.data, LinesPaid)]
    assert {one.receipt: cents(sum(part.amount for part in one.parts)) for one in paid} == {
        receipt["id"]: receipt["gross"] for receipt in evening.receipts if receipt["tableId"] and not receipt["voidedReceiptId"]
    }
    assert sum(isinstance(event.data, ReceiptVoided) for event in events) == VOIDS


def cents(minor: int) -> Decimal:
    return minor * CENT
