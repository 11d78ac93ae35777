"""Taking parts of a receipt back: whatever the parts, their order and the tenders, all of them together are the receipt."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from libs.contracts.pos.commands import Payment, Receipt, RefundedItem, RefundReceipt, VoidReceipt
from libs.contracts.pos.events import PaymentTaken, TaxAmount
from libs.contracts.pos.permissions import VOIDS
from libs.domain.errors import Kind
from services.pos.takings import takings
from services.pos.totals import Sums
from tests.unit.given import Outcome
from tests.unit.pos.inn import CARD, CASH, REFUND, VOID, card, cash, d, free, item, sell


def refund(after: Outcome, receipt: str, *items: tuple[str, str | None], payments: tuple[Payment, ...] = (), **how: object) -> Outcome:
    chosen = tuple(RefundedItem(line=line, quantity=None if quantity is None else d(quantity)) for line, quantity in items) or None
    body = RefundReceipt(receipt=receipt, items=chosen, payments=payments)
    return after.when(REFUND, body, **{"permissions": {VOIDS: True}, **how})


def void(after: Outcome, receipt: str, **how: object) -> Outcome:
    return after.when(VOID, VoidReceipt(receipt=receipt), **{"permissions": {VOIDS: True}, **how})


def test_one_of_two_is_given_back_with_its_share_of_discount_and_tip() -> None:
    sale = sell(item("cola", 2, discount_amount=50), item("soup"), payments=(card(500), cash(1000)), tip=60)
    line = sale.reply.lines[0].id
    back = refund(sale, sale.reply.id, (line, "1"))
    reply = back.reply
    assert [(one.id, one.quantity, one.discount, one.total) for one in reply.lines] == [(line, d(-1), -25, -325)]
    assert reply.taxes == (TaxAmount(rate=d(19), net=-273, tax=-52, gross=-325),)
    assert (reply.gross, reply.tip, reply.change, reply.number) == (-325, -16, 0, 2)
    assert reply.payments == (PaymentTaken(type=CARD, amount=-341),)
    assert (reply.refunded_receipt, reply.voided_receipt) == (sale.reply.id, None)


def test_the_rest_of_a_receipt_brings_exactly_what_is_left() -> None:
    sale = sell(item("cola", 2, discount_amount=50), item("soup"), payments=(card(500), cash(1000)), tip=60)
    first = refund(sale, sale.reply.id, (sale.reply.lines[0].id, "1"))
    rest = refund(first, sale.reply.id)
    assert rest.reply.payments == (PaymentTaken(type=CARD, amount=-159), PaymentTaken(type=CASH, amount=-800))
    assert nothing_is_left([sale.reply, first.reply, rest.reply])
    refund(rest, sale.reply.id).refused(Kind.CONFLICT, "nothing_to_refund", "receipt")


def test_it_can_be_given_back_another_way() -> None:
    sale = sell(item("cola", 2), payments=(card(),))
    back = refund(sale, sale.reply.id, (sale.reply.lines[0].id, "1"), payments=(cash(),))
    assert back.reply.payments == (PaymentTaken(type=CASH, amount=-350),)
    too_much = refund(sale, sale.reply.id, (sale.reply.lines[0].id, "1"), payments=(cash(400),))
    too_much.refused(Kind.UNPROCESSABLE, "refund_not_exact", "payments")
    refund(sale, sale.reply.id, payments=(cash(100),)).refused(Kind.UNPROCESSABLE, "payment_short", "payments")


def test_no_more_is_given_back_than_was_sold() -> None:
    sale = sell(item("cola", 2))
    line = sale.reply.lines[0].id
    refund(sale, sale.reply.id, (line, "3")).refused(Kind.CONFLICT, "line_quantity_exceeds_left", "items[0].quantity")
    first = refund(sale, sale.reply.id, (line, "1.5"))
    refund(first, sale.reply.id, (line, "1")).refused(Kind.CONFLICT, "line_quantity_exceeds_left", "items[0].quantity")
    refund(sale, sale.reply.id, (line, "1"), (line, "1")).refused(Kind.INVALID, "invalid_fields", "items[1].line: repeated")
    refund(sale, sale.reply.id, ("obn_none", None)).refused(Kind.NOT_FOUND, "line_not_found", "items[0].line")


def test_what_was_taken_back_is_not_taken_back_again() -> None:
    sale = sell(item("cola", 2))
    line = sale.reply.lines[0].id
    part = refund(sale, sale.reply.id, (line, "1"))
    void(part, sale.reply.id).refused(Kind.CONFLICT, "receipt_partly_refunded")
    void(part, part.reply.id).refused(Kind.CONFLICT, "receipt_is_a_refund", "receipt")
    sale = sell(item("cola", 2))
    whole = void(sale, sale.reply.id)
    refund(whole, sale.reply.id).refused(Kind.CONFLICT, "receipt_already_voided", "receipt")
    refund(whole, whole.reply.id).refused(Kind.CONFLICT, "receipt_is_a_void", "receipt")


def test_a_waiter_takes_back_own_receipts_only() -> None:
    own = {"pos.own_voids": True}
    for taking_back in (void, refund):
        sale = sell(item("cola"), item("soup"))
        refused = taking_back(sale, sale.reply.id, by="usr_other", permissions=own)
        refused.refused(Kind.FORBIDDEN, "missing_right")
        assert taking_back(sale, sale.reply.id, permissions=own).error is None
        sale = sell(item("cola"), item("soup"))
        assert taking_back(sale, sale.reply.id, by="usr_other").error is None


GOODS = ("cola", "soup", "burger", "penny", "five")


@settings(max_examples=150, deadline=None)
@for_all(seed=st.integers(0, 2**32))
def test_every_tender_mix_refunds_to_exactly_zero(seed: int) -> None:
    dice = random.Random(seed)
    quantities = [Decimal(dice.randint(1, 5_000)).scaleb(-3) for _ in range(dice.randint(1, 5))]
    goods = [item(dice.choice(GOODS), quantity, discount_percent=dice.choice((None, d(10), d("33.33"), d(100)))) for quantity in quantities]
    goods.append(free("Kleinkram", "0.01", dice.choice(("1", "0.333", "3"))))
    payments = (
        *(Payment(type=dice.choice((CASH, CARD, 5)), amount=dice.randint(1, 300)) for _ in range(dice.randint(0, 2))),
        cash(100_000),
    )
    sale = at = sell(*goods, payments=payments, tip=dice.choice((0, 1, 99, 250)))
    if sale.error is not None:  # tendered by card so much that the change would not be cash
        assert sale.error.reason == "change_exceeds_cash"
        return
    left = {line.id: line.quantity for line in sale.reply.lines}
    receipts = [sale.reply]
    for _ in range(dice.randint(0, 6)):
        chosen = [(line, quantity) for line, quantity in left.items() if quantity and dice.random() < 0.6]
        parts = [(line, _some(dice, quantity)) for line, quantity in chosen]
        if not parts:
            continue
        at = refund(at, sale.reply.id, *((line, f"{quantity:f}") for line, quantity in parts))
        receipts.append(at.reply)
        for line, quantity in parts:
            left[line] -= quantity
    if any(left.values()):
        receipts.append((refund if len(receipts) > 1 else dice.choice((refund, void)))(at, sale.reply.id).reply)
    assert nothing_is_left(receipts)
    assert [receipt.number for receipt in receipts] == list(range(1, len(receipts) + 1))


def _some(dice: random.Random, quantity: Decimal) -> Decimal:
    thousandths = int(quantity.scaleb(3))
    return quantity if dice.random() < 0.4 else Decimal(dice.randint(1, thousandths)).scaleb(-3).normalize() + 0


def nothing_is_left(receipts: list[Receipt]) -> bool:
    """A sale and everything that stands against it: every figure of every kind adds up to zero."""
    lines: Counter[str] = Counter()
    amounts: Counter[object] = Counter()
    for receipt in receipts:
        for line in receipt.lines:
            lines[line.id] += line.quantity
            amounts["line", line.id] += line.total
            assert line.total == int((line.unit_price * line.quantity * 100).quantize(Decimal(1), "ROUND_HALF_UP")) - line.discount
        for tax in receipt.taxes:
            assert tax.net + tax.tax == tax.gross
            amounts["net", tax.rate] += tax.net
            amounts["tax", tax.rate] += tax.tax
        for payment in takings(receipt.payments, receipt.change, receipt.tip):
            amounts["payment", payment.type] += payment.amount
        amounts["tip"] += receipt.tip
        assert sum(payment.amount for payment in receipt.payments) == receipt.gross + receipt.tip + receipt.change
        assert receipt.gross == receipt.net + receipt.tax == sum(line.total for line in receipt.lines)
    assert not any(lines.values()), lines
    assert not any(amounts.values()), amounts
    return True


def test_sums_merge_as_if_they_had_been_one() -> None:
    first, second = (
        sell(item("cola", 2), item("soup"), payments=(cash(2000),)),
        sell(item("burger"), payments=(card(),), tip=50, register="2"),
    )
    whole, one, other = Sums(), Sums(), Sums()
    for sums in (whole, one):
        sums.add(first.events[0], 7)
    for sums in (whole, other):
        sums.add(second.events[0], 3)
    one.merge(other)
    assert (one.totals(), one.registers()) == (whole.totals(), whole.registers())
    totals = one.totals()
    assert sum(payment.amount for payment in totals.payments) == totals.gross + totals.tips
    assert totals.cash == first.reply.gross
