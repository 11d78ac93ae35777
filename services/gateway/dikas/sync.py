"""Section Sync: what a till did while it was cut off. Not in the published list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from libs.contracts.pos.commands import PaidItem, PayTable, RefundedItem, RefundReceipt, Sell, VoidReceipt
from libs.contracts.pos.sync import ITEMS_PER_REQUEST_MAX, Refusal, Sync, SyncAnswer, Synced, SyncItem
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from services.gateway import bodies, limits
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.envelope import refusal_texts
from services.gateway.dikas.open_bons import OrderBody, OrderOut, items_of, order_of, order_out
from services.gateway.dikas.params import REGISTER
from services.gateway.dikas.payments import DirectSaleBody, TablePaymentBody
from services.gateway.dikas.receipts import PaymentBody, ReceiptOut, RefundedItemBody, payments_of, receipt_out

ITEMS_MAX: Final = 1_000


class SyncBody(msgspec.Struct):
    """``items``: up to 1,000 commands, in whatever order; each is looked at by itself."""

    items: list[msgspec.Raw]


class VoidBody(msgspec.Struct, rename="camel"):
    receipt_id: str


class RefundOfflineBody(msgspec.Struct, rename="camel"):
    receipt_id: str
    items: list[RefundedItemBody] | None = None
    payments: list[PaymentBody] | None = None


class SyncItemBody(msgspec.Struct, rename="camel"):
    """``id``: the till's own, unique at its register; ``sequence`` counts its commands; ``type``: sale, order, tablePayment, void or
    refund, and ``body`` as that endpoint takes it; ``number``: the receipt's, if the register numbers its receipts itself."""

    id: str
    sequence: int
    client_time: str
    type: str
    body: msgspec.Raw
    number: int | None = None


class ShownBody(msgspec.Struct):
    """Up to 1,000 commands, in whatever order; each is looked at by itself."""

    items: list[SyncItemBody]


class SyncItemOut(msgspec.Struct, rename="camel"):
    """``status``: done or refused; a repeat answers as the first time."""

    id: str | None
    status: str
    receipt: ReceiptOut | None = None
    order: OrderOut | None = None
    message: str | None = None
    errors: list[str] | None = None


class SyncOut(msgspec.Struct, rename="camel"):
    done: int
    refused: int
    items: list[SyncItemOut]


class _Ready(msgspec.Struct, frozen=True):
    place: int
    sequence: int
    item: SyncItem


async def sync(call: Call) -> SyncOut:
    """Commands recorded offline. Sent again or in any order, each counts once; a bad one is listed and holds up nobody."""
    raw: list[msgspec.Raw] = call.body.items
    if not 0 < len(raw) <= ITEMS_MAX:
        raise invalid(FieldError("items", "too_many", {"max": ITEMS_MAX}) if raw else FieldError("items", "empty"))
    answers: list[SyncItemOut | None] = [None] * len(raw)
    ready: list[_Ready] = []
    for place, text in enumerate(raw):
        try:
            ready.append(_ready(place, bytes(text), call.register))
        except DomainError as error:
            answers[place] = _refused(call, None, error)
    ready.sort(key=lambda one: (one.sequence, one.place))
    for first in range(0, len(ready), ITEMS_PER_REQUEST_MAX):
        chunk = ready[first : first + ITEMS_PER_REQUEST_MAX]
        asked = Sync(register=call.register, items=tuple(one.item for one in chunk))
        found = await call.command("pos", "till.sync", asked, SyncAnswer, deadline=limits.CLOSE_DEADLINE_S)
        for one, synced in zip(chunk, found.items, strict=True):
            answers[one.place] = _out(call, synced)
    items = [answer for answer in answers if answer is not None]
    refused = sum(item.status == "refused" for item in items)
    return SyncOut(done=len(items) - refused, refused=refused, items=items)


def _ready(place: int, raw: bytes, register: str) -> _Ready:
    """An item in the domain's terms. Raises what is wrong with it in itself."""
    item = bodies.decode(raw, SyncItemBody)
    kind, body = _body(item, register)
    made = SyncItem(
        id=item.id, kind=kind, client_at=_moment(item.client_time), body=msgspec.Raw(msgspec.msgpack.encode(body)), number=item.number
    )
    return _Ready(place, item.sequence, made)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise invalid(FieldError("client_time", "not_a_time"))
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(FieldError("client_time", "not_a_time")) from None


def _body(item: SyncItemBody, register: str) -> tuple[Any, Any]:
    raw = bytes(item.body)
    faults: list[FieldError] = []
    match item.type:
        case "sale":
            sale = bodies.decode(raw, DirectSaleBody)
            made: tuple[str, Any] = (
                "sell",
                Sell(
                    items=items_of(sale.items, "items", faults),
                    payments=payments_of(sale.payments, faults),
                    tip=shapes.minor(sale.tip, "tip", faults) or 0,
                    customer=sale.customer_id,
                    register=register,
                ),
            )
        case "order":
            made = "place_order", order_of(bodies.decode(raw, OrderBody), "", faults)
        case "tablePayment":
            bill = bodies.decode(raw, TablePaymentBody)
            made = (
                "pay_table",
                PayTable(
                    table=bill.table_id,
                    items=None if bill.items is None else tuple(PaidItem(line=one.id, quantity=one.quantity) for one in bill.items),
                    seat=bill.seat,
                    payments=payments_of(bill.payments, faults),
                    tip=shapes.minor(bill.tip, "tip", faults) or 0,
                    customer=bill.customer_id,
                    register=register,
                ),
            )
        case "void":
            made = "void", VoidReceipt(receipt=bodies.decode(raw, VoidBody).receipt_id, register=register)
        case "refund":
            back = bodies.decode(raw, RefundOfflineBody)
            chosen = None if back.items is None else tuple(RefundedItem(line=one.id, quantity=one.quantity) for one in back.items)
            payments = payments_of(back.payments or [], faults)
            made = "refund", RefundReceipt(receipt=back.receipt_id, items=chosen, payments=payments, register=register)
        case _:
            raise invalid(FieldError("type", "not_allowed", {"allowed": "sale, order, tablePayment, void, refund"}))
    shapes.refuse(faults)
    return made


def _out(call: Call, synced: Synced) -> SyncItemOut:
    if synced.refusal is not None:
        return _refused(call, synced.id, _error(synced.refusal))
    if synced.order is not None:
        return SyncItemOut(synced.id, "done", order=order_out(synced.order))
    assert synced.receipt is not None
    return SyncItemOut(synced.id, "done", receipt=receipt_out(synced.receipt))


def _error(refusal: Refusal) -> DomainError:
    return DomainError(Kind(refusal.kind), refusal.reason, refusal.params, fields=refusal.fields)


def _refused(call: Call, id_: str | None, error: DomainError) -> SyncItemOut:
    message, errors = refusal_texts(error, call.language)
    return SyncItemOut(id_, "refused", message=message, errors=errors)


ROUTES = (
    Route(
        "POST",
        "/api/v1/sync",
        "Sync",
        sync,
        SyncBody,
        shown=ShownBody,
        params=(REGISTER,),
        asks=("pos.till.sync",),
        body_max_bytes=limits.SYNC_BODY_MAX_BYTES,
    ),
)
