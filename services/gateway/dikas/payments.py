"""Section Payments: sales over the counter and bills of tables."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from libs.contracts.pos.commands import PaidItem, PayTable, Receipt, Sell
from libs.domain.errors import FieldError
from services.gateway.bodies import Whole
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.open_bons import ItemBody, items_of
from services.gateway.dikas.params import REGISTER
from services.gateway.dikas.receipts import PaymentBody, ReceiptOut, payments_of, receipt_out


class DirectSaleBody(msgspec.Struct, rename="camel"):
    items: list[ItemBody]
    payments: list[PaymentBody]
    tip: Decimal | None = None
    customer_id: str | None = None


class PaidItemBody(msgspec.Struct, rename="camel"):
    id: str
    quantity: Decimal | None = None


class TablePaymentBody(msgspec.Struct, rename="camel"):
    table_id: str
    payments: list[PaymentBody]
    items: list[PaidItemBody] | None = None
    seat: Whole | None = None
    tip: Decimal | None = None
    customer_id: str | None = None


async def direct_sale(call: Call) -> ReceiptOut:
    """A sale over the counter. A payment without amount takes what is missing."""
    faults: list[FieldError] = []
    body: DirectSaleBody = call.body
    sale = Sell(
        items=items_of(body.items, "items", faults),
        payments=payments_of(body.payments, faults),
        tip=shapes.minor(body.tip, "tip", faults) or 0,
        customer=body.customer_id,
        register=call.register,
    )
    shapes.refuse(faults)
    return receipt_out(await call.command("pos", "receipt.sell", sale, Receipt))


async def table(call: Call) -> ReceiptOut:
    """A bill: everything open at a table or one of its seats, or the items that are named, or parts of them."""
    faults: list[FieldError] = []
    body: TablePaymentBody = call.body
    bill = PayTable(
        table=body.table_id,
        items=None if body.items is None else tuple(PaidItem(line=item.id, quantity=item.quantity) for item in body.items),
        seat=body.seat,
        payments=payments_of(body.payments, faults),
        tip=shapes.minor(body.tip, "tip", faults) or 0,
        customer=body.customer_id,
        register=call.register,
    )
    shapes.refuse(faults)
    return receipt_out(await call.command("pos", "receipt.pay_table", bill, Receipt))


ROUTES = (
    Route(
        "POST",
        "/api/v1/payments/direct-sale",
        "Payments",
        direct_sale,
        DirectSaleBody,
        status=201,
        asks=("pos.receipt.sell",),
        params=(REGISTER,),
    ),
    Route(
        "POST",
        "/api/v1/payments/table",
        "Payments",
        table,
        TablePaymentBody,
        status=201,
        asks=("pos.receipt.pay_table",),
        params=(REGISTER,),
    ),
)
