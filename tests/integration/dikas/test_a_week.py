"""A week of a restaurant, drawn at random: whatever its staff did, reports, Z reports, receipts, shifts and the log agree to the cent.

Every second seed lives through the week in which the clock goes back, the others through the one in which it goes forward. More and
longer weeks: ``WEEK_SEEDS=20 WEEK_STEPS=200``.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import pytest

from libs.contracts.pos.events import ReceiptIssued
from libs.domain.clock import FixedClock
from tests.house import Inn, Theke, cash, done, item
from tests.integration.dikas import books
from tests.integration.dikas.restaurant import VAN, Restaurant, day_at, part_of

SEEDS: Final = int(os.environ.get("WEEK_SEEDS", "3"))
STEPS_PER_DAY: Final = int(os.environ.get("WEEK_STEPS", "60"))
MONDAYS: Final = (date(2025, 10, 20), date(2026, 3, 23))  # the clock is changed in the night to the Sunday
# what must have happened in a week, or the test would show nothing
HAPPENS: Final = {
    "sale", "order", "table paid", "seat paid", "part paid", "item cancelled", "item moved", "split", "void 201", "refund of a part",
    "refund of the rest", "shift opened", "shift settled", "sync", "X report",
}  # fmt: skip


@pytest.fixture(scope="module")
async def moved(theke: Theke) -> AsyncIterator[tuple[str, FixedClock]]:
    """A gateway whose clock is moved by hand."""
    clock = FixedClock(datetime(2025, 1, 1, tzinfo=UTC))
    gateway = await theke.another_gateway(clock=clock)
    yield gateway.address, clock
    theke.gateways.remove(gateway)
    await gateway.stop()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_week_to_the_cent(inn: Inn, moved: tuple[str, FixedClock], seed: int) -> None:
    house = await Restaurant.open(inn, *moved, random.Random(seed))
    await house.live(MONDAYS[seed % len(MONDAYS)], STEPS_PER_DAY)
    print(f"seed {seed}: {dict(sorted(house.week.happened.items()))}")
    assert house.week.happened.keys() >= HAPPENS
    till, week = house.boss, house.week
    receipts, events = await till.receipts(), await books.read_all(inn)
    assert {receipt["id"] for receipt in receipts} == set(week.receipts)
    for receipt in receipts:
        changes = ("isVoided", "voidReceiptId", "refundReceiptIds", "refunded")
        assert {**receipt, **{name: week.receipts[receipt["id"]][name] for name in changes}} == week.receipts[receipt["id"]]
    fold = books.receipts_are_the_log(receipts, events)
    books.numbers_have_no_gap(receipts, own=(VAN,))
    books.what_was_taken_back_adds_up(receipts)
    await books.days_hold_every_receipt_once(till, receipts, events, fold)
    assert done(await till.get("day-close")) == week.reports
    assert await books.shifts_hold_their_cash(till, receipts) == len(week.settled)
    await books.reports_say_the_same(till, receipts)
    await books.tables_are_the_log(inn, till, house.tables, events)
    booked = {day_at(event.data.client_at or event.data.at) for event in events if event.type == ReceiptIssued.TYPE}
    assert len(booked) >= 7


async def test_everything_taken_back_leaves_nothing(inn: Inn) -> None:
    """Every mix of payments, refunded line by line or voided: per rate, per kind, in X and in every report there is nothing left."""
    dice = random.Random(11)
    till = await inn.till()
    mixes: list[list[Any]] = [
        [{"type": 0}], [{"type": 1}], [{"type": 3}], [{"type": 4}], [{"type": 5}], [cash("3.33"), {"type": 1}],
        [{"type": 4}, cash("200.00")],
        [{"type": 1}, {"type": 3, "amount": 50}, cash("100.00")], [{"type": 5, "amount": 1}, {"type": 1, "amount": 2}, {"type": 3}],
    ]  # fmt: skip
    for mix in mixes:
        for tip in (Decimal(0), Decimal("0.01"), Decimal("2.37")):
            lines = [item(article, dice.choice(("1", "3", "0.333")), discountPercent=dice.choice((0, 7))) for article in inn.menu.values()]
            sold = await till.sell(*lines, paid=mix, tip=tip)
            await take_back(till, dice, sold)
    receipts = await till.receipts()
    books.what_was_taken_back_adds_up(receipts)
    x = done(await till.get("day-close/x-report"))["totals"]
    span = {"from": receipts[0]["businessDay"], "to": receipts[-1]["businessDay"]}
    revenue = done(await till.get("reports/revenue", params=span))
    kinds = done(await till.get("reports/payment-methods", params=span))
    groups = done(await till.get("reports/wgr", params=span))
    assert {name: x[name] for name in ("gross", "net", "tax", "tips", "cash")} == dict.fromkeys(("gross", "net", "tax", "tips", "cash"), 0)
    assert {revenue[name] for name in ("gross", "net", "tax", "tip")} == {0}
    assert len(x["taxes"]) == len(revenue["taxes"]) == 3
    assert all(tax[name] == 0 for report in (x, revenue) for tax in report["taxes"] for name in ("net", "tax", "gross"))
    assert [one["type"] for one in x["payments"]] == [one["type"] for one in kinds["payments"]] == [0, 1, 3, 4, 5]
    assert all(one["amount"] == 0 for report in (x, revenue, kinds) for one in report["payments"])
    assert {one["tip"] for one in kinds["payments"]} == {0}
    assert all(group["gross"] == group["quantity"] == 0 for group in groups["groups"])
    assert x["receiptCount"] == revenue["receiptCount"] == 3 * len(mixes)
    report = await till.close_day()
    assert report["totals"] == x


async def take_back(till: Any, dice: random.Random, sold: Any) -> None:
    """By a void, all at once, or line by line with one of them in two steps."""
    way = dice.randrange(4)
    if way == 0:
        await till.void(sold["id"])
        return
    if way > 1:
        lines = dice.sample(sold["items"], len(sold["items"]))
        await till.refund(sold["id"], {"id": lines[0]["id"], "quantity": part_of(lines[0]["quantity"], 3)})
        for line in lines[1:3]:
            await till.refund(sold["id"], {"id": line["id"]})
    await till.refund(sold["id"])
