"""What the till's reports ask and answer. Amounts are minor units, shares percent of the gross; days are business days.

Every figure is a sum over receipts. Receipts that take something back (voids, refunds) carry negative figures and so subtract by
themselves; they count as ``voids``, all others as ``receipts``, also those that were voided later.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Final

import msgspec

from libs.contracts.pos.events import TaxAmount

DAYS_MAX: Final = 3_660  # ten years
ARTICLES_MAX: Final = 500  # best and worst, each
ARTICLES_DEFAULT: Final = 10
ROWS_MAX: Final = 2_000  # groups or members of staff in one report; keeps it below what the bus takes

Day = date  # ``DayTotal`` has a field named date


class ReportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """From ``since`` to ``until``, both inclusive; a moment (``…_at``) stands for the business day it falls on. Without an end it is the
    business day of ``at``, without a beginning one day."""

    at: datetime
    since: Day | None = None
    until: Day | None = None
    since_at: datetime | None = None
    until_at: datetime | None = None
    register: str | None = None
    staff: str | None = None


class ArticleQuery(ReportQuery, frozen=True, kw_only=True):
    limit: int = ARTICLES_DEFAULT


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """What every report begins with: the days it is about, both inclusive."""

    since: Day
    until: Day


class KindTotal(msgspec.Struct, frozen=True, kw_only=True):
    """A way of paying: ``amount`` is what stayed in the house (handed over minus ``change``), so that over all kinds it makes up gross
    plus tips. ``tip`` is in ``amount``. ``count``: payments on sales; ``voids``: those given back."""

    type: int
    amount: int
    change: int
    tip: int
    count: int
    voids: int


class DayTotal(msgspec.Struct, frozen=True, kw_only=True):
    date: Day
    gross: int = 0
    receipts: int = 0
    voids: int = 0


class Revenue(Span, frozen=True, kw_only=True):
    """``days``: those with receipts."""

    gross: int = 0
    net: int = 0
    tax: int = 0
    tip: int = 0
    receipts: int = 0
    voids: int = 0
    taxes: tuple[TaxAmount, ...] = ()
    payments: tuple[KindTotal, ...] = ()
    days: tuple[DayTotal, ...] = ()


class PaymentTotals(Span, frozen=True, kw_only=True):
    amount: int = 0
    change: int = 0
    tip: int = 0
    payments: tuple[KindTotal, ...] = ()


class ArticleTotal(msgspec.Struct, frozen=True, kw_only=True):
    """``article`` is None for free ones, which are told apart by their names; ``name`` as last sold."""

    article: str | None
    name: str
    quantity: Decimal
    gross: int
    share: Decimal = Decimal(0)


class ArticleTotals(Span, frozen=True, kw_only=True):
    """By gross. ``articles``: how many different ones were sold; one that was not is in neither list."""

    gross: int = 0
    articles: int = 0
    top: tuple[ArticleTotal, ...] = ()
    worst: tuple[ArticleTotal, ...] = ()


class GroupTotal(msgspec.Struct, frozen=True, kw_only=True):
    """``quantity`` and ``gross``: articles sold in this very group; ``total_…``: with those in all groups below it, to which ``share``
    refers. ``group`` is None for what was sold without one, ``name`` for a group that is gone. ``level`` 0 is the top of the tree."""

    group: str | None
    name: str | None
    parent: str | None
    level: int
    quantity: Decimal
    gross: int
    total_quantity: Decimal
    total_gross: int
    share: Decimal


class GroupTotals(Span, frozen=True, kw_only=True):
    """Groups in which something was sold and those above them, in the order of the tree, each before those below it."""

    gross: int = 0
    groups: tuple[GroupTotal, ...] = ()


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """An ISO week, as far as it is asked for; ``days``: every day of that part."""

    year: int
    week: int
    since: Day
    until: Day
    gross: int
    receipts: int
    voids: int
    days: tuple[DayTotal, ...]


class WeekdayTotal(msgspec.Struct, frozen=True, kw_only=True):
    """``weekday`` 1 is Monday; ``days``: how many such days had receipts, ``average`` the gross of one."""

    weekday: int
    days: int
    gross: int
    average: int
    receipts: int
    voids: int


class Weekly(Span, frozen=True, kw_only=True):
    """``weeks``: those with receipts; ``weekdays``: all seven."""

    gross: int
    receipts: int
    voids: int
    weeks: tuple[Week, ...]
    weekdays: tuple[WeekdayTotal, ...]


class HourTotal(msgspec.Struct, frozen=True, kw_only=True):
    """The hour that begins when the clock of the house shows ``hour``; the one repeated in autumn counts both times."""

    hour: int
    gross: int = 0
    receipts: int = 0
    voids: int = 0


class Hourly(Span, frozen=True, kw_only=True):
    """All 24, in the order of a business day."""

    gross: int
    receipts: int
    voids: int
    hours: tuple[HourTotal, ...]


class StaffTotal(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody's own receipts add up to; a void belongs to whoever voided. ``voided``: the gross taken back (negative, and in
    ``gross`` too); ``average``: the gross of a sale. ``name`` is None for somebody who is gone."""

    staff: str
    name: str | None
    gross: int
    tip: int
    receipts: int
    voids: int
    voided: int
    average: int = 0


class StaffTotals(Span, frozen=True, kw_only=True):
    gross: int = 0
    tip: int = 0
    receipts: int = 0
    voids: int = 0
    staff: tuple[StaffTotal, ...] = ()
