"""Taking a receipt back: a receipt of its own with every figure negated."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from libs.contracts.pos.commands import VoidReceipt
from libs.contracts.pos.events import PaymentTaken, ReceiptVoided, TaxAmount
from libs.contracts.pos.permissions import VOIDS
from libs.domain.errors import Kind
from services.pos.receipts import RECEIPT, receipt_of
from services.pos.tabs import tab_refs
from tests.unit.given import NOON, Outcome, given
from tests.unit.pos.inn import CARD, CASH, VOID, card, cash, d, ids, item, order, pay, sell

LATER = NOON + timedelta(days=1)


def void(after: Outcome, receipt: str, **how: object) -> Outcome:
    return after.when(VOID, VoidReceipt(receipt=receipt), **{"permissions": {VOIDS: True}, **how})


def test_a_void_is_a_numbered_receipt_with_every_figure_negated() -> None:
    sale = sell(
        item("cola", 2, discount_amount=50), item("soup"), payments=(card(500), cash(1000)), tip=60, customer="cus_1", register="bar"
    )
    taken_back = void(sale, sale.reply.id, at=LATER, by="usr_chef")
    reply = taken_back.reply
    assert (reply.number, reply.register, reply.staff, reply.customer) == (2, "bar", "usr_chef", "cus_1")
    assert (reply.date, reply.business_day) == (LATER, date(2026, 3, 6))
    assert [(line.quantity, line.unit_price, line.discount, line.total) for line in reply.lines] == [
        (d(-2), d("3.5"), -50, -650),
        (d(-1), d("5.9"), 0, -590),
    ]
    assert reply.taxes == (TaxAmount(rate=d(19), net=-546, tax=-104, gross=-650), TaxAmount(rate=d(7), net=-551, tax=-39, gross=-590))
    assert (reply.gross, reply.net, reply.tax, reply.tip, reply.change) == (-1240, -1097, -143, -60, -200)
    assert reply.payments == (PaymentTaken(type=CARD, amount=-500), PaymentTaken(type=CASH, amount=-1000))
    assert sum(payment.amount for payment in reply.payments) == reply.gross + reply.tip + reply.change
    assert (reply.is_voided, reply.void_receipt, reply.voided_receipt) == (False, None, sale.reply.id)


def test_the_original_points_to_its_void_and_is_otherwise_untouched() -> None:
    sale = sell(item("cola"))
    taken_back = void(sale, sale.reply.id, at=LATER, by="usr_chef")
    assert taken_back.events[1] == ReceiptVoided(receipt=sale.reply.id, void_receipt=taken_back.reply.id, staff="usr_chef", at=LATER)
    stream = RECEIPT.stream(sale.reply.id)
    assert [event.stream for event in taken_back.recorded] == [RECEIPT.stream(taken_back.reply.id), stream]
    state = RECEIPT.initial
    for recorded in taken_back.log.recorded:
        if recorded.stream == stream:
            state = RECEIPT.evolve(state, recorded)
    original = receipt_of(state)
    assert (original.is_voided, original.void_receipt, original.gross, original.number, original.date) == (
        True,
        taken_back.reply.id,
        350,
        1,
        NOON,
    )
    assert sale.repeated() == sale.reply
    assert taken_back.repeated() == taken_back.reply


def test_a_receipt_is_voided_once() -> None:
    sale = sell(item("cola"))
    taken_back = void(sale, sale.reply.id)
    outcome = void(taken_back, sale.reply.id)
    outcome.refused(Kind.CONFLICT, "receipt_already_voided", "receipt")
    assert outcome.error is not None
    assert outcome.error.params == {"id": sale.reply.id, "void_receipt": taken_back.reply.id}


def test_a_void_is_not_voided() -> None:
    sale = sell(item("cola"))
    taken_back = void(sale, sale.reply.id)
    void(taken_back, taken_back.reply.id).refused(Kind.CONFLICT, "receipt_is_a_void", "receipt")


@pytest.mark.parametrize("receipt", ["bon_none", "", "nul\x00", "a b", "x" * 300])
def test_an_unknown_receipt_is_not_found(receipt: str) -> None:
    sale = sell(item("cola"))
    void(sale, receipt).refused(Kind.NOT_FOUND, "receipt_not_found", "receipt")


def test_a_voided_table_receipt_does_not_put_the_lines_back() -> None:
    placed = order(given(), "tbl_1", item("cola", 2), item("soup"))
    paid = pay(placed, items=[(ids(placed)[0], "1")])
    taken_back = void(paid, paid.reply.id)
    assert (taken_back.reply.table, taken_back.reply.gross) == ("tbl_1", -350)
    tab = taken_back.log.state(tab_refs(["tbl_1"])[0])
    assert sum(line.open_amount for line in tab.open_lines()) == 350 + 590
    assert pay(taken_back).reply.gross == 350 + 590


def test_a_receipt_of_nothing_can_be_voided() -> None:
    sale = sell(item("cola", discount_percent=d(100)), payments=())
    reply = void(sale, sale.reply.id).reply
    assert (reply.gross, reply.payments, reply.lines[0].discount) == (0, (), -350)
