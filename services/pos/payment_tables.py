"""Which payments are not over: those without an end, and those whose accounts do not know it yet."""

from __future__ import annotations

from typing import Final

from libs.contracts.pos.events import ReceiptIssued
from libs.contracts.pos.payments import PaymentConfirmed, PaymentReleased, PaymentReturned, PaymentStarted
from libs.domain.events import Recorded
from libs.projections.declare import Projection, Table
from libs.projections.rows import Rows
from libs.projections.tables import Statement

PAGE_ROWS: Final = 200

UNDER_WAY: Final = Projection(
    "payments",
    1,
    (Table("payments_under_way", {"key": "text", "receipt": "text", "since": "timestamptz"}),),
)
PAGE_UNDER_WAY: Final = Statement(
    "select p.key, p.receipt, p.since from {pos.payments_under_way} p where p.instance = $1 and p.key > $2 and p.since <= $3 "
    f"order by p.key limit {PAGE_ROWS}"
)


@UNDER_WAY.on(PaymentStarted)
def payment_started(rows: Rows, event: Recorded) -> None:
    rows.put("payments_under_way", event.data.payment, receipt=None, since=event.at)


@UNDER_WAY.on(ReceiptIssued)
def given_back(rows: Rows, event: Recorded) -> None:
    """A receipt that takes another one back owes its accounts what they gave."""
    issued: ReceiptIssued = event.data
    if issued.payment is not None and (issued.voids is not None or issued.refunds is not None):
        rows.put("payments_under_way", issued.payment, receipt=issued.receipt, since=event.at)


@UNDER_WAY.on(PaymentConfirmed)
@UNDER_WAY.on(PaymentReleased)
@UNDER_WAY.on(PaymentReturned)
def payment_over(rows: Rows, event: Recorded) -> None:
    rows.delete("payments_under_way", event.data.payment)
