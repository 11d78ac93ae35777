"""Payments that draw on accounts elsewhere, over HTTP: charged exactly as receipts say, whatever the accounts do and whoever dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from libs.contracts.pos.commands import Item, Payment, PayTable, Sell
from libs.contracts.pos.house import ChangeSettings, HouseSettings
from libs.contracts.pos.payments import PaymentStarted
from libs.domain.decider import Command, CommandType
from libs.domain.errors import DomainError
from libs.domain.principal import Principal, system
from services.pos.paying import Payments
from services.pos.service import TENDERS
from services.pos.under_way import HostJournal, Sweep
from tests.accounts import Accounts
from tests.house import Inn, Theke, cash, done, item, refused

CREDIT, VOUCHER = 10, 20


@pytest.fixture
async def accounts(inn: Inn) -> AsyncIterator[Accounts]:
    """Vouchers of the inn: V1 holds 20 euros, V2 five."""
    simulator = TENDERS[VOUCHER] = Accounts(V1=2_000, V2=500)
    yield simulator
    del TENDERS[VOUCHER]


def voucher(amount: str | None = None, reference: str = "V1") -> dict[str, Any]:
    paid: dict[str, Any] = {"type": VOUCHER, "reference": reference}
    return paid if amount is None else {**paid, "amount": Decimal(amount)}


async def sweep(theke: Theke, payments: Payments | None = None) -> None:
    """What another process of pos does with everything that is not over."""
    host = theke.hosts["pos"]
    payments = payments or Payments(HostJournal(host), TENDERS)
    await Sweep(host, payments).once(datetime.now(UTC) + timedelta(minutes=1))


async def events(inn: Inn) -> list[Any]:
    return await inn.theke.hosts["pos"].log.read(inn.instance, 0, 5_000)


async def types(inn: Inn) -> Counter[str]:
    kinds = ("payment.", "receipt.issued")
    return Counter(event.type for event in await events(inn) if event.type.startswith(kinds))


async def over(inn: Inn) -> None:
    """Until every account was told, a few sweeps at most."""
    for _ in range(20):
        await sweep(inn.theke)
        found = await types(inn)
        told = found["payment.confirmed"] + found["payment.released"]
        backs = sum(1 for event in await events(inn) if event.type == "receipt.issued" and event.data.payment and event.data.gross < 0)
        if told == found["payment.started"] and found["payment.returned"] == backs:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("a payment is not over")


def hang_in(question: str) -> Any:
    async def hang(asked: str, _: Any) -> None:
        if asked == question:
            await asyncio.sleep(60)

    return hang


def fail_in(question: str, times: int = 1) -> Any:
    left = [times]

    async def fail(asked: str, _: Any) -> None:
        if asked == question and left[0]:
            left[0] -= 1
            raise ConnectionError("gone")

    return fail


async def test_a_sale_is_paid_by_voucher_and_cash(inn: Inn, accounts: Accounts) -> None:
    till = await inn.till()
    sale = await till.sell(item(inn.menu["Schnitzel"]), paid=(voucher("10.00"), cash("10.00")))
    assert (sale["gross"], sale["change"]) == (Decimal("17.90"), Decimal("2.10"))
    assert [(one["type"], one["amount"]) for one in sale["payments"]] == [(VOUCHER, 10), (0, 10)]
    await over(inn)
    assert accounts.balances["V1"] == 1_000
    assert await types(inn) == {"payment.started": 1, "receipt.issued": 1, "payment.completed": 1, "payment.confirmed": 1}


async def test_bills_that_draw_on_nothing_have_no_stream(inn: Inn, accounts: Accounts) -> None:
    till = await inn.till()
    await till.sell(item(inn.menu["Cola"]))
    await till.order(inn.tables[1], item(inn.menu["Cola"]))
    await till.void((await till.pay(inn.tables[1]))["id"])
    assert await types(inn) == {"receipt.issued": 3}
    assert not accounts.asked


async def test_without_an_account_the_kind_is_not_accepted(inn: Inn) -> None:
    till = await inn.till()
    answer = await till.post("payments/direct-sale", {"items": [item(inn.menu["Cola"])], "payments": [voucher()]})
    refused(answer, 422, "Zahlart nicht möglich", "Zahlart 20 ist noch nicht möglich")
    assert not await types(inn)


async def test_a_declined_voucher_charges_nothing_and_leaves_the_table_open(inn: Inn, accounts: Accounts) -> None:
    till = await inn.till()
    table = inn.tables[1]
    await till.order(table, item(inn.menu["Schnitzel"]))
    body = {"tableId": table, "payments": [voucher("12.00"), voucher(reference="V2")]}
    answer = await till.post("payments/table", body, key="bill-1")
    [text] = refused(answer, 422, "Guthaben zu gering", "Zahlart 20: das Guthaben reicht nicht; nichts wurde belastet")
    [started] = [event.data for event in await events(inn) if event.type == "payment.started"]
    assert started.payment in text
    again = await till.post("payments/table", body, key="bill-1")
    assert (again.status, again.errors) == (422, [text])
    await over(inn)
    assert accounts.balances == {"V1": 2_000, "V2": 500}
    assert [one["name"] for one in await till.open_items(table)] == ["Schnitzel"]
    await till.pay(table)


async def test_eight_at_once_are_one_sale(inn: Inn, accounts: Accounts) -> None:
    till, other = await inn.till(), await inn.theke.another_gateway()
    tills = [till, await inn.till(url=other.address)]
    body = {"items": [item(inn.menu["Cola"])], "payments": [voucher()]}
    answers = await asyncio.gather(*(tills[ix % 2].post("payments/direct-sale", body, key="sale-1") for ix in range(8)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.raw for answer in answers}) == 1
    await over(inn)
    assert accounts.balances["V1"] == 1_650
    assert (await till.post("payments/direct-sale", body, key="sale-1")).raw == answers[0].raw
    changed = {**body, "payments": [cash("5.00")]}
    refused(await till.post("payments/direct-sale", changed, key="sale-1"), 422, "Idempotency-Key bereits verwendet")


async def test_two_devices_pay_one_table(inn: Inn, accounts: Accounts) -> None:
    """One of them does; the other is told, and its voucher is untouched."""
    tills = [await inn.till(), await inn.till("Waiter")]
    table = inn.tables[1]
    for ix in range(3):
        await tills[0].order(table, item(inn.menu["Cola"]))
        vouchers = [voucher(), voucher(reference="V2")]
        answers = await asyncio.gather(
            *(
                till.post("payments/table", {"tableId": table, "payments": [paid]}, key=f"{ix}")
                for till, paid in zip(tills, vouchers, strict=True)
            )
        )
        assert sorted(answer.status for answer in answers) == [201, 409]
        accounts.balances["V2"] += 350
        accounts.balances["V1"] += 350
    await over(inn)
    assert sum(accounts.balances.values()) == 2_500 + 3 * 350
    assert len(await tills[0].receipts()) == 3


async def test_cash_is_taken_while_a_voucher_is_being_asked(inn: Inn, accounts: Accounts) -> None:
    """Nothing holds the table: whoever is first is paid, the other payment is released."""
    till = await inn.till()
    table = inn.tables[1]
    await till.order(table, item(inn.menu["Cola"]))
    asked, go = asyncio.Event(), asyncio.Event()

    async def wait(question: str, _: Any) -> None:
        if question == "reserve":
            asked.set()
            await go.wait()

    accounts.after = wait
    paying = asyncio.create_task(till.post("payments/table", {"tableId": table, "payments": [voucher()]}))
    await asked.wait()
    await till.pay(table)
    go.set()
    refused(await paying, 409, "offen")
    await over(inn)
    assert accounts.balances["V1"] == 2_000


async def test_an_account_that_hangs_leaves_it_open_and_the_sweep_ends_it(inn: Inn, accounts: Accounts) -> None:
    till = await inn.till()
    body = {"items": [item(inn.menu["Cola"])], "payments": [voucher()]}
    accounts.after = hang_in("reserve")
    paying = asyncio.create_task(till.post("payments/direct-sale", body, key="sale-1"))
    for _ in range(200):
        if accounts.asked["reserve"]:
            break
        await asyncio.sleep(0.02)
    refused(await paying, 503, "Ausgang der Zahlung noch offen")
    assert await types(inn) == {"payment.started": 1}
    accounts.after = lambda *_: asyncio.sleep(0)
    await over(inn)
    sale = done(await till.post("payments/direct-sale", body, key="sale-1"), 201)
    assert (sale["number"], accounts.balances["V1"]) == (1, 1_650)
    assert [receipt["id"] for receipt in await till.receipts()] == [sale["id"]]


class Killed(Exception):
    pass


class Dying(HostJournal):
    """A process that dies at its ``last`` step: before the append, or after it and before anybody hears of it."""

    def __init__(self, theke: Theke, last: int, *, after: bool) -> None:
        super().__init__(theke.hosts["pos"])
        self.last = last
        self.after = after

    async def execute(self, type_: CommandType, command: Command[Any], timeout: float) -> tuple[Any, bool]:
        self.last -= 1
        if self.last < 0 or (self.last == 0 and not self.after):
            raise Killed
        answer = await super().execute(type_, command, timeout)
        if self.last == 0:
            raise Killed
        return answer


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("last", [1, 2, 3])
@pytest.mark.parametrize("balance", [2_000, 0])
async def test_a_process_that_dies_at_any_step_leaves_nothing_half_done(
    inn: Inn, accounts: Accounts, last: int, after: bool, balance: int
) -> None:
    theke, dispatcher = inn.theke, inn.theke.hosts["pos"].dispatcher
    accounts.balances["V1"] = balance
    till = await inn.till()
    table = inn.tables[1]
    await till.order(table, item(inn.menu["Cola"]))
    dying = Payments(Dying(theke, last, after=after), TENDERS)
    principal = Principal(inn.instance, "usr_anna", level="system")
    bill = Command(uuid4(), datetime.now(UTC), principal, PayTable(table=table, payments=(Payment(type=VOUCHER, reference="V1"),)))
    outcome: list[Any] = []
    try:
        outcome.append(await dying.pay(dispatcher.commands["receipt.pay_table"], bill, 5.0))
    except (Killed, DomainError) as error:
        outcome.append(error)
    await asyncio.sleep(0)
    await dying.close()
    started = (await types(inn))["payment.started"]
    assert started == (0 if last == 1 and not after else 1)
    await over(inn)
    found = await types(inn)
    paid = int(bool(started) and balance > 0)
    assert (found["payment.completed"], found["payment.abandoned"], found["receipt.issued"]) == (paid, started - paid, paid)
    assert accounts.balances["V1"] == balance - 350 * paid
    assert len(await till.open_items(table)) == 1 - paid
    assert not accounts.reserved


async def test_a_failing_confirmation_is_repeated(inn: Inn, accounts: Accounts) -> None:
    till = await inn.till()
    accounts.before = fail_in("confirm", 2)
    await till.sell(item(inn.menu["Cola"]), paid=(voucher(),))
    await over(inn)
    assert len(accounts.taken) == 1
    assert accounts.asked["confirm"] >= 3


async def test_voids_and_refunds_give_back_to_the_voucher(inn: Inn, accounts: Accounts) -> None:
    till = await inn.till()
    accounts.before = fail_in("refund")
    sale = await till.sell(item(inn.menu["Cola"], 2), paid=(voucher("5.00"), cash("2.00")))
    await till.void(sale["id"])
    await over(inn)
    assert accounts.balances["V1"] == 2_000
    bill = await till.sell(item(inn.menu["Cola"], 3), paid=(voucher("4.50"), voucher("5.00", "V2"), cash("1.00")))
    one = await till.refund(bill["id"], {"id": bill["items"][0]["id"], "quantity": 1})
    assert [(paid["type"], paid["amount"]) for paid in one["payments"]] == [(VOUCHER, Decimal("-3.50"))]
    await till.refund(bill["id"])
    await over(inn)
    assert accounts.balances == {"V1": 2_000, "V2": 500}
    assert (await types(inn))["payment.returned"] == 3


async def test_a_refund_never_puts_more_on_a_voucher_than_came_from_it(inn: Inn, accounts: Accounts) -> None:
    till = await inn.till()
    sale = await till.sell(item(inn.menu["Cola"], 2), paid=(voucher("2.00"), cash("5.00")))
    answer = await till.post(f"receipts/{sale['id']}/refund", {"payments": [voucher("7.00")]})
    refused(answer, 422, "Erstattung zu hoch", "Auf Zahlart 20 gehen höchstens 2,00 € zurück")


async def test_offline_they_are_refused_and_hold_nobody_up(inn: Inn, accounts: Accounts) -> None:
    till = await inn.till()
    at = datetime.now(UTC).isoformat()

    def sale(id_: str, paid: Any) -> dict[str, Any]:
        return {"id": id_, "sequence": 1, "clientTime": at, "type": "sale", "body": {"items": [item(inn.menu["Cola"])], "payments": [paid]}}

    answer = done(await till.post("sync", {"items": [sale("s-1", voucher()), sale("s-2", {"type": 0})]}))
    assert [one["status"] for one in answer["items"]] == ["refused", "done"]
    assert answer["items"][0]["message"] == "Zahlart nur mit Verbindung"
    assert not accounts.asked


async def test_a_payment_belongs_to_its_instance(inn: Inn, shared_inn: Inn, accounts: Accounts) -> None:
    """The account hears whose tender it is; a payment's key means nothing elsewhere; the same key makes another payment."""
    here, there = await inn.till(), await shared_inn.till()
    mine = await here.sell(item(inn.menu["Cola"]), paid=(voucher(),), key="k")
    theirs = await there.sell(item(shared_inn.menu["Cola"]), paid=(voucher(reference="V2"),), key="k")
    await over(inn)
    assert {tender.instance for tender in accounts.taken.values()} == {inn.instance, shared_inn.instance}
    assert len({tender.id for tender in accounts.taken.values()}) == 2
    assert mine["id"] != theirs["id"]
    [started] = [event.data for event in await events(inn) if isinstance(event.data, PaymentStarted)]
    journal = HostJournal(inn.theke.hosts["pos"])
    assert not await journal.read(shared_inn.instance, f"payment-{started.payment}")
    answer = await there.post(f"receipts/{mine['id']}/void")
    refused(answer, 404)
    assert accounts.asked["refund"] == 0


