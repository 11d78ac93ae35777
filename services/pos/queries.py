"""What can be asked about tables, open orders and receipts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from libs.contracts.pos.commands import OpenLine, Receipt, ReceiptFilter, ReceiptKey, ReceiptNumber, TableKey, TableTab
from libs.contracts.pos.events import OrderLine, TableState
from libs.contracts.pos.permissions import ORDERS, PAYMENTS
from libs.domain.errors import not_found
from libs.projections.tables import Statement
from libs.runtime.records import All
from libs.runtime.service import Ask, Query

_TABS = Statement("select t.key, t.state, t.course, t.open_lines, t.open_amount, t.occupied_at from {pos.tabs} t where t.instance = $1")
_TAB = Statement(f"{_TABS.text} and t.key = $2")
_OPEN_LINES = Statement(
    "select l.table_key, l.order_key, l.staff, l.placed_at, l.open_quantity, l.open_amount, l.line "
    "from {pos.open_lines} l where l.instance = $1 and l.table_key = $2 order by l.position, l.ordinal"
)
_RECEIPT = "select r.document, r.void_receipt, r.refund_receipts, r.refunded, r.position from {pos.receipts} r where r.instance = $1"
_RECEIPT_BY_KEY = Statement(f"{_RECEIPT} and r.key = $2")
_RECEIPT_BY_NUMBER = Statement(f"{_RECEIPT} and r.register = $2 and r.number = $3")
_RECEIPTS = Statement(
    f"{_RECEIPT} and ($2::timestamptz is null or r.date >= $2) and ($3::timestamptz is null or r.date <= $3) "
    "and r.position > $4 order by r.position limit $5"
)

_receipts = msgspec.json.Decoder(Receipt)
_lines = msgspec.json.Decoder(OrderLine)


def receipt_of_row(row: Any) -> Receipt:
    """The receipt as it was issued, with what has become of it since."""
    receipt = _receipts.decode(row["document"])
    if row["void_receipt"] is None and row["refund_receipts"] == "[]":
        return receipt
    return msgspec.structs.replace(
        receipt,
        is_voided=row["void_receipt"] is not None,
        void_receipt=row["void_receipt"],
        refund_receipts=tuple(msgspec.json.decode(row["refund_receipts"])),
        refunded=row["refunded"],
    )


def _tab(row: Any) -> TableTab:
    return TableTab(
        state=TableState(row["state"]),
        course=row["course"],
        open_lines=row["open_lines"],
        open_amount=row["open_amount"],
        occupied_at=row["occupied_at"],
    )


async def tab(ask: Ask) -> TableTab:
    row = await ask.tables.fetch_one(_TAB, ask.instance, ask.body.table)
    return TableTab() if row is None else _tab(row)


async def tabs(ask: Ask) -> dict[str, TableTab]:
    """By table; a table without an entry is free."""
    return {row["key"]: _tab(row) for row in await ask.tables.fetch(_TABS, ask.instance)}


async def open_lines(ask: Ask) -> list[OpenLine]:
    return [
        OpenLine(
            table=row["table_key"],
            order=row["order_key"],
            staff=row["staff"],
            placed_at=row["placed_at"],
            open_quantity=row["open_quantity"],
            open_amount=row["open_amount"],
            line=_lines.decode(row["line"]),
        )
        for row in await ask.tables.fetch(_OPEN_LINES, ask.instance, ask.body.table)
    ]


async def receipts(ask: Ask) -> AsyncIterator[list[Receipt]]:
    async for rows in ask.tables.stream(_RECEIPTS, ask.instance, ask.body.since, ask.body.until, by="position"):
        yield [receipt_of_row(row) for row in rows]


async def receipt(ask: Ask) -> Receipt:
    row = await ask.tables.fetch_one(_RECEIPT_BY_KEY, ask.instance, ask.body.receipt)
    if row is None:
        raise not_found("receipt_not_found", id=ask.body.receipt)
    return receipt_of_row(row)


async def receipt_by_number(ask: Ask) -> Receipt:
    row = await ask.tables.fetch_one(_RECEIPT_BY_NUMBER, ask.instance, ask.body.register, ask.body.number)
    if row is None:
        raise not_found("receipt_not_found", id=str(ask.body.number))
    return receipt_of_row(row)


QUERIES: Final = (
    Query("tab.list", All, tabs, ORDERS),
    Query("tab.get", TableKey, tab, ORDERS),
    Query("tab.open_lines", TableKey, open_lines, ORDERS),
    Query("receipt.list", ReceiptFilter, receipts, PAYMENTS, stream=True),
    Query("receipt.get", ReceiptKey, receipt, PAYMENTS),
    Query("receipt.by_number", ReceiptNumber, receipt_by_number, PAYMENTS),
)
