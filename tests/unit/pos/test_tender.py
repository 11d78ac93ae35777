"""Paying: kinds, mixed payments, exact amounts, tips and change."""

from __future__ import annotations

import pytest

from libs.contracts.pos.commands import PAYMENT_MAX_MINOR, PAYMENTS_MAX, Payment
from libs.contracts.pos.events import PaymentTaken
from libs.contracts.pos.payment_kinds import PAYMENT_KINDS
from libs.domain.errors import Kind
from tests.unit.pos.inn import CARD, CASH, NET_CARD, NET_CASH, TRANSFER, card, cash, item, sell

BOTTLE = item("wine")  # 10.00


def taken(*payments: tuple[int, int]) -> tuple[PaymentTaken, ...]:
    return tuple(PaymentTaken(type=type_, amount=amount) for type_, amount in payments)


@pytest.mark.parametrize("type_", [CASH, CARD, NET_CASH, NET_CARD, TRANSFER])
def test_every_accepted_kind_pays_exactly(type_: int) -> None:
    reply = sell(BOTTLE, payments=(Payment(type=type_, amount=1000),)).reply
    assert (reply.payments, reply.change) == (taken((type_, 1000)), 0)


@pytest.mark.parametrize("type_", [10, 20, 99])
def test_kinds_without_their_account_are_refused(type_: int) -> None:
    outcome = sell(BOTTLE, payments=(cash(100), Payment(type=type_, amount=900)))
    outcome.refused(Kind.UNPROCESSABLE, "payment_type_not_accepted", "payments[1].type")
    assert outcome.error is not None
    assert outcome.error.params == {"type": type_, "kind": PAYMENT_KINDS[type_].key}


@pytest.mark.parametrize("type_", [2, -1, 1000])
def test_unknown_kinds_are_invalid(type_: int) -> None:
    sell(BOTTLE, payments=(Payment(type=type_, amount=1000),)).refused(Kind.INVALID, "invalid_fields", "payments[0].type")


def test_cash_without_an_amount_is_exact() -> None:
    reply = sell(BOTTLE, payments=(cash(),)).reply
    assert (reply.payments, reply.change) == (taken((CASH, 1000)), 0)


def test_one_payment_takes_what_the_others_leave() -> None:
    reply = sell(BOTTLE, payments=(cash(), card(700)), tip=50).reply
    assert reply.payments == taken((CASH, 350), (CARD, 700))


def test_a_payment_that_has_nothing_to_take_is_left_out() -> None:
    reply = sell(BOTTLE, payments=(card(), cash(1000))).reply
    assert (reply.payments, reply.change) == (taken((CASH, 1000)), 0)


def test_only_one_payment_may_leave_its_amount_open() -> None:
    sell(BOTTLE, payments=(cash(), card())).refused(Kind.INVALID, "invalid_fields", "payments[1].amount: required")


@pytest.mark.parametrize(
    ("payments", "change"),
    [
        ((cash(2000),), 1000),
        ((card(700), cash(500)), 200),
        ((card(700), cash(300)), 0),
        ((Payment(type=NET_CASH, amount=5000),), 4000),
        ((card(999), cash(1)), 0),
    ],
)
def test_change_comes_out_of_cash(payments: tuple[Payment, ...], change: int) -> None:
    reply = sell(BOTTLE, payments=payments).reply
    assert reply.change == change
    assert reply.payments == taken(*((payment.type, payment.amount or 0) for payment in payments)), "kept as tendered"


def test_change_never_comes_out_of_a_card() -> None:
    outcome = sell(BOTTLE, payments=(card(1500), cash(499)))
    outcome.refused(Kind.UNPROCESSABLE, "change_exceeds_cash", "payments")
    assert sell(BOTTLE, payments=(card(999), cash(499))).reply.change == 498


@pytest.mark.parametrize("type_", [CARD, NET_CARD, TRANSFER])
def test_more_than_due_is_only_taken_in_cash(type_: int) -> None:
    outcome = sell(BOTTLE, payments=(Payment(type=type_, amount=1001),))
    outcome.refused(Kind.UNPROCESSABLE, "change_exceeds_cash", "payments")
    assert outcome.error is not None
    assert outcome.error.params == {"due": 1000, "change": 1, "cash": 0}


@pytest.mark.parametrize(("payments", "missing"), [((), 1050), ((cash(1000),), 50), ((card(500), cash(549)), 1)])
def test_too_little_is_refused_and_says_what_is_missing(payments: tuple[Payment, ...], missing: int) -> None:
    outcome = sell(BOTTLE, payments=payments, tip=50)
    outcome.refused(Kind.UNPROCESSABLE, "payment_short", "payments")
    assert outcome.error is not None
    assert outcome.error.params == {"due": 1050, "missing": missing}


def test_a_tip_is_no_revenue_but_is_paid() -> None:
    reply = sell(BOTTLE, payments=(card(1200),), tip=200).reply
    assert (reply.gross, reply.tip, reply.change, sum(tax.gross for tax in reply.taxes)) == (1000, 200, 0, 1000)


def test_payments_are_bounded() -> None:
    assert sell(BOTTLE, payments=(cash(20),) * PAYMENTS_MAX).reply.change == 0
    sell(BOTTLE, payments=(cash(20),) * (PAYMENTS_MAX + 1)).refused(Kind.INVALID, "invalid_fields", "payments: too_many")
    too_much = sell(BOTTLE, payments=(cash(PAYMENT_MAX_MINOR + 1),))
    too_much.refused(Kind.INVALID, "invalid_fields", "payments[0].amount: out_of_range")


def test_the_table_of_kinds_is_the_published_one() -> None:
    assert {kind.code: kind.key for kind in PAYMENT_KINDS.values()} == {
        0: "cash",
        1: "card",
        3: "net_cash",
        4: "net_card",
        5: "bank_transfer",
        10: "customer_credit",
        20: "voucher",
        99: "house_tab",
    }
    assert {code for code, kind in PAYMENT_KINDS.items() if kind.cash} == {CASH, NET_CASH}
    assert {code for code, kind in PAYMENT_KINDS.items() if kind.gives_change} == {CASH, NET_CASH}