async def test_nobody_without_the_right_starts_a_payment(inn: Inn, accounts: Accounts) -> None:
    host = inn.theke.hosts["pos"]
    payments = Payments(HostJournal(host), TENDERS)
    body = Sell(items=(Item(article=inn.menu["Cola"], quantity=Decimal(1)),), payments=(Payment(type=VOUCHER, reference="V1"),))
    nobody = Command(uuid4(), datetime.now(UTC), Principal(inn.instance, "usr_x"), body)
    with pytest.raises(DomainError, match="missing_right"):
        await payments.pay(host.dispatcher.commands["receipt.sell"], nobody, 5.0)
    assert not accounts.asked


async def test_such_a_receipt_is_signed_like_any_other(inn: Inn, accounts: Accounts) -> None:
    """Its append is heard by whoever signs, and the answer waits for both."""
    body = ChangeSettings(settings=HouseSettings(signing_unit="nowhere"))
    await inn.theke.services.command("pos", "house.change_settings", body, HouseSettings, principal=system(inn.instance, "test"))
    till = await inn.till()
    sale = await till.sell(item(inn.menu["Cola"]), paid=(voucher(),))
    void = await till.void(sale["id"])
    await over(inn)
    ends = [event.stream for event in await events(inn) if event.type == "receipt.unsigned"]
    assert sorted(ends) == sorted(f"receipt-{receipt['id']}" for receipt in (sale, void))
    assert accounts.balances["V1"] == 2_000
