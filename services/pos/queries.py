"""What can be asked about receipts. What is open at tables is asked in ``tabs.queries``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from libs.contracts.pos.commands import Receipt, ReceiptFilter, ReceiptKey, ReceiptNumber
from libs.contracts.pos.permissions import PAYMENTS
from libs.domain.errors import not_found
from libs.projections.tables import Statement, Tables
from libs.runtime.service import Ask, Query
from services.pos.projections import AFTER, After

_RECEIPT = (
    "select r.document, r.void_receipt, r.refund_receipts, r.refunded, r.after, r.position from {pos.receipts} r where r.instance = $1"
)
RECEIPT_BY_KEY = Statement(f"{_RECEIPT} and r.key = $2")
_RECEIPT_BY_NUMBER = Statement(f"{_RECEIPT} and r.register = $2 and r.number = $3")
_RECEIPTS = Statement(
    f"{_RECEIPT} and ($2::timestamptz is null or r.date >= $2) and ($3::timestamptz is null or r.date <= $3) "
    "and r.position > $4 order by r.position limit $5"
)

_receipts = msgspec.json.Decoder(Receipt)


def receipt_of_row(row: Any) -> Receipt:
    """The receipt as it was issued, with what has become of it since."""
    receipt = _receipts.decode(row["document"])
    if row["after"] is not None:
        receipt = _with_after(receipt, AFTER.decode(row["after"]))
    if row["void_receipt"] is None and row["refund_receipts"] == "[]":
        return receipt
    return msgspec.structs.replace(
        receipt,
        is_voided=row["void_receipt"] is not None,
        void_receipt=row["void_receipt"],
        refund_receipts=tuple(msgspec.json.decode(row["refund_receipts"])),
        refunded=row["refunded"],
    )


def _with_after(receipt: Receipt, after: After) -> Receipt:
    return msgspec.structs.replace(
        receipt, signature=after.signature, unsigned=after.unsigned, copies=after.copies, hospitality=after.hospitality
    )


async def receipts(ask: Ask) -> AsyncIterator[list[Receipt]]:
    async for rows in ask.tables.stream(_RECEIPTS, ask.instance, ask.body.since, ask.body.until, by="position"):
        yield [receipt_of_row(row) for row in rows]


async def receipt_by_key(tables: Tables, instance: int, key: str) -> Receipt | None:
    row = await tables.fetch_one(RECEIPT_BY_KEY, instance, key)
    return None if row is None else receipt_of_row(row)


async def receipt(ask: Ask) -> Receipt:
    found = await receipt_by_key(ask.tables, ask.instance, ask.body.receipt)
    if found is None:
        raise not_found("receipt_not_found", id=ask.body.receipt)
    return found


async def receipt_by_number(ask: Ask) -> Receipt:
    row = await ask.tables.fetch_one(_RECEIPT_BY_NUMBER, ask.instance, ask.body.register, ask.body.number)
    if row is None:
        raise not_found("receipt_not_found", id=str(ask.body.number))
    return receipt_of_row(row)


QUERIES: Final = (
    Query("receipt.list", ReceiptFilter, receipts, PAYMENTS, stream=True),
    Query("receipt.get", ReceiptKey, receipt, PAYMENTS),
    Query("receipt.by_number", ReceiptNumber, receipt_by_number, PAYMENTS),
)
