"""Thirty-two at once on the same thing: no gap, no 5xx, no cent twice. One table and one item: ``test_floor``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.house import Answer, Inn, Till, cash, done, item
from tests.integration.dikas import books

CLIENTS: Final = 32
REPEATS: Final = 8


async def crowd(inn: Inn, role: str = "Manager") -> list[Till]:
    """Devices of the same person, each with connections of its own."""
    first = await inn.till(role)
    tills = [first]
    for _ in range(CLIENTS - 1):
        till = inn.stranger()
        till.token = first.token
        tills.append(till)
    return tills


def statuses(answers: list[Answer]) -> dict[int, int]:
    found = [answer.status for answer in answers]
    return {status: found.count(status) for status in sorted(set(found))}


async def everything_adds_up(inn: Inn, till: Till) -> list[Any]:
    receipts, events = await till.receipts(), await books.read_all(inn)
    fold = books.receipts_are_the_log(receipts, events)
    books.numbers_have_no_gap(receipts)
    books.what_was_taken_back_adds_up(receipts)
    await books.days_hold_every_receipt_once(till, receipts, events, fold)
    await books.shifts_hold_their_cash(till, receipts)
    return receipts


async def test_32_clients_at_one_till(inn: Inn) -> None:
    tills = await crowd(inn, "Manager")

    async def sell(till: Till) -> list[Any]:
        return [await till.sell(item(inn.menu["Cola"]), paid=[cash("5.00")]) for _ in range(4)]

    sold = [receipt for own in await asyncio.gather(*(sell(till) for till in tills)) for receipt in own]
    assert sorted(receipt["number"] for receipt in sold) == list(range(1, 4 * CLIENTS + 1))
    assert len(await everything_adds_up(inn, tills[0])) == 4 * CLIENTS


async def test_32_clients_take_the_same_receipt_back(inn: Inn) -> None:
    """Voids and refunds of all of it: one wins, and the money goes back once."""
    tills = await crowd(inn)
    sold = await tills[0].sell(item(inn.menu["Cola"], 3), item(inn.menu["Schnitzel"]), paid=[cash("40.00")], tip=Decimal("1.60"))
    path = f"receipts/{sold['id']}"
    answers = await asyncio.gather(*(till.post(f"{path}/{'void' if ix % 2 else 'refund'}") for ix, till in enumerate(tills)))
    assert statuses(list(answers)) == {201: 1, 409: CLIENTS - 1}
    receipts = await everything_adds_up(inn, tills[0])
    assert (len(receipts), sum(receipt["gross"] for receipt in receipts)) == (2, 0)
    x = done(await tills[0].get("day-close/x-report"))["totals"]
    assert (x["gross"], x["tips"], x["cash"]) == (0, 0, 0)


async def test_32_clients_take_back_one_of_twenty(inn: Inn) -> None:
    tills = await crowd(inn)
    sold = await tills[0].sell(item(inn.menu["Cola"], 20, discountPercent=7), paid=[{"type": 1}], tip=Decimal("0.33"))
    wanted = {"items": [{"id": sold["items"][0]["id"], "quantity": 1}]}
    answers = await asyncio.gather(*(till.post(f"receipts/{sold['id']}/refund", wanted) for till in tills))
    assert statuses(list(answers)) == {201: 20, 409: CLIENTS - 20}
    receipts = await everything_adds_up(inn, tills[0])
    assert sum(receipt["gross"] + receipt["tip"] for receipt in receipts) == 0


async def test_a_table_is_paid_once_whoever_asks(inn: Inn) -> None:
    tills = await crowd(inn, "Manager")
    table = inn.tables[1]
    await tills[0].order(table, item(inn.menu["Cola"], 2), item(inn.menu["Pils"]))
    body = {"tableId": table, "payments": [cash("20.00")]}
    answers = await asyncio.gather(*(till.post("payments/table", body) for till in tills))
    assert statuses(list(answers)) == {201: 1, 409: CLIENTS - 1}
    assert [receipt["gross"] for receipt in await everything_adds_up(inn, tills[0])] == [Decimal("11.20")]


async def test_a_shift_is_settled_while_it_sells(inn: Inn) -> None:
    """What was sold before the count is in it, what came later is in no shift; nothing is in between."""
    tills = await crowd(inn, "Manager")
    shift = done(await tills[0].post("shifts", {"openingFloat": 100}), 201)

    sold: list[Any] = []
    in_the_thick_of_it = asyncio.Event()

    async def sell(till: Till) -> None:
        for _ in range(6):
            sold.append(await till.sell(item(inn.menu["Cola"]), paid=[cash("4.00")], tip=Decimal("0.50")))
            if len(sold) >= CLIENTS:
                in_the_thick_of_it.set()

    selling = [asyncio.create_task(sell(till)) for till in tills[1:]]
    await in_the_thick_of_it.wait()
    settled = done(await tills[0].post(f"shifts/{shift['id']}/settle", {"countedCash": 200}))
    await asyncio.gather(*selling)
    own = [receipt for receipt in sold if receipt["shiftId"] == shift["id"]]
    assert 0 < len(own) < len(sold)
    assert settled["expectedCash"] == 100 + 4 * len(own)
    assert settled["totals"]["receiptCount"] == len(own)
    await everything_adds_up(inn, tills[0])


async def test_days_are_closed_while_32_sell_and_take_back(inn: Inn) -> None:
    tills = await crowd(inn)
    rounds = 5

    async def trade(till: Till, number: int) -> None:
        for _ in range(rounds):
            sold = await till.sell(item(inn.menu["Cola"], 2))
            if number % 3 == 0:
                await till.void(sold["id"])
            elif number % 3 == 1:
                await till.refund(sold["id"], {"id": sold["items"][0]["id"], "quantity": 1})

    trading = [asyncio.create_task(trade(till, number)) for number, till in enumerate(tills)]
    closed = []
    for _ in range(3):
        await asyncio.sleep(0.1)
        closed.append(done(await tills[0].post("day-close"), 201))
    await asyncio.gather(*trading)
    closed.append(done(await tills[0].post("day-close"), 201))
    assert [report["number"] for report in closed] == [1, 2, 3, 4]
    receipts = await everything_adds_up(inn, tills[0])
    assert sum(report["totals"]["receiptCount"] for report in closed) <= rounds * CLIENTS
    taken_back = sum(receipt["gross"] < 0 for receipt in receipts)
    assert taken_back == rounds * sum(number % 3 != 2 for number in range(CLIENTS))


# --- one key, eight at once ---------------------------------------------------------------------------------------------------

Prepared = tuple[str, str, Any, int]


async def prepare_order(inn: Inn, till: Till) -> Prepared:
    return "POST", "open-bons", {"tableId": inn.tables[1], "items": [item(inn.menu["Cola"], 2)]}, 201


async def prepare_table_payment(inn: Inn, till: Till) -> Prepared:
    await till.order(inn.tables[1], item(inn.menu["Cola"], 2))
    return "POST", "payments/table", {"tableId": inn.tables[1], "payments": [{"type": 0}]}, 201


async def prepare_move(inn: Inn, till: Till) -> Prepared:
    await till.order(inn.tables[1], item(inn.menu["Cola"], 2))
    return "POST", f"tables/{inn.tables[1]}/move", {"targetTableId": inn.tables[2]}, 200


async def prepare_item_move(inn: Inn, till: Till) -> Prepared:
    order = await till.order(inn.tables[1], item(inn.menu["Cola"], 2))
    return "POST", f"open-bons/{order['items'][0]['id']}/move", {"targetTableId": inn.tables[2], "quantity": 1}, 200


async def prepare_cancel(inn: Inn, till: Till) -> Prepared:
    order = await till.order(inn.tables[1], item(inn.menu["Cola"], 4))
    return "DELETE", f"open-bons/{order['items'][0]['id']}?reason=aus&quantity=1", None, 200


async def prepare_void(inn: Inn, till: Till) -> Prepared:
    return "POST", f"receipts/{(await till.sell(item(inn.menu['Cola'])))['id']}/void", None, 201


async def prepare_refund(inn: Inn, till: Till) -> Prepared:
    sold = await till.sell(item(inn.menu["Cola"], 8))
    return "POST", f"receipts/{sold['id']}/refund", {"items": [{"id": sold["items"][0]["id"], "quantity": 1}]}, 201


async def prepare_shift(inn: Inn, till: Till) -> Prepared:
    return "POST", "shifts", {"openingFloat": 50}, 201


async def prepare_settle(inn: Inn, till: Till) -> Prepared:
    shift = done(await till.post("shifts", {}), 201)
    await till.sell(item(inn.menu["Cola"]))
    return "POST", f"shifts/{shift['id']}/settle", {"countedCash": 3}, 200


async def prepare_close(inn: Inn, till: Till) -> Prepared:
    await till.sell(item(inn.menu["Cola"]))
    return "POST", "day-close", {}, 201


async def prepare_sync(inn: Inn, till: Till) -> Prepared:
    at = (await till.sell(item(inn.menu["Cola"])))["date"]
    body = {"items": [item(inn.menu["Cola"])], "payments": [{"type": 0}]}
    items = [{"id": f"s-{number}", "sequence": number, "clientTime": at, "type": "sale", "body": body} for number in range(5)]
    return "POST", "sync", {"items": items}, 200


PREPARE: Final[dict[str, Callable[[Inn, Till], Awaitable[Prepared]]]] = {
    name.removeprefix("prepare_"): function for name, function in list(globals().items()) if name.startswith("prepare_")
}


@pytest.mark.parametrize("write", PREPARE)
async def test_one_key_eight_at_once(inn: Inn, write: str) -> None:
    """All get the same answer, later ones too, and it was done once."""
    till = await inn.till()
    method, path, body, status = await PREPARE[write](inn, till)
    head = (await books.read_all(inn))[-1:]
    answers = await asyncio.gather(*(till.ask(method, path, body, key="once") for _ in range(REPEATS)))
    assert statuses(list(answers)) == {status: REPEATS}, answers[0].body
    assert {answer.raw for answer in answers} == {answers[0].raw}
    once = await books.read_all(inn)
    assert (await till.ask(method, path, body, key="once")).raw == answers[0].raw
    assert len(await books.read_all(inn)) == len(once)
    since = [event.type for event in once if not head or event.position > head[0].position]
    assert len({event.command for event in once if not head or event.position > head[0].position}) == COMMANDS.get(write, 1), since


COMMANDS: Final = {"settle": 2, "close": 2, "sync": 5}  # what is counted or fenced first takes two
