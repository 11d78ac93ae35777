"""Looking for receipts, newest first. A search may go over everything there ever was, but never in one statement: it looks at so many rows
at a time, and gives what matched before it looks at more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from libs.contracts.pos.commands import Receipt
from libs.contracts.pos.permissions import PAYMENTS
from libs.contracts.pos.receipt_search import PAGE_MAX, PAGE_SIZE_MAX, TEXT_MAX_CHARS, TEXT_MIN_CHARS, ReceiptSearch
from libs.projections.tables import Statement
from libs.runtime.service import Ask, Query
from services.pos.faults import Faults, check_int, check_text
from services.pos.projections import words_of
from services.pos.queries import receipt_of_row

LOOKED_AT_ROWS: Final = 2_000  # by one statement
BEYOND_ALL: Final = 2**62  # a position behind every receipt
INT64_MAX: Final = 2**63 - 1

_MATCHES: Final = (
    "($4::bigint is null or r.number = $4) and ($5::timestamptz is null or r.date >= $5) and ($6::timestamptz is null or r.date <= $6) "
    "and ($7::date is null or r.business_day >= $7) and ($8::date is null or r.business_day <= $8) "
    "and ($9::text is null or r.staff = $9) and ($10::text is null or r.register = $10) and ($11::text is null or r.table_key = $11) "
    "and ($12::text is null or strpos(r.words, $12) > 0) and ($13::boolean is null or (r.void_receipt is not null) = $13)"
)


def _windows(customer: str) -> Statement:
    """A window of rows up to a position: every row's position, and of those that match the rest of it."""
    return Statement(
        "select r.position, r.matches, case when r.matches then r.document end as document, r.void_receipt, r.refund_receipts, r.refunded, "
        f"r.after from (select r.*, ({_MATCHES}) as matches from {{pos.receipts}} r "
        f"where r.instance = $1 and r.position <= $2 and {customer} order by r.position desc limit {LOOKED_AT_ROWS}) r "
        "order by r.position desc"
    )


_OF_ALL: Final = _windows("coalesce($3::text, '') = ''")
_OF_CUSTOMER: Final = _windows("r.customer = $3")


async def search(ask: Ask) -> AsyncIterator[list[Receipt]]:
    wanted: ReceiptSearch = ask.body
    _check(wanted)
    skip = 0 if wanted.page is None else (wanted.page - 1) * wanted.page_size
    left = wanted.page_size if wanted.page is not None else -1
    async for rows in _matching(ask, wanted):
        found = rows[skip:]
        skip -= len(rows) - len(found)
        if left >= 0:
            found = found[:left]
            left -= len(found)
        if found:
            yield [receipt_of_row(row) for row in found]
        if left == 0:
            return


async def _matching(ask: Ask, wanted: ReceiptSearch) -> AsyncIterator[list[Any]]:
    statement = _OF_ALL if wanted.customer is None else _OF_CUSTOMER
    text = words_of([wanted.text]) if wanted.text is not None else None
    filters = (
        wanted.customer,
        wanted.number,
        wanted.since,
        wanted.until,
        wanted.first_day,
        wanted.last_day,
        wanted.staff,
        wanted.register,
        wanted.table,
        text,
        wanted.voided,
    )
    up_to = BEYOND_ALL
    while rows := await ask.tables.fetch(statement, ask.instance, up_to, *filters):
        yield [row for row in rows if row["matches"]]
        if len(rows) < LOOKED_AT_ROWS:
            return
        up_to = rows[-1]["position"] - 1


def _check(wanted: ReceiptSearch) -> None:
    faults = Faults()
    check_int(wanted.number, 1, INT64_MAX, "number", faults)
    check_int(wanted.page, 1, PAGE_MAX, "page", faults)
    check_int(wanted.page_size, 1, PAGE_SIZE_MAX, "page_size", faults)
    if wanted.text is not None:
        check_text(wanted.text, TEXT_MAX_CHARS, "text", faults)
        if len(wanted.text) < TEXT_MIN_CHARS:
            faults.invalid("text", "too_short", min=TEXT_MIN_CHARS)
    faults.refuse()


QUERIES: Final = (Query("receipt.search", ReceiptSearch, search, PAYMENTS, stream=True),)
