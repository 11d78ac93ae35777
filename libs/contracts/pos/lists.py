"""What the lists of pos can be asked for. All that is given must hold, and what bounds a list is inclusive; each can be sorted by what its
constant names."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

from libs.contracts.pos.events import TableState
from libs.contracts.pos.tab_events import KitchenState
from libs.domain.paging import Paged

TEXT_MIN_CHARS: Final = 2
TEXT_MAX_CHARS: Final = 100


class ReceiptList(Paged, frozen=True, kw_only=True, omit_defaults=True):
    """Oldest first unless ``newest_first``. ``since`` and ``until`` by the receipt's date, ``first_day`` and ``last_day`` by its business
    day; ``text`` occurs in the name of a line, whatever the case; ``voided``: it was voided."""

    number: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    first_day: date | None = None
    last_day: date | None = None
    staff: str | None = None
    customer: str | None = None
    register: str | None = None
    table: str | None = None
    text: str | None = None
    voided: bool | None = None
    newest_first: bool = False


RECEIPT_ORDERS: Final = ("number", "date", "business_day", "gross", "tip", "register", "staff", "table")


class ShiftList(Paged, frozen=True, kw_only=True, omit_defaults=True):
    """Oldest first. ``open``: not settled; ``first_day`` and ``last_day`` by the business day on which it was opened."""

    open: bool | None = None
    first_day: date | None = None
    last_day: date | None = None
    staff: str | None = None
    register: str | None = None


SHIFT_ORDERS: Final = ("opened_date", "business_day", "staff", "register", "difference")


class ReportList(Paged, frozen=True, kw_only=True, omit_defaults=True):
    """Z reports, oldest first: those that tell of any day from ``first_day`` to ``last_day``; ``staff`` closed them."""

    first_day: date | None = None
    last_day: date | None = None
    staff: str | None = None


REPORT_ORDERS: Final = ("number", "first_date", "date", "closed_date", "gross")


class OpenItemList(Paged, frozen=True, kw_only=True, omit_defaults=True):
    """Open items as they were placed, cancelled ones as they were cancelled. ``group``: a group of tables or of articles; ``since``:
    ordered (cancelled ones: cancelled) since then; ``staff`` placed the order."""

    table: str | None = None
    group: str | None = None
    seat: int | None = None
    state: KitchenState | None = None
    since: datetime | None = None
    staff: str | None = None
    article: str | None = None


OPEN_ITEM_ORDERS: Final = ("created_date", "status_date", "course", "seat", "table", "open_amount")


class TableServiceList(Paged, frozen=True, kw_only=True, omit_defaults=True):
    """Tables as they were made. ``waiter`` serves it."""

    group: str | None = None
    waiter: str | None = None
    state: TableState | None = None
    is_active: bool | None = None


TABLE_SERVICE_ORDERS: Final = ("number", "name", "occupied_since", "last_service_date", "open_amount")
