"""Section Receipts: lists of them. All take the same filters, pages and orders; they differ in where they begin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Any, Final

from libs.contracts.pos.commands import Receipt
from libs.contracts.pos.lists import RECEIPT_ORDERS, TEXT_MAX_CHARS, ReceiptList
from services.gateway import limits
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.listing import asks_of, listed, paged_params, paging_of
from services.gateway.dikas.params import Form, Param
from services.gateway.dikas.receipts import ReceiptOut, receipt_out

Receipts = AsyncIterator[list[ReceiptOut]]
LIST: Final = "receipt"


def _wanted(call: Call, first: date | None, last: date | None, **more: Any) -> ReceiptList:
    """``first`` and ``last`` are business days, or moments of the receipt's date. Dates are shown to the second, so a full second is all of
    it. ``more``: what the route says itself."""
    if isinstance(last, datetime) and last.microsecond == 0:
        last = last.replace(microsecond=999_999)
    asked = {
        "number": call.number("number"),
        "since": first if isinstance(first, datetime) else None,
        "until": last if isinstance(last, datetime) else None,
        "first_day": _day(first),
        "last_day": _day(last),
        "staff": call.named("staffId"),
        "customer": call.named("customerId"),
        "register": call.named("registerId"),
        "table": call.named("tableId"),
        "text": call.text("q") or None,
    }
    return ReceiptList(**{**asked, **paging_of(call, RECEIPT_ORDERS), **more})


def _day(value: date | None) -> date | None:
    return None if isinstance(value, datetime) else value


def _listed(call: Call, wanted: ReceiptList) -> Receipts:
    return listed(call, "pos", LIST, wanted, Receipt, receipt_out)


def _searched(call: Call, **more: Any) -> Receipts:
    return _listed(call, _wanted(call, call.day("from"), call.day("to"), newest_first=True, **more))


async def receipts(call: Call) -> Receipts:
    """All of them, oldest first, or those between ``from`` and ``to``, both inclusive; a page, filters, an order."""
    async for piece in _listed(call, _wanted(call, call.moment("from"), call.moment("to"), voided=call.flag("isVoided"))):
        yield piece


async def search(call: Call) -> Receipts:
    """Newest first: all for which everything holds that is named. ``q`` is a part of an item's name."""
    async for piece in _searched(call, voided=call.flag("isVoided")):
        yield piece


async def voided(call: Call) -> Receipts:
    """Those that were voided, newest first; filters as in the search."""
    async for piece in _searched(call, voided=True):
        yield piece


async def by_customer(call: Call) -> Receipts:
    """Those of a customer, newest first; filters as in the search."""
    async for piece in _searched(call, customer=call.id("customerId", "customer_not_found"), voided=call.flag("isVoided")):
        yield piece


BETWEEN: Final = (
    Param("from", Form.MOMENT, "Receipts from this moment on.", example="2026-03-01T00:00:00Z"),
    Param("to", Form.MOMENT, "Receipts up to this moment, inclusive.", example="2026-03-31T23:59:59Z"),
)
DAYS: Final = (
    Param("from", Form.DAY, "From this business day or moment on.", example="2026-03-01"),
    Param("to", Form.DAY, "Up to this business day or moment.", example="2026-03-31"),
)
WHICH: Final = (
    Param("number", Form.WHOLE, "The number as printed.", low=1, high=10**limits.NUMBER_MAX_DIGITS - 1, example=1),
    Param("staffId", Form.ID, "Those this employee made.", example="{staff}"),
    Param("registerId", Form.ID, "Those of this register.", example="1"),
    Param("tableId", Form.ID, "Those of this table.", example="{table}"),
    Param("customerId", Form.ID, "Those of this customer.", example="{customer}"),
    Param("q", Form.TEXT, "A part of an item's name.", max_chars=TEXT_MAX_CHARS, example="Schnitzel"),
    *paged_params(RECEIPT_ORDERS),
)
VOIDED: Final = Param("isVoided", Form.FLAG, "`true`: those that were voided, `false`: those that were not.", example="false")
_ASKS: Final = asks_of("pos", LIST)
_BY_CUSTOMER: Final = "/api/v1/receipts/by-customer/{customerId}"

ROUTES = (
    Route("GET", "/api/v1/receipts", "Receipts", receipts, stream=True, asks=_ASKS, params=(*BETWEEN, *WHICH, VOIDED)),
    Route("GET", "/api/v1/receipts/search", "Receipts", search, stream=True, asks=_ASKS, params=(*DAYS, *WHICH, VOIDED)),
    Route("GET", "/api/v1/receipts/voided", "Receipts", voided, stream=True, asks=_ASKS, params=(*DAYS, *WHICH)),
    Route("GET", _BY_CUSTOMER, "Receipts", by_customer, stream=True, asks=_ASKS, params=(*DAYS, *WHICH, VOIDED)),
)
