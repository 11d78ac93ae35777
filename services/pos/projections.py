"""Query tables of the till: what is open at each table, and receipts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.contracts.pos.events import (
    CourseCalled,
    LinesPaid,
    OrderPlaced,
    ReceiptIssued,
    ReceiptRefunded,
    ReceiptVoided,
    TableCleaned,
    TableState,
)
from libs.domain.events import Recorded
from libs.projections.declare import Key, Projection, Table
from libs.projections.rows import Rows
from services.pos.receipts import RECEIPT, receipt_of
from services.pos.takings import takings

TABS: Final = Projection(
    "tabs",
    1,
    (
        Table(
            "tabs",
            {"key": "text", "state": "text", "course": "int", "open_lines": "int", "open_amount": "bigint", "occupied_at": "timestamptz"},
        ),
        Table(
            "open_lines",
            {
                "key": "text",
                "table_key": "text",
                "order_key": "text",
                "position": "bigint",
                "ordinal": "int",
                "staff": "text",
                "placed_at": "timestamptz",
                "open_quantity": "numeric",
                "open_amount": "bigint",
                "line": "jsonb",
            },
            indexes=(("table_key", "position"),),
        ),
    ),
)
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

FREE: Final[dict[str, Any]] = {"state": str(TableState.FREE), "course": 0, "open_lines": 0, "open_amount": 0, "occupied_at": None}


def _tab(event: Recorded) -> list[tuple[str, Key]]:
    return [("tabs", (event.data.table,))]


@TABS.on(OrderPlaced, reads=_tab)
def order_placed(rows: Rows, event: Recorded) -> None:
    placed: OrderPlaced = event.data
    tab = rows.get("tabs", placed.table) or FREE
    rows.put(
        "tabs",
        placed.table,
        state=str(TableState.OCCUPIED),
        course=tab["course"],
        open_lines=tab["open_lines"] + len(placed.lines),
        open_amount=tab["open_amount"] + sum(line.total for line in placed.lines),
        occupied_at=tab["occupied_at"] or placed.at,
    )
    for ordinal, line in enumerate(placed.lines):
        rows.put(
            "open_lines",
            line.id,
            table_key=placed.table,
            order_key=placed.order,
            position=event.position,
            ordinal=ordinal,
            staff=placed.staff,
            placed_at=placed.at,
            open_quantity=line.quantity,
            open_amount=line.total,
            line=msgspec.json.encode(line).decode(),
        )


@TABS.on(CourseCalled, reads=_tab)
def course_called(rows: Rows, event: Recorded) -> None:
    rows.put("tabs", event.data.table, **{**(rows.get("tabs", event.data.table) or FREE), "course": event.data.course})


def _paid_lines(event: Recorded) -> list[tuple[str, Key]]:
    return [*_tab(event), *(("open_lines", (part.line,)) for part in event.data.parts)]


@TABS.on(LinesPaid, reads=_paid_lines)
def lines_paid(rows: Rows, event: Recorded) -> None:
    paid: LinesPaid = event.data
    tab = rows.get("tabs", paid.table) or FREE
    closed = 0
    for part in paid.parts:
        line = rows.get("open_lines", part.line)
        assert line is not None, f"line {part.line} was paid but is not open"
        left: Decimal = line["open_quantity"] - part.quantity
        if left > 0:
            rows.change("open_lines", part.line, open_quantity=left, open_amount=line["open_amount"] - part.amount)
        else:
            rows.delete("open_lines", part.line)
            closed += 1
    still_open = tab["open_lines"] - closed
    rows.put(
        "tabs",
        paid.table,
        state=str(paid.leaves),
        course=tab["course"] if still_open else 0,
        open_lines=still_open,
        open_amount=tab["open_amount"] - sum(part.amount for part in paid.parts),
        occupied_at=tab["occupied_at"] if still_open else None,
    )


@TABS.on(TableCleaned)
def table_cleaned(rows: Rows, event: Recorded) -> None:
    rows.put("tabs", event.data.table, **FREE)


@RECEIPTS.on(ReceiptIssued)
def receipt_issued(rows: Rows, event: Recorded) -> None:
    issued: ReceiptIssued = event.data
    view = receipt_of(RECEIPT.evolve(RECEIPT.initial, event))
    rows.put(
        "receipts",
        issued.receipt,
        register=issued.register,
        number=event.number,
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
