"""Looking for receipts, newest first."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

import msgspec

TEXT_MIN_CHARS: Final = 2
TEXT_MAX_CHARS: Final = 100
PAGE_SIZE_MAX: Final = 500
PAGE_SIZE: Final = 50
PAGE_MAX: Final = 100_000


class ReceiptSearch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is given must hold. ``since`` and ``until`` by the receipt's date, ``first_day`` and ``last_day`` by its business day, all
    inclusive; ``text`` occurs in the name of a line, whatever the case; ``voided``: it was voided. ``page`` counts from 1; without one
    all of them come."""

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
    page: int | None = None
    page_size: int = PAGE_SIZE
