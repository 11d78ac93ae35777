"""Payments settle invoices and credits, whatever comes in whatever order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.billing.settlement import COUNTED, SETTLED, UNPAID, SettlementChanged, due, settled
from libs.domain.errors import DomainError, Kind
from libs.records.numbered import Change, Create
from services.billing.records import ERP
from tests.unit.desk import Desk

BOOKED, CANCELLED, CLOSED, PARTLY, PARTLY_CANCELLED, PARTLY_CLOSED, PAID, OVER = 1, 3, 4, 17, 18, 19, 20, 21


@pytest.fixture
def desk() -> Desk:
    return Desk(ERP.family)


def invoice(desk: Desk, num: str = "R-1", type: int = 3, status: int = BOOKED, **values: Any) -> int:
    amounts = {"netamount": "100", "tax": "19"} | values
    return desk.create("transaction", transactionnum=num, type=type, status=status, currency="EUR", **amounts)


def pay(desk: Desk, transaction: int | None, amount: str, status: int = 1) -> int:
    return desk.create("ledger_payment", transaction=transaction, amount=amount, status=status)


def status(desk: Desk, transaction: int) -> int:
    found: int = desk.row("transaction", transaction)["status"]
    return found


@pytest.mark.parametrize(
    ("type_", "before", "amount", "paid", "after"),
    [
        (3, BOOKED, "119", "0", BOOKED),
        (3, BOOKED, "119", "50", PARTLY),
        (3, PARTLY, "119", "119.00", PAID),
        (3, BOOKED, "119", "119.01", OVER),
        (3, PAID, "119", "0", BOOKED),
        (3, PAID, "119", "-5", BOOKED),  # more was given back than came in
        (3, OVER, "200", "120", PARTLY),
        (3, CANCELLED, "119", "50", PARTLY_CANCELLED),
        (3, CANCELLED, "119", "500", PARTLY_CANCELLED),  # cancelled stays cancelled
        (3, PARTLY_CANCELLED, "119", "0", CANCELLED),
        (3, CLOSED, "119", "50", PARTLY_CLOSED),
        (3, PARTLY_CLOSED, "119", "119", PAID),
        (3, PARTLY_CLOSED, "119", "0", CLOSED),
        (3, 0, "119", "119", 0),  # nobody owes a draft
        (3, 2, "119", "119", 2),  # nor what is on hold
        (3, BOOKED, "0", "0", BOOKED),
        (3, BOOKED, "-119", "-119", PAID),
        (3, BOOKED, "-119", "119", BOOKED),
        (4, BOOKED, "119", "-119", PAID),  # what goes out may be written either way
        (4, BOOKED, "-119", "119", PAID),
        (8, BOOKED, "119", "119", PAID),
        (8, BOOKED, "119", "-60", PARTLY),
        (9, BOOKED, "119", "119", PAID),
        (1, 9, "119", "119", 9),  # an order is not paid but delivered and invoiced
        (0, BOOKED, "119", "119", BOOKED),
    ],
)
def test_how_far_a_transaction_is_settled(type_: int, before: int, amount: str, paid: str, after: int) -> None:
    assert settled(type_, before, Decimal(amount), Decimal(paid)) == after
    assert settled(type_, after, Decimal(amount), Decimal(paid)) == after  # nothing is counted twice


def test_what_is_due_is_net_and_tax_to_the_cent() -> None:
    assert due(Decimal("84.0336"), Decimal("15.9664")) == Decimal("100.00")
    assert due(None, None) == 0


def test_a_payment_and_what_follows_from_it_are_one_append(desk: Desk) -> None:
    one = invoice(desk)
    before = len(desk.recorded)
    payment = pay(desk, one, "119")
    created, changed, moved = desk.recorded[before:]
    assert (created.type, changed.type) == ("ledger_payment.created", "transaction.changed")
    assert changed.data.status == PAID
    assert moved.data == SettlementChanged(transaction=one, payments=(payment,), by=Decimal(119), total=Decimal(119))
    assert moved.stream == f"settlement-{one}"
    assert created.command == changed.command == moved.command


def test_a_payment_counts_once_it_is_completed_and_no_more_when_it_is_cancelled(desk: Desk) -> None:
    one = invoice(desk)
    payment = pay(desk, one, "119", status=0)
    assert status(desk, one) == BOOKED
    for now, expected in ((1, PAID), (3, PAID), (2, BOOKED), (3, PAID), (0, BOOKED)):
        desk.change("ledger_payment", payment, status=now)
        assert status(desk, one) == expected


def test_a_payment_that_is_pointed_elsewhere_settles_that(desk: Desk) -> None:
    one, other = invoice(desk), invoice(desk, "R-2", netamount="200", tax="38")
    payment = pay(desk, one, "119")
    desk.change("ledger_payment", payment, transaction=other)
    assert (status(desk, one), status(desk, other)) == (BOOKED, PARTLY)
    desk.change("ledger_payment", payment, amount="238")
    assert status(desk, other) == PAID
    desk.change("ledger_payment", payment, transaction=None)
    assert (status(desk, one), status(desk, other)) == (BOOKED, BOOKED)


def test_a_payment_that_is_deleted_was_never_paid(desk: Desk) -> None:
    one = invoice(desk)
    first, second = pay(desk, one, "60"), pay(desk, one, "59")
    assert status(desk, one) == PAID
    desk.delete("ledger_payment", first)
    assert status(desk, one) == PARTLY
    desk.delete("ledger_payment", second)
    assert status(desk, one) == BOOKED


def test_payments_that_go_with_their_group_settle_nothing_any_more(desk: Desk) -> None:
    one, other = invoice(desk), invoice(desk, "R-2")
    for transaction, amount in ((one, "60"), (one, "59"), (other, "119")):
        desk.create("ledger_payment", transaction=transaction, amount=amount, status=1, ownergroup=5)
    assert (status(desk, one), status(desk, other)) == (PAID, PAID)
    desk.forget("groups", 5)
    assert (status(desk, one), status(desk, other)) == (BOOKED, BOOKED)


def test_what_is_due_decides_too(desk: Desk) -> None:
    one = invoice(desk)
    pay(desk, one, "119")
    before = len(desk.recorded)
    desk.change("transaction", one, netamount="200")
    assert status(desk, one) == PARTLY
    assert len(desk.recorded) == before + 1  # the amount and the status in one event
    desk.change("transaction", one, tax="0", netamount="10")
    assert status(desk, one) == OVER
    desk.change("transaction", one, status=CLOSED)
    assert status(desk, one) == OVER
    desk.change("transaction", one, margin="1", discount="5")
    assert status(desk, one) == OVER


def test_a_cancelled_invoice_shows_that_something_was_paid_and_keeps_its_number(desk: Desk) -> None:
    one = invoice(desk)
    payment = pay(desk, one, "50")
    desk.change("transaction", one, status=CANCELLED)
    assert status(desk, one) == PARTLY_CANCELLED
    with pytest.raises(DomainError, match="claim_taken"):
        invoice(desk, "R-1")
    desk.delete("ledger_payment", payment)
    assert status(desk, one) == CANCELLED
    invoice(desk, "R-1")


def test_a_status_that_is_written_with_a_new_transaction_stays(desk: Desk) -> None:
    """History that is brought in has no payments."""
    assert status(desk, invoice(desk, status=PAID)) == PAID


def test_a_transaction_that_is_deleted_leaves_its_payments(desk: Desk) -> None:
    one = invoice(desk)
    payment = pay(desk, one, "50")
    desk.delete("transaction", one)
    assert desk.row("ledger_payment", payment)["transaction"] is None
    again = desk.create("transaction", id=one, transactionnum="R-9", type=3, status=BOOKED, currency="EUR", netamount="100")
    desk.change("ledger_payment", payment, transaction=again)
    assert status(desk, again) == PARTLY


def test_a_look_up_that_is_stale_is_repeated_not_believed(desk: Desk) -> None:
    one, other = invoice(desk), invoice(desk, "R-2")
    payment = pay(desk, one, "50")
    desk.seen = len(desk.recorded)
    desk.change("ledger_payment", payment, transaction=other)
    refusal = desk.refused("ledger_payment.change", Change(id=payment, values={"amount": Decimal(20)}))
    assert (refusal.kind, refusal.reason) == (Kind.UNAVAILABLE, "row_moved")
    assert refusal.retry_after_s is not None
    desk.seen = None
    desk.change("ledger_payment", payment, amount="20")
    assert (status(desk, one), status(desk, other)) == (BOOKED, PARTLY)


def test_only_invoices_and_credits_are_dunned(desk: Desk) -> None:
    notice = desk.create("dunning_notice", dunningnum="M-1")
    kinds = {type_: desk.create("transaction", transactionnum="N", type=type_, currency="EUR") for type_ in range(10)}
    for type_, transaction in kinds.items():
        if type_ in SETTLED:
            link = desk.create("dunned_transaction", dunning=notice, transaction=transaction)
        else:
            values = {"dunning": notice, "transaction": transaction}
            refusal = desk.refused("dunned_transaction.create", Create(values=values))
            assert [(field.path, field.reason) for field in refusal.fields] == [("transaction", "not_dunnable")]
    assert desk.refused("dunned_transaction.change", Change(id=link, values={"transaction": kinds[0]})).kind is Kind.INVALID


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("pay", "change", "point", "status", "delete", "amount", "own", "drop")),
        st.integers(0, 3),
        st.integers(0, 2),
        st.integers(-3, 6).filter(bool),
        st.integers(0, 3),
    ),
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_after_any_sequence_the_status_is_that_of_all_payments(steps: list[tuple[str, int, int, int, int]]) -> None:
    desk = Desk(ERP.family)
    invoices = [invoice(desk, f"R-{ix}", type=type_, netamount="4", tax="1") for ix, type_ in enumerate((3, 4, 8))]
    for kind, which, target, amount, state in steps:
        payments = sorted(desk.rows_of("ledger_payment"))
        payment = payments[which % len(payments)] if payments else None
        there = [one for one in invoices if one in desk.rows_of("transaction")]
        transaction = there[target % len(there)] if there else None
        if kind == "pay" or payment is None:
            pay(desk, transaction, str(amount), state)
        elif kind == "change":
            desk.change("ledger_payment", payment, amount=str(amount), status=state)
        elif kind == "point":
            desk.change("ledger_payment", payment, transaction=transaction)
        elif kind == "status":
            desk.change("ledger_payment", payment, status=state)
        elif kind == "delete":
            desk.delete("ledger_payment", payment)
        elif kind == "amount" and transaction is not None:
            desk.change("transaction", transaction, netamount=str(amount))
        elif kind == "own" and transaction is not None:
            desk.change("transaction", transaction, status=(BOOKED, CANCELLED, CLOSED, 0)[state])
        elif kind == "drop" and transaction is not None and which == 0:
            desk.delete("transaction", transaction)
        for one, row in desk.rows_of("transaction").items():
            counted = [found for found in desk.rows_of("ledger_payment").values() if found["transaction"] == one]
            paid = sum((found["amount"] for found in counted if found["status"] in COUNTED), start=Decimal(0))
            assert row["status"] == settled(row["type"], row["status"], due(row["netamount"], row["tax"]), paid)
            assert row["status"] in UNPAID or row["status"] == 0
