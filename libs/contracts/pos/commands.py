"""What can be asked of the till, and what it answers. Amounts are minor units; limits are inclusive."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Final

import msgspec

from libs.contracts.pos.events import Hospitality, OrderLine, PaymentTaken, ReceiptLine, TableState, TaxAmount
from libs.contracts.pos.signing import Signature
from libs.domain.records import RecordView

ITEMS_PER_ORDER_MAX: Final = 500
ORDERS_PER_BATCH_MAX: Final = 200
OPTIONS_PER_ITEM_MAX: Final = 20
OPTION_QUANTITY_MAX: Final = 99
OPEN_LINES_PER_TABLE_MAX: Final = 2_000
LINES_PER_RECEIPT_MAX: Final = 500  # keeps the receipt's event well below what the log takes
PAYMENTS_MAX: Final = 50
OWN_NUMBER_MAX: Final = 10**12

QUANTITY_MAX: Final = Decimal(9_999)
QUANTITY_PLACES: Final = 3
PRICE_MAX: Final = Decimal(1_000_000)  # major units (euros)
PRICE_PLACES: Final = 6
PERCENT_PLACES: Final = 2
LINE_TOTAL_MAX_MINOR: Final = 10**10  # 2,000 such lines still fit 64 bits with room
PAYMENT_MAX_MINOR: Final = 10**13
REFERENCE_MAX_CHARS: Final = 64
TIP_MAX_MINOR: Final = 10**10

COURSE_MAX: Final = 20
TAX_CLASS_MAX: Final = 999
SEAT_MAX: Final = 999
NAME_MAX_CHARS: Final = 100
NOTE_MAX_CHARS: Final = 200

DEFAULT_REGISTER: Final = "1"

Day = date  # ``Receipt`` has a field named date


class OptionChoice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    option: str
    quantity: int = 1


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is ordered: an ``article`` (``price`` then overrides its own), or a free one by ``name``, ``price`` and ``tax_class``.

    Price in major units gross per unit; ``discount_percent`` or ``discount_amount`` (minor units) is for the whole line.
    """

    quantity: Decimal
    article: str | None = None
    name: str | None = None
    price: Decimal | None = None
    tax_class: int | None = None
    options: tuple[OptionChoice, ...] = ()
    discount_percent: Decimal | None = None
    discount_amount: int | None = None
    course: int | None = None
    seat: int | None = None
    note: str | None = None


class Payment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``amount`` as handed over; one payment may leave it out and then takes exactly what is missing. ``reference``: the account it
    draws on, if its kind has such (a voucher's number)."""

    type: int
    amount: int | None = None
    reference: str | None = None


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    table: str
    items: tuple[Item, ...]


class PlaceOrders(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Several orders, all of them or none; a table may occur more than once."""

    orders: tuple[PlaceOrder, ...]


class CallCourse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    table: str
    course: int


class MarkCleaned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    table: str


class Sell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sale over the counter."""

    items: tuple[Item, ...]
    payments: tuple[Payment, ...] = ()
    tip: int = 0
    customer: str | None = None
    register: str = DEFAULT_REGISTER


class PaidItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open line by id; without ``quantity`` all that is open of it."""

    line: str
    quantity: Decimal | None = None


class PayTable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Without ``items`` everything open at the table is paid, with ``seat`` everything open at that seat."""

    table: str
    items: tuple[PaidItem, ...] | None = None
    seat: int | None = None
    payments: tuple[Payment, ...] = ()
    tip: int = 0
    customer: str | None = None
    register: str = DEFAULT_REGISTER


class VoidReceipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``register`` None: the one the receipt was made at."""

    receipt: str
    register: str | None = None


class RefundedItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a receipt by id; without ``quantity`` all that was not taken back yet."""

    line: str
    quantity: Decimal | None = None


class RefundReceipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``items`` None: everything that is left. ``payments`` by which it is given back; empty: by those it was paid with, in their order.
    As much of the tip goes back as of the bill."""

    receipt: str
    items: tuple[RefundedItem, ...] | None = None
    payments: tuple[Payment, ...] = ()
    register: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    table: str
    lines: tuple[OrderLine, ...]
    staff: str
    placed_at: datetime


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """In the order they were given."""

    orders: tuple[Order, ...]


class TableStatus(msgspec.Struct, frozen=True, kw_only=True):
    """``course``: the one called last, None before the first; ``open_amount`` in minor units."""

    table: str
    state: TableState
    course: int | None
    open_lines: int
    open_amount: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """``date`` is when the log took it. ``void_receipt``: what voided it; ``voided_receipt``: what it voids. ``refund_receipts``: what took
    parts of it back, ``refunded`` their sum (positive); ``refunded_receipt``: what it takes back a part of.
    With a ``signing_unit`` there is a ``signature`` in the end, or the reason why it is ``unsigned``. ``copies``: reprints."""

    id: str
    number: int
    register: str
    date: datetime
    business_day: Day
    currency: str
    staff: str
    table: str | None
    customer: str | None
    lines: tuple[ReceiptLine, ...]
    taxes: tuple[TaxAmount, ...]
    gross: int
    net: int
    tax: int
    payments: tuple[PaymentTaken, ...]
    change: int
    tip: int
    is_voided: bool
    void_receipt: str | None
    voided_receipt: str | None
    refunded_receipt: str | None = None
    refund_receipts: tuple[str, ...] = ()
    refunded: int = 0
    shift: str | None = None
    client_at: datetime | None = None
    signing_unit: str = ""
    signature: Signature | None = None
    unsigned: str = ""
    copies: int = 0
    hospitality: Hospitality | None = None


class TableTab(msgspec.Struct, frozen=True, kw_only=True):
    """What is going on at a table: ``open_amount`` in minor units, ``occupied_at`` since the first order."""

    state: TableState = TableState.FREE
    course: int = 0
    open_lines: int = 0
    open_amount: int = 0
    occupied_at: datetime | None = None


class TableShown(msgspec.Struct, frozen=True, kw_only=True):
    """A table's record with what is going on at it."""

    view: RecordView
    tab: TableTab


class TableKey(msgspec.Struct, frozen=True, kw_only=True):
    table: str


class ReceiptKey(msgspec.Struct, frozen=True, kw_only=True):
    receipt: str


class ReceiptNumber(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    register: str = DEFAULT_REGISTER
