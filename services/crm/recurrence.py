"""When an appointment that recurs takes place: a pure function of the appointment and a span of time.

It recurs by the clock on the wall: at ten in summer and in winter. A time that the change to summer time skips is an hour later that day;
of one that comes twice the first counts. In a month without its day it is on the last one, and back on its day the month after.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

DAY, WORKDAY, WEEK, MONTH, YEAR = range(5)
BERLIN: Final = ZoneInfo("Europe/Berlin")
SATURDAY: Final = 5
LAST_YEAR: Final = 9_000  # nobody plans further
MONTHS: Final = 12
MARGIN_DAYS: Final = 6  # by which clocks, weekends and the lengths of months may be off
WORKDAYS, DAYS = 5, 7


class Recurring(msgspec.Struct, frozen=True):
    """Moments in seconds since 1970. ``interval``: every so many days, workdays, weeks, months or years; ``until``: it does not begin on
    a later day; without ``recurrence`` it takes place once."""

    begins: int
    ends: int
    recurrence: int | None = None
    interval: int = 1
    until: int | None = None


Span = tuple[int, int]


def occurrences(appointment: Recurring, after: int, before: int, zone: ZoneInfo = BERLIN) -> Iterator[Span]:
    """Begin and end of each time it takes place between two moments, in order: what ends later than ``after``, or begins then, and begins
    before ``before``. The first time is the appointment itself, even a workday's on a Sunday."""
    for begins, ends in _from(appointment, after, zone):
        if begins >= before:
            return
        if ends > after or begins >= after:
            yield begins, ends


def _from(appointment: Recurring, after: int, zone: ZoneInfo) -> Iterator[Span]:
    """All times from about ``after`` on; not one that matters is left out before."""
    if appointment.recurrence is None:
        yield appointment.begins, appointment.ends
        return
    try:
        first, last = _local(appointment.begins, zone), _local(appointment.ends, zone)
        until = None if appointment.until is None else _local(appointment.until, zone).date()
    except (OverflowError, ValueError, OSError):  # no calendar goes there
        yield appointment.begins, appointment.ends
        return
    length = last.replace(tzinfo=None) - first.replace(tzinfo=None)
    count = _skipped(appointment, first, after - (appointment.ends - appointment.begins), zone)
    if count == 0:
        yield appointment.begins, appointment.ends
        count = 1
    while True:
        day = STEPS[appointment.recurrence](first.date(), count * appointment.interval)
        if day is None or (until is not None and day > until):
            return
        begins = datetime.combine(day, first.time().replace(tzinfo=None))
        yield _moment(begins, zone), max(_moment(begins, zone), _moment(begins + length, zone))
        count += 1


def _skipped(appointment: Recurring, first: datetime, after: int, zone: ZoneInfo) -> int:
    """How many times are certainly over by then."""
    assert appointment.recurrence is not None
    try:
        days = (_local(after, zone).date() - first.date()).days - MARGIN_DAYS
    except (OverflowError, ValueError, OSError):
        days = 0 if after < appointment.begins else (date(LAST_YEAR, 1, 1) - first.date()).days
    longest = LONGEST_DAYS[appointment.recurrence] * appointment.interval
    return max(0, int(days / longest) - 1)


def _local(moment: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(moment, UTC).astimezone(zone)


def _moment(local: datetime, zone: ZoneInfo) -> int:
    return int(local.replace(tzinfo=zone).timestamp())


# --- steps: the day so many units after another, None beyond all calendars ---------------------------------------------------------


def _days(first: date, count: int) -> date | None:
    try:
        day = first + timedelta(days=count)
    except OverflowError:
        return None
    return day if day.year <= LAST_YEAR else None


def _workdays(first: date, count: int) -> date | None:
    """A weekend counts as the Friday before it."""
    friday = min(first.weekday(), SATURDAY - 1)
    weeks, day = divmod(friday + count, WORKDAYS)
    return _days(first, weeks * DAYS + day - first.weekday())


def _weeks(first: date, count: int) -> date | None:
    return _days(first, count * DAYS)


def _months(first: date, count: int) -> date | None:
    years, month = divmod(first.month - 1 + count, MONTHS)
    year = first.year + years
    if year > LAST_YEAR:
        return None
    return date(year, month + 1, min(first.day, monthrange(year, month + 1)[1]))


def _years(first: date, count: int) -> date | None:
    return _months(first, count * MONTHS)


STEPS: Final[Mapping[int, Callable[[date, int], date | None]]] = {
    DAY: _days,
    WORKDAY: _workdays,
    WEEK: _weeks,
    MONTH: _months,
    YEAR: _years,
}
LONGEST_DAYS: Final[Mapping[int, float]] = {DAY: 1, WORKDAY: DAYS / WORKDAYS, WEEK: 7, MONTH: 31, YEAR: 366}
