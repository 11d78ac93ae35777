"""Query tables of the till: receipts. What is open at tables is in ``tabs.projections``."""

from __future__ import annotations

from typing import Final

import msgspec

from libs.contracts.pos.events import ReceiptIssued, ReceiptRefunded, ReceiptVoided
from libs.domain.events import Recorded
from libs.projections.declare import Projection, Table
from libs.projections.rows import Rows
from services.pos.receipts import RECEIPT, number_of, receipt_of
from services.pos.takings import takings

RECEIPTS: Final = Projection(
    "receipts",
    3,
    (
        Table(
            "receipts",
            {
                "key": "text",
                "register": "text",
                "number": "bigint",
                "position": "bigint",
                "date": "timestamptz",
                "business_day": "date",
                "gross": "bigint",
                "tip": "bigint",
                "table_key": "text",
                "customer": "text",
                "staff": "text",
                "voids": "text",
                "void_receipt": "text",
                "refunds": "text",
                "refund_receipts": "jsonb",
                "refunded": "bigint",
                "shift": "text",
                "takings": "jsonb",
                "document": "jsonb",
            },
            indexes=(("position",), ("register", "number"), ("business_day",)),
        ),
    ),
)


@RECEIPTS.on(ReceiptIssued)
def receipt_issued(rows: Rows, event: Recorded) -> None:
    issued: ReceiptIssued = event.data
    view = receipt_of(RECEIPT.evolve(RECEIPT.initial, event))
    rows.put(
        "receipts",
        issued.receipt,
        register=issued.register,
        number=number_of(event),
        position=event.position,
        date=event.at,
        business_day=issued.business_day,
        gross=issued.gross,
        tip=issued.tip,
        table_key=issued.table,
        customer=issued.customer,
        staff=issued.staff,
        voids=issued.voids,
        void_receipt=None,
        refunds=issued.refunds,
        refund_receipts="[]",
        refunded=0,
        shift=issued.shift,
        takings=msgspec.json.encode(takings(issued.payments, issued.change, issued.tip)).decode(),
        document=msgspec.json.encode(view).decode(),
    )


@RECEIPTS.on(ReceiptVoided, reads=lambda event: [("receipts", (event.data.receipt,))])
def receipt_voided(rows: Rows, event: Recorded) -> None:
    rows.change("receipts", event.data.receipt, void_receipt=event.data.void_receipt)


@RECEIPTS.on(ReceiptRefunded, reads=lambda event: [("receipts", (event.data.receipt,))])
def receipt_refunded(rows: Rows, event: Recorded) -> None:
    refunded: ReceiptRefunded = event.data
    row = rows.get("receipts", refunded.receipt)
    assert row is not None, f"receipt {refunded.receipt} was never issued"
    rows.change(
        "receipts",
        refunded.receipt,
        refund_receipts=msgspec.json.encode([*msgspec.json.decode(row["refund_receipts"]), refunded.refund_receipt]).decode(),
        refunded=row["refunded"] + sum(part.amount for part in refunded.parts),
    )
