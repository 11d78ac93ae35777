"""Payments that draw on accounts elsewhere: one end each, and never money without a receipt or a receipt without money."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from libs.contracts.pos.commands import Payment, PayTable, Receipt, RefundedItem, RefundReceipt, Sell, VoidReceipt
from libs.contracts.pos.payments import (
    AbandonPayment,
    CompletePayment,
    DrawnTender,
    PaymentAbandoned,
    PaymentCompleted,
    PaymentStarted,
)
from libs.contracts.pos.permissions import PAYMENTS, VOIDS
from libs.domain.clock import FixedClock
from libs.domain.decider import Command, CommandType
from libs.domain.errors import DomainError, Kind
from libs.domain.events import Recorded
from libs.domain.principal import Principal
from services.pos.facts import SaleFacts
from services.pos.paying import ALARM_AFTER_TRIES, GIVE_UP_AFTER, Payments
from services.pos.payments import ABANDON, COMPLETE, START_BILL, START_SALE, StartFacts, refusal_of
from services.pos.tender import DRAWN
from services.pos.tenders import TenderPort
from tests.accounts import Accounts
from tests.unit.given import COMMANDS, INSTANCE, NOON, STAFF, Given, Log, given
from tests.unit.pos.inn import FACTS, PAY_TABLE, REFUND, SELL, VOID, cash, d, ids, item, order, pay

CREDIT, VOUCHER, HOUSE_TAB = 10, 20, 99
ALL = StartFacts(FACTS, DRAWN)
WITHIN_S = 0.2


def voucher(amount: int | None = None, reference: str = "V1") -> Payment:
    return Payment(type=VOUCHER, amount=amount, reference=reference)


def credit(amount: int | None = None, reference: str = "C1") -> Payment:
    return Payment(type=CREDIT, amount=amount, reference=reference)


COLA = Sell(items=(item("cola", 2),), payments=(voucher(500), cash()))  # 7.00

# --- deciding -----------------------------------------------------------------------------------------------------------------


def test_a_payment_starts_with_what_is_due_and_what_is_to_be_asked() -> None:
    started = given().when(START_SALE, COLA, facts=ALL)
    key = started.reply.payment
    tenders = (DrawnTender(id=f"{key}-0", type=VOUCHER, amount=500, reference="V1"),)
    started.then(PaymentStarted(payment=key, due=700, currency="EUR", tenders=tenders, staff=STAFF, at=NOON, sale=COLA))


def test_a_bill_names_its_lines_so_that_later_orders_are_no_part_of_it() -> None:
    placed = order(given(), "tbl_1", item("cola"))
    started = placed.when(START_BILL, PayTable(table="tbl_1", payments=(voucher(),)), facts=ALL)
    [event] = started.events
    assert isinstance(event, PaymentStarted)
    assert event.bill is not None
    assert event.bill.items is not None
    assert [line.line for line in event.bill.items] == ids(placed)
    more = order(started, "tbl_1", item("wine"))
    done = more.when(COMPLETE, CompletePayment(payment=event.payment, bill=event.bill), facts=FACTS)
    assert [type(one).__name__ for one in done.events] == ["ReceiptIssued", "LinesPaid", "PaymentCompleted"]
    assert done.events[0].gross == 350  # type: ignore[attr-defined]


def test_what_the_bill_would_be_refused_for_is_refused_before_anything_is_asked() -> None:
    given().when(START_SALE, Sell(items=(item("cola"),), payments=(voucher(100),)), facts=ALL).refused(Kind.UNPROCESSABLE, "payment_short")
    given().when(START_SALE, Sell(items=(item("cola"),), payments=(voucher(500),)), facts=ALL).refused(
        Kind.UNPROCESSABLE, "change_exceeds_cash"
    )
    twice = Sell(items=(item("cola", 2),), payments=(voucher(100), voucher()))
    given().when(START_SALE, twice, facts=ALL).refused(Kind.INVALID, "invalid_fields", "payments[1].reference: repeated")
    bill = PayTable(table="tbl_1", payments=(voucher(),))
    given().when(START_BILL, bill, facts=ALL).refused(Kind.CONFLICT, "nothing_to_pay")


def test_a_kind_that_is_not_plugged_in_is_refused_beside_one_that_is() -> None:
    both = Sell(items=(item("cola"),), payments=(voucher(100), credit()))
    outcome = given().when(START_SALE, both, facts=StartFacts(FACTS, frozenset({VOUCHER})))
    outcome.refused(Kind.UNPROCESSABLE, "payment_type_not_accepted", "payments[1].type")


def test_two_accounts_of_a_kind_are_two_tenders() -> None:
    both = Sell(items=(item("cola", 2),), payments=(voucher(300), voucher(reference="V2")))
    [event] = given().when(START_SALE, both, facts=ALL).events
    assert isinstance(event, PaymentStarted)
    assert [(one.reference, one.amount) for one in event.tenders] == [("V1", 300), ("V2", 400)]


def complete(at: Any, started: Any) -> Any:
    [event] = started.events
    return at.when(COMPLETE, CompletePayment(payment=event.payment, sale=event.sale, bill=event.bill), facts=FACTS)


def test_the_receipt_names_the_payment_and_ends_it_in_one_append() -> None:
    started = given().when(START_SALE, COLA, facts=ALL)
    issued, completed = complete(started, started).events
    assert issued.payment == started.reply.payment
    assert completed == PaymentCompleted(payment=started.reply.payment, receipt=issued.receipt, at=NOON)


def test_an_end_is_the_end() -> None:
    started = given().when(START_SALE, COLA, facts=ALL)
    no = AbandonPayment(payment=started.reply.payment, refusal=refusal_of(DomainError(Kind.UNPROCESSABLE, "tender_declined")))
    done = complete(started, started)
    done.when(ABANDON, no).then()
    complete(done, started).then()
    abandoned = given(*started.events).when(ABANDON, no)
    complete(abandoned, started).then()
    abandoned.when(ABANDON, no).then()


def test_lines_that_somebody_else_paid_meanwhile_abandon_the_payment() -> None:
    placed = order(given(), "tbl_1", item("cola"))
    started = placed.when(START_BILL, PayTable(table="tbl_1", payments=(voucher(),)), facts=ALL)
    [event] = complete(pay(started), started).events
    assert isinstance(event, PaymentAbandoned)
    assert (event.refusal.kind, event.refusal.reason) == ("conflict", "nothing_to_pay")


def test_a_price_that_changed_meanwhile_abandons_the_payment() -> None:
    started = given().when(START_SALE, COLA, facts=ALL)
    dearer = {**FACTS.articles, "art_cola": msgspec.structs.replace(FACTS.articles["art_cola"], price=d("3.60"))}
    body = CompletePayment(payment=started.reply.payment, sale=COLA)
    [event] = started.when(COMPLETE, body, facts=SaleFacts(dearer, FACTS.rates)).events
    assert isinstance(event, PaymentAbandoned)
    assert event.refusal.reason == "bill_changed"


# --- carrying it to its end, whatever fails --------------------------------------------------------------------------------------


class Killed(Exception):
    """The process ends here."""


class Book:
    """A log in memory as payments use it; each command under its id once. ``crash`` is asked before and after every append."""

    def __init__(self) -> None:
        self.log = Log()
        self.done: dict[UUID, Any] = {}
        self.crash: Any = lambda: False

    async def read(self, instance: int, stream: str) -> Sequence[Recorded]:
        await asyncio.sleep(0)
        return [event for event in self.log.recorded if event.stream == stream]

    async def execute(self, type_: CommandType, command: Command[Any], timeout: float) -> tuple[Any, bool]:
        await asyncio.sleep(0)
        assert command.principal.may(type_.permission, write=True)
        self._perhaps_die()
        if command.id not in self.done:
            facts = ALL if type_.name.startswith("payment.start") else FACTS
            by, rights = command.principal.user, {PAYMENTS: True, VOIDS: True}
            outcome = Given(self.log).when(type_, command.body, facts=facts, at=command.at, by=by, permissions=rights, id=command.id)
            if outcome.error is not None:
                raise outcome.error
            self.done[command.id] = outcome.reply
        self._perhaps_die()
        return self.done[command.id], False

    def _perhaps_die(self) -> None:
        if self.crash():
            raise Killed

    def of(self, *types: str) -> list[Any]:
        return [event.data for event in self.log.recorded if event.type in types]

    def under_way(self) -> list[tuple[str, str | None]]:
        """What the sweep would find."""
        over = {event.payment for event in self.of("payment.confirmed", "payment.released", "payment.returned")}
        found: list[tuple[str, str | None]] = [(event.payment, None) for event in self.of("payment.started")]
        found += [(event.payment, event.receipt) for event in self.of("receipt.issued") if event.payment and (event.voids or event.refunds)]
        return [one for one in found if one[0] not in over]


class World:
    def __init__(self, *, within: float = WITHIN_S, **balances: int) -> None:
        self.book = Book()
        self.accounts = Accounts(**balances)
        self.clock = FixedClock(NOON)
        self.within = within
        self.process = self.another()

    def another(self) -> Payments:
        """A process that has just started."""
        ports: dict[int, TenderPort] = dict.fromkeys(DRAWN, self.accounts)
        return Payments(self.book, ports, self.clock, self.within)

    def command(self, body: Any, name: str) -> Command[Any]:
        rights = {PAYMENTS: True, VOIDS: True, "pos.own_voids": True}
        return Command(uuid5(COMMANDS, name), NOON, Principal(INSTANCE, STAFF, level="system", permissions=rights), body)

    async def pay(self, body: Sell | PayTable, name: str = "pay", timeout: float = 5.0) -> Receipt:
        assert self.process.draws(body)
        type_ = SELL if isinstance(body, Sell) else PAY_TABLE
        receipt, _ = await self.process.pay(type_, self.command(body, name), timeout)
        return receipt

    async def take_back(self, body: VoidReceipt | RefundReceipt, name: str = "back") -> Receipt:
        type_ = VOID if isinstance(body, VoidReceipt) else REFUND
        receipt, _ = await self.process.take_back(type_, self.command(body, name), 5.0)
        return receipt

    async def sweep(self) -> None:
        for payment, receipt in self.book.under_way():
            await self.process.go_on(INSTANCE, payment, receipt)

    async def settle(self) -> None:
        for _ in range(3):
            await self.sweep()
        assert not self.book.under_way()

    def check(self) -> None:
        """Money and receipts tell the same."""
        ends: Counter[str] = Counter(event.payment for event in self.book.of("payment.completed", "payment.abandoned"))
        assert ends == Counter(event.payment for event in self.book.of("payment.started"))
        assert set(ends.values()) <= {1}
        receipts = [event for event in self.book.of("receipt.issued") if event.payment is not None]
        drawn = Counter[str]()
        for receipt in receipts:
            for payment in receipt.payments:
                if payment.type in DRAWN:
                    drawn[payment.reference or ""] += payment.amount
        charged = Counter[str]()
        for tender in self.accounts.taken.values():
            charged[tender.reference or ""] += tender.amount
        for tender in self.accounts.returned.values():
            charged[tender.reference or ""] -= tender.amount
        assert not self.accounts.reserved, "nothing stays reserved"
        assert {**drawn} == {name: charged[name] for name in drawn}
        assert {event.payment for event in self.book.of("payment.completed")} == {one.payment for one in self.accounts.taken.values()}


async def test_a_voucher_pays_and_is_charged_once() -> None:
    world = World(V1=2000)
    receipt = await world.pay(COLA)
    assert [(one.type, one.amount) for one in receipt.payments] == [(VOUCHER, 500), (0, 200)]
    await world.settle()
    assert world.accounts.balances == {"V1": 1500}
    assert [event.TYPE for event in world.book.of("payment.confirmed", "payment.released")] == ["payment.confirmed"]
    world.check()


async def test_a_declined_tender_leaves_the_others_intact() -> None:
    world = World(V1=2000, C1=1)
    with pytest.raises(DomainError) as refusal:
        await world.pay(Sell(items=(item("cola", 2),), payments=(cash(100), voucher(500), credit())))
    assert (refusal.value.kind, refusal.value.reason) == (Kind.UNPROCESSABLE, "tender_balance_too_low")
    assert refusal.value.fields[0].path == "payments[2]"
    assert refusal.value.params["type"] == CREDIT
    await world.settle()
    assert world.accounts.balances == {"V1": 2000, "C1": 1}
    assert not world.book.of("receipt.issued")
    world.check()


async def test_no_answer_is_not_a_no_and_asking_again_tells() -> None:
    world = World(V1=2000)

    async def hang(question: str, _: Any) -> None:
        if question == "reserve":
            await asyncio.sleep(60)

    world.accounts.after = hang  # reserved, but nobody heard it
    with pytest.raises(DomainError) as unknown:
        await world.pay(COLA)
    assert (unknown.value.kind, unknown.value.reason) == (Kind.UNAVAILABLE, "payment_under_way")
    assert not world.book.of("payment.abandoned", "receipt.issued")
    world.accounts.after = lambda *_: asyncio.sleep(0)
    receipt = await world.pay(COLA)
    assert await world.pay(COLA) == receipt
    await world.settle()
    assert world.accounts.balances == {"V1": 1500}
    world.check()


async def test_a_payment_nobody_can_finish_is_given_up_and_a_late_reservation_does_no_harm() -> None:
    world = World(V1=2000)
    late: list[Any] = []

    async def lost(question: str, tender: Any) -> None:
        if question == "reserve":
            late.append(tender)
            raise ConnectionError

    world.accounts.before = lost
    with pytest.raises(DomainError, match="payment_under_way"):
        await world.pay(COLA)
    world.clock.advance(GIVE_UP_AFTER)
    await world.settle()
    with pytest.raises(DomainError, match="payment_given_up"):
        await world.pay(COLA)
    world.accounts.now_reserve(late[0])
    assert world.accounts.balances == {"V1": 2000}
    world.check()


async def test_a_confirmation_that_fails_is_told_again_and_alarms() -> None:
    world = World(V1=2000)

    async def down(question: str, _: Any) -> None:
        if question == "confirm":
            raise ConnectionError

    world.accounts.before = down
    receipt = await world.pay(COLA)
    assert receipt.gross == 700
    with capture_logs() as logs:
        for _ in range(ALARM_AFTER_TRIES):
            await world.sweep()
    assert [entry["log_level"] for entry in logs][-2:] == ["warning", "error"]
    assert (logs[-1]["payment"], logs[-1]["tries"]) == (world.book.under_way()[0][0], ALARM_AFTER_TRIES)
    world.accounts.before = lambda *_: asyncio.sleep(0)
    await world.settle()
    world.check()


async def test_eight_at_once_are_one_payment() -> None:
    world = World(V1=2000)
    receipts = await asyncio.gather(*(world.pay(COLA) for _ in range(8)))
    assert all(receipt == receipts[0] for receipt in receipts)
    await world.settle()
    assert world.accounts.balances == {"V1": 1500}
    world.check()


async def test_a_void_gives_back_what_was_drawn_once() -> None:
    world = World(V1=2000)
    receipt = await world.pay(COLA)
    void = await world.take_back(VoidReceipt(receipt=receipt.id))
    assert void == await world.take_back(VoidReceipt(receipt=receipt.id))
    await world.settle()
    assert world.accounts.balances == {"V1": 2000}
    assert [event.receipt for event in world.book.of("payment.returned")] == [void.id]
    world.check()


async def test_refunds_go_back_to_the_accounts_they_came_from() -> None:
    world = World(V1=1000, V2=1000)
    receipt = await world.pay(Sell(items=(item("cola", 2),), payments=(voucher(300), voucher(reference="V2"))))
    for ix in range(2):
        one = RefundReceipt(receipt=receipt.id, items=(RefundedItem(line=receipt.lines[0].id, quantity=d(1)),))
        await world.take_back(one, f"back {ix}")
    await world.settle()
    assert world.accounts.balances == {"V1": 1000, "V2": 1000}
    world.check()


async def test_no_more_goes_back_to_an_account_than_came_from_it() -> None:
    world = World(V1=1000)
    receipt = await world.pay(COLA)
    with pytest.raises(DomainError, match="refund_exceeds_tender"):
        await world.take_back(RefundReceipt(receipt=receipt.id, payments=(voucher(600), cash())))
    with pytest.raises(DomainError, match="refund_exceeds_tender"):
        await world.take_back(RefundReceipt(receipt=receipt.id, payments=(voucher(reference="V9"),)), "other")
    await world.take_back(RefundReceipt(receipt=receipt.id, payments=(cash(),)), "in cash")
    await world.settle()
    assert world.accounts.balances == {"V1": 500}


BILLS = (
    COLA,
    Sell(items=(item("wine"),), payments=(voucher(300), credit(300), voucher(reference="V2"))),
    PayTable(table="tbl_1", payments=(voucher(200), credit())),
    PayTable(table="tbl_1", payments=(credit(),)),
)


@settings(max_examples=150, deadline=None)
@for_all(st.data())
def test_whatever_fails_and_dies_money_and_receipts_agree(data: st.DataObject) -> None:
    """Accounts that decline, fail before and after they did something, and answer late; processes that die around any append."""
    faults = data.draw(st.lists(st.sampled_from(["", "", "", "before", "after", "late", "dies"]), min_size=5, max_size=60))
    bills = data.draw(st.lists(st.sampled_from(range(len(BILLS))), min_size=1, max_size=4))
    balances = {name: data.draw(st.sampled_from([0, 250, 5000]), label=name) for name in ("V1", "V2", "C1")}
    asyncio.run(_a_bad_day(iter(faults), bills, balances, data.draw(st.booleans()), data.draw(st.booleans())))


async def _a_bad_day(faults: Any, bills: list[int], balances: dict[str, int], back: bool, given_up: bool) -> None:
    world = World(within=1.0, **balances)
    late: list[Any] = []

    async def before(question: str, tender: Any) -> None:
        fault = next(faults, "")
        if fault == "late" and question == "reserve":
            late.append(tender)
        if fault in ("before", "late"):
            raise ConnectionError

    async def after(question: str, tender: Any) -> None:
        if next(faults, "") == "after":
            raise TimeoutError

    world.accounts.before, world.accounts.after = before, after
    world.book.log = order(Given(world.book.log), "tbl_1", item("cola")).log
    world.book.crash = lambda: next(faults, "") == "dies"

    async def alive(work: Any) -> Any:
        try:
            return await work
        except Killed:
            await world.process.close()
            world.process = world.another()
        except DomainError:
            pass
        return None

    receipts = [await alive(world.pay(BILLS[bill], f"bill {ix}")) for ix, bill in enumerate(bills)]
    if given_up:
        world.clock.advance(GIVE_UP_AFTER)
    await alive(world.sweep())
    for ix, receipt in enumerate(receipts):
        if receipt is not None and back:
            await alive(world.take_back(VoidReceipt(receipt=receipt.id), f"void {ix}"))
    for _ in range(40):  # the faults come to an end
        await world.sweep()
        for tender in late:
            world.accounts.now_reserve(tender)
    await world.settle()
    world.check()
    total = sum(world.accounts.balances.values()) + sum(one.amount for one in world.accounts.taken.values())
    assert total - sum(one.amount for one in world.accounts.returned.values()) == sum(balances.values())
