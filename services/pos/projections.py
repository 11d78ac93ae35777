"""Query tables of the till: receipts. What is open at tables is in ``tabs.projections``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from libs.contracts.pos.documents import HospitalityNoted, ReceiptReprinted
from libs.contracts.pos.events import Hospitality, ReceiptIssued, ReceiptRefunded, ReceiptVoided
from libs.contracts.pos.signing import ReceiptSigned, ReceiptUnsigned, Signature
from libs.domain.events import Recorded
from libs.projections.declare import Key, Projection, Table
from libs.projections.rows import Rows
from services.pos.receipts import RECEIPT, number_of, receipt_of
from services.pos.takings import takings


class After(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was added to a receipt after it was issued, as its row keeps it."""

    signature: Signature | None = None
    unsigned: str = ""
    copies: int = 0
    hospitality: Hospitality | None = None


AFTER: Final = msgspec.json.Decoder(After)


def words_of(names: Iterable[str]) -> str:
    """What a search for a text looks at; a new line keeps it from finding the end of one name with the beginning of the next."""
    return "\n".join(names).casefold()


RECEIPTS: Final = Projection(
    "receipts",
    4,
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
                "words": "text",
                "document": "jsonb",
                "after": "jsonb",
            },
            indexes=(("position",), ("register", "number"), ("business_day",), ("customer", "position")),
        ),
        Table("awaited_signatures", {"key": "text", "position": "bigint", "issued_at": "timestamptz"}, indexes=(("position",),)),
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
        words=words_of(line.name for line in issued.lines),
        document=msgspec.json.encode(view).decode(),
        after=None,
    )
    if issued.signing_unit:
        rows.put("awaited_signatures", issued.receipt, position=event.position, issued_at=event.at)


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


def _after(rows: Rows, receipt: str) -> After:
    row = rows.get("receipts", receipt)
    return AFTER.decode(row["after"]) if row is not None and row["after"] else After()


def _note(rows: Rows, receipt: str, **changed: Any) -> None:
    after = msgspec.structs.replace(_after(rows, receipt), **changed)
    rows.change("receipts", receipt, after=msgspec.json.encode(after).decode())


def _receipt(event: Recorded) -> list[tuple[str, Key]]:
    return [("receipts", (event.data.receipt,))]


@RECEIPTS.on(ReceiptSigned, reads=_receipt)
def receipt_signed(rows: Rows, event: Recorded) -> None:
    _note(rows, event.data.receipt, signature=event.data.signature)
    rows.delete("awaited_signatures", event.data.receipt)


@RECEIPTS.on(ReceiptUnsigned, reads=_receipt)
def receipt_unsigned(rows: Rows, event: Recorded) -> None:
    _note(rows, event.data.receipt, unsigned=event.data.reason)
    rows.delete("awaited_signatures", event.data.receipt)


@RECEIPTS.on(ReceiptReprinted, reads=_receipt)
def receipt_reprinted(rows: Rows, event: Recorded) -> None:
    _note(rows, event.data.receipt, copies=event.data.copy)


@RECEIPTS.on(HospitalityNoted, reads=_receipt)
def hospitality_noted(rows: Rows, event: Recorded) -> None:
    _note(rows, event.data.receipt, hospitality=event.data.hospitality)
