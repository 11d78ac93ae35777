"""Section Receipts: one of them, and taking it back."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from libs.contracts.pos.commands import Payment, Receipt, ReceiptKey, ReceiptNumber, RefundedItem, RefundReceipt, VoidReceipt
from libs.domain.errors import FieldError, invalid
from services.gateway import limits
from services.gateway.bodies import Whole
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.params import IF_NONE_MATCH, REGISTER, Form, Param
from services.gateway.dikas.tags import tag_shown


class ItemOut(msgspec.Struct, rename="camel"):
    id: str
    article_id: str | None
    name: str
    quantity: Decimal
    unit_price: Decimal
    discount: Decimal
    total: Decimal
    tax_class: int
    tax_rate: Decimal
    course: int | None
    seat: int | None


class TaxOut(msgspec.Struct, rename="camel"):
    rate: Decimal
    net: Decimal
    tax: Decimal
    gross: Decimal


class PaymentOut(msgspec.Struct, rename="camel"):
    type: int
    amount: Decimal


class PaymentBody(msgspec.Struct, rename="camel"):
    """``amount`` as handed over; one payment may leave it out and takes exactly what is missing. ``reference``: a voucher's number."""

    type: Whole
    amount: Decimal | None = None
    reference: str | None = None


class RefundedItemBody(msgspec.Struct, rename="camel"):
    """``quantity``: of this line; without it, all that is left of it."""

    id: str
    quantity: Decimal | None = None


class RefundBody(msgspec.Struct, rename="camel"):
    items: list[RefundedItemBody] | None = None
    payments: list[PaymentBody] | None = None


def payments_of(bodies: list[PaymentBody], faults: list[FieldError]) -> tuple[Payment, ...]:
    """Payments in the domain's terms; amounts with too many places are noted as faults."""
    return tuple(
        Payment(type=body.type, amount=shapes.minor(body.amount, f"payments[{ix}].amount", faults), reference=body.reference)
        for ix, body in enumerate(bodies)
    )


class ReceiptOut(msgspec.Struct, rename="camel"):
    id: str
    number: int
    register_id: str
    date: str
    staff_id: str
    table_id: str | None
    items: list[ItemOut]
    taxes: list[TaxOut]
    gross: Decimal
    net: Decimal
    tax: Decimal
    payments: list[PaymentOut]
    change: Decimal
    tip: Decimal
    is_voided: bool
    void_receipt_id: str | None
    voided_receipt_id: str | None
    refunded_receipt_id: str | None
    refund_receipt_ids: list[str]
    refunded: Decimal
    business_day: str
    shift_id: str | None
    offline_date: str | None
    is_signed: bool


def receipt_out(receipt: Receipt) -> ReceiptOut:
    amount = shapes.amount
    return ReceiptOut(
        id=receipt.id,
        number=receipt.number,
        register_id=receipt.register,
        date=shapes.moment(receipt.date),
        staff_id=receipt.staff,
        table_id=receipt.table,
        items=[
            ItemOut(
                id=line.id,
                article_id=line.article,
                name=line.name,
                quantity=shapes.quantity(line.quantity),
                unit_price=shapes.price(line.unit_price),
                discount=amount(line.discount),
                total=amount(line.total),
                tax_class=line.tax_class,
                tax_rate=shapes.quantity(line.tax_rate),
                course=line.course,
                seat=line.seat,
            )
            for line in receipt.lines
        ],
        taxes=[TaxOut(shapes.quantity(t.rate), amount(t.net), amount(t.tax), amount(t.gross)) for t in receipt.taxes],
        gross=amount(receipt.gross),
        net=amount(receipt.net),
        tax=amount(receipt.tax),
        payments=[PaymentOut(payment.type, amount(payment.amount)) for payment in receipt.payments],
        change=amount(receipt.change),
        tip=amount(receipt.tip),
        is_voided=receipt.is_voided,
        void_receipt_id=receipt.void_receipt,
        voided_receipt_id=receipt.voided_receipt,
        refunded_receipt_id=receipt.refunded_receipt,
        refund_receipt_ids=list(receipt.refund_receipts),
        refunded=amount(receipt.refunded),
        business_day=receipt.business_day.isoformat(),
        shift_id=receipt.shift,
        offline_date=shapes.maybe_moment(receipt.client_at),
        is_signed=receipt.signature is not None,
    )


async def receipt(call: Call) -> ReceiptOut:
    """One."""
    found = await call.query("pos", "receipt.get", ReceiptKey(receipt=call.id("id", "receipt_not_found")), Receipt)
    tag_shown(call, "receipt", found.id)
    return receipt_out(found)


async def by_number(call: Call) -> ReceiptOut:
    """The receipt with this number at the register."""
    text = call.params["number"]
    if not (text.isascii() and text.isdigit() and len(text) <= limits.NUMBER_MAX_DIGITS):
        raise invalid(FieldError("number", "expected_integer"))
    wanted = ReceiptNumber(number=int(text), register=call.register)
    found = await call.query("pos", "receipt.by_number", wanted, Receipt)
    tag_shown(call, "receipt", found.id)
    return receipt_out(found)


async def void(call: Call) -> ReceiptOut:
    """The receipt that takes the other one back."""
    return receipt_out(await call.command("pos", "receipt.void", VoidReceipt(receipt=call.id("id", "receipt_not_found")), Receipt))


async def refund(call: Call) -> ReceiptOut:
    """A receipt that takes parts of the other one back, or all that is left. Given back as it was paid unless said otherwise."""
    faults: list[FieldError] = []
    body: RefundBody = call.body
    asked = RefundReceipt(
        receipt=call.id("id", "receipt_not_found"),
        items=None if body.items is None else tuple(RefundedItem(line=item.id, quantity=item.quantity) for item in body.items),
        payments=payments_of(body.payments or [], faults),
    )
    shapes.refuse(faults)
    return receipt_out(await call.command("pos", "receipt.refund", asked, Receipt))


NUMBER = Param("number", Form.WHOLE, "The number as printed.", low=0, example="{number}")

ROUTES = (
    Route(
        "GET",
        "/api/v1/receipts/by-number/{number}",
        "Receipts",
        by_number,
        asks=("pos.receipt.by_number",),
        params=(NUMBER, REGISTER, IF_NONE_MATCH),
    ),
    Route("GET", "/api/v1/receipts/{id}", "Receipts", receipt, asks=("pos.receipt.get",), params=(IF_NONE_MATCH,)),
    Route("POST", "/api/v1/receipts/{id}/void", "Receipts", void, status=201, asks=("pos.receipt.void",)),
    Route("POST", "/api/v1/receipts/{id}/refund", "Receipts", refund, RefundBody, status=201, asks=("pos.receipt.refund",)),
)
