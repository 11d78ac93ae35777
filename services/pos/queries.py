"""What can be asked about receipts. What is open at tables is asked in ``tabs.queries``."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from libs.contracts.pos.commands import Receipt, ReceiptKey, ReceiptNumber
from libs.contracts.pos.lists import RECEIPT_ORDERS, TEXT_MAX_CHARS, TEXT_MIN_CHARS, ReceiptList
from libs.contracts.pos.permissions import PAYMENTS
from libs.domain.errors import FieldError, not_found
from libs.projections.listed import Lister
from libs.projections.tables import Statement, Tables
from libs.runtime.lists import RowList
from libs.runtime.service import Ask, Query
from services.pos.projections import AFTER, After, words_of

INT64_MAX: Final = 2**63 - 1

_COLUMNS = ("document", "void_receipt", "refund_receipts", "refunded", "after", "position")
_SHOWN = ", ".join(f"t.{column}" for column in _COLUMNS)
RECEIPT_BY_NUMBER = Statement(f"select {_SHOWN} from {{pos.receipts}} t where t.instance = $1 and t.register = $2 and t.number = $3")

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


async def receipt_by_key(tables: Tables, instance: int, key: str) -> Receipt | None:
    row = await tables.row("pos.receipts", instance, key, _COLUMNS)
    return None if row is None else receipt_of_row(row)


async def receipt(ask: Ask) -> Receipt:
    found = await receipt_by_key(ask.tables, ask.instance, ask.body.receipt)
    if found is None:
        raise not_found("receipt_not_found", id=ask.body.receipt)
    return found


async def receipt_by_number(ask: Ask) -> Receipt:
    row = await ask.tables.fetch_one(RECEIPT_BY_NUMBER, ask.instance, ask.body.register, ask.body.number)
    if row is None:
        raise not_found("receipt_not_found", id=str(ask.body.number))
    return receipt_of_row(row)


def _check(wanted: ReceiptList, faults: list[FieldError]) -> None:
    if wanted.number is not None and not 1 <= wanted.number <= INT64_MAX:
        faults.append(FieldError("number", "out_of_range", {"min": 1, "max": INT64_MAX}))
    if wanted.text is not None and not TEXT_MIN_CHARS <= len(wanted.text) <= TEXT_MAX_CHARS:
        short = len(wanted.text) < TEXT_MIN_CHARS
        bound = {"min": TEXT_MIN_CHARS} if short else {"max": TEXT_MAX_CHARS}
        faults.append(FieldError("text", "too_short" if short else "too_long", bound))


RECEIPTS: Final = RowList(
    Lister(_SHOWN, "{pos.receipts} t", "position", many=True),
    ReceiptList,
    {
        "number": "t.number = {}",
        "since": "t.date >= {}",
        "until": "t.date <= {}",
        "first_day": "t.business_day >= {}",
        "last_day": "t.business_day <= {}",
        "staff": "t.staff = {}",
        "customer": "t.customer = {}",
        "register": "t.register = {}",
        "table": "t.table_key = {}",
        "text": "strpos(t.words, {}) > 0",
        "voided": "(t.void_receipt is not null) = {}",
    },
    {name: {"table": "t.table_key"}.get(name, f"t.{name}") for name in RECEIPT_ORDERS},
    receipt_of_row,
    read={"text": lambda text: words_of([text])},
    check=_check,
)

QUERIES: Final = (
    *RECEIPTS.queries("receipt", PAYMENTS),
    Query("receipt.get", ReceiptKey, receipt, PAYMENTS),
    Query("receipt.by_number", ReceiptNumber, receipt_by_number, PAYMENTS),
)
