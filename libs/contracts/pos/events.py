"""What happens at tables and tills. Amounts are integers of minor units; prices, quantities and rates are decimals.

Tables write to ``tab-<table>``, receipts to ``receipt-<receipt>``.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from libs.domain.events import Event, event


class TableState(StrEnum):
    FREE = "free"
    OCCUPIED = "occupied"
    NEEDS_CLEANING = "needs_cleaning"


class LineOption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A chosen option: ``surcharge`` is the price of one, ``quantity`` how many go with each unit of the article."""

    option: str
    name: str
    surcharge: Decimal
    quantity: int = 1


class OrderLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An ordered position (open bon). ``price_rule`` made its ``price``, if any did.

    ``unit_price`` is ``price`` with all option surcharges; ``unit_price × quantity``, rounded half up, minus ``discount`` is
    ``total``. A free article has no ``article``. ``tax_rate`` in percent is the one in force when it was ordered.
    """

    id: str
    name: str
    quantity: Decimal
    price: Decimal
    unit_price: Decimal
    total: int
    tax_class: int
    tax_rate: Decimal
    article: str | None = None
    group: str | None = None
    options: tuple[LineOption, ...] = ()
    discount: int = 0
    discount_percent: Decimal | None = None
    course: int | None = None
    seat: int | None = None
    note: str | None = None
    price_rule: str | None = None


class PaidPart(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How much of an ordered line a receipt settled."""

    line: str
    quantity: Decimal
    amount: int


class ReceiptLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A line as billed. ``unit_price`` includes option surcharges, and to the cent
    ``unit_price × quantity`` (rounded half up) ``− discount = total``.

    When a line is paid in parts, the cents that do not divide are in ``discount`` too, so it may be a cent off the agreed
    share and even −1. On a void receipt quantity, discount and total are negative.
    """

    id: str
    name: str
    quantity: Decimal
    unit_price: Decimal
    total: int
    tax_class: int
    tax_rate: Decimal
    article: str | None = None
    group: str | None = None
    options: tuple[LineOption, ...] = ()
    discount: int = 0
    course: int | None = None
    seat: int | None = None


class TaxAmount(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All lines of a receipt under one rate (percent): ``net + tax = gross``."""

    rate: Decimal
    net: int
    tax: int
    gross: int


class PaymentTaken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """``amount`` as handed over, change not yet taken off; ``type`` is a code of ``PAYMENT_KINDS``; ``reference`` the account it draws on,
    if its kind has such (a voucher's number)."""

    type: int
    amount: int
    reference: str | None = None


class Hospitality(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What makes a bill proof of a business meal (Bewirtungsbeleg, § 4 (5) no. 2 EStG); ``host`` is who invited and signs."""

    occasion: str
    guests: tuple[str, ...]
    host: str


@event("tab.order_placed")
class OrderPlaced(Event, frozen=True, kw_only=True):
    table: str
    order: str
    lines: tuple[OrderLine, ...]
    staff: str
    at: datetime
    client_at: datetime | None = None


@event("tab.course_called")
class CourseCalled(Event, frozen=True, kw_only=True):
    """The kitchen may send a course (Gang abrufen)."""

    table: str
    course: int
    staff: str
    at: datetime


@event("tab.lines_paid")
class LinesPaid(Event, frozen=True, kw_only=True):
    """A receipt settled these parts; ``leaves`` is the state the table is in from now on."""

    table: str
    receipt: str
    parts: tuple[PaidPart, ...]
    leaves: TableState
    staff: str
    at: datetime


@event("tab.cleaned")
class TableCleaned(Event, frozen=True, kw_only=True):
    table: str
    staff: str
    at: datetime


@event("receipt.issued")
class ReceiptIssued(Event, frozen=True, kw_only=True):
    """A sale, or with ``voids`` its reversal with every figure negated, or with ``refunds`` a part of it taken back.
    ``Σ payments = gross + tip + change``. ``shift``: the shift it was made in, if its staff had opened one. ``signing_unit``: what is to
    sign it; empty: the house had none, and this receipt awaits no signature.

    ``payment``: the payment it ends, if that draws on accounts elsewhere; a receipt that takes one back has a key of its own for it.

    A till that was cut off tells when it happened (``client_at``); one that numbers its receipts itself gives ``own_number``, and the log
    gives none.
    """

    receipt: str
    register: str
    currency: str
    lines: tuple[ReceiptLine, ...]
    taxes: tuple[TaxAmount, ...]
    gross: int
    net: int
    tax: int
    payments: tuple[PaymentTaken, ...]
    staff: str
    business_day: date
    at: datetime
    change: int = 0
    tip: int = 0
    table: str | None = None
    customer: str | None = None
    voids: str | None = None
    refunds: str | None = None
    shift: str | None = None
    client_at: datetime | None = None
    own_number: int | None = None
    signing_unit: str = ""
    payment: str | None = None

    def series(self) -> str | None:
        return f"receipt.{self.register}" if self.own_number is None else None


@event("receipt.voided")
class ReceiptVoided(Event, frozen=True, kw_only=True):
    """Stands on the original; ``void_receipt`` is the receipt that takes it back (Stornobeleg)."""

    receipt: str
    void_receipt: str
    staff: str
    at: datetime


@event("receipt.refunded")
class ReceiptRefunded(Event, frozen=True, kw_only=True):
    """Stands on the original: ``refund_receipt`` takes these parts of its lines back, and gives back ``tip`` and ``payments``. All figures
    are positive."""

    receipt: str
    refund_receipt: str
    parts: tuple[PaidPart, ...]
    payments: tuple[PaymentTaken, ...]
    tip: int
    staff: str
    at: datetime
