"""Shifts and days as the trade tells them: opened, counted, settled; fenced, then closed for good."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from libs.contracts.pos.house import (
    ChangeSettings,
    CloseDay,
    CountShift,
    DayClosed,
    DayClosing,
    FinishDay,
    HouseSettings,
    HouseSettingsChanged,
    OpenShift,
    SettleShift,
    ShiftOpened,
    ShiftSettled,
    Totals,
)
from libs.contracts.pos.permissions import SHIFTS
from libs.domain.errors import Kind
from services.pos.house import CLOSE_DAY, COUNT_SHIFT, FINISH_DAY, OPEN_TABLES, SETTLE_SHIFT, DayFacts
from tests.unit.given import NOON, STAFF, Outcome, given
from tests.unit.pos.inn import FACTS, TYPES, item, sell

OPEN = TYPES["shift.open"]
SETTINGS = TYPES["house.change_settings"]
TODAY = date(2026, 3, 5)
TOMORROW = NOON + timedelta(days=1)


def opened(at: object = None, **how: object) -> Outcome:
    body = {name: how.pop(name) for name in ("opening_float", "register", "staff") if name in how}
    return (at or given()).when(OPEN, OpenShift(**body), **how)  # type: ignore[union-attr]


def close(after: object, facts: DayFacts | None = None, **how: object) -> Outcome:
    body = {name: how.pop(name) for name in ("through", "confirmed") if name in how}
    return after.when(CLOSE_DAY, CloseDay(**body), facts=facts or DayFacts(), **how)  # type: ignore[attr-defined]


def finish(after: Outcome, covered: int = 0, **how: object) -> Outcome:
    body = FinishDay(first_day=TODAY, totals=Totals(), registers=(), unreadable=(), covered=covered)
    return after.when(FINISH_DAY, body, **how)


def test_who_opened_a_shift_sells_in_it() -> None:
    shift = opened(opening_float=15_000)
    shift.then(ShiftOpened(shift=shift.reply.id, staff=STAFF, register="1", opening_float=15_000, business_day=TODAY, at=NOON))
    assert sell(item("cola"), at=shift).reply.shift == shift.reply.id
    assert sell(item("cola")).reply.shift is None


def test_a_house_may_ask_for_a_shift_first() -> None:
    house = given(HouseSettingsChanged(settings=HouseSettings(shift_required=True), staff=STAFF, at=NOON))
    sell(item("cola"), at=house).refused(Kind.CONFLICT, "no_open_shift", "shift")
    assert sell(item("cola"), at=opened(house)).error is None


def test_nobody_has_two_shifts_and_only_who_settles_opens_for_others() -> None:
    shift = opened()
    opened(shift).refused(Kind.CONFLICT, "shift_already_open", "staff")
    opened(shift, staff="usr_bert").refused(Kind.FORBIDDEN, "missing_right")
    assert opened(shift, staff="usr_bert", permissions={SHIFTS: True}).reply.staff == "usr_bert"
    opened(opening_float=-1).refused(Kind.INVALID, "invalid_fields", "opening_float: out_of_range")


def test_a_counted_shift_takes_no_sale_and_its_difference_is_booked() -> None:
    shift = opened(opening_float=10_000)
    key = shift.reply.id
    counted = shift.when(COUNT_SHIFT, CountShift(shift=key, counted=13_420))
    assert sell(item("cola"), at=counted).reply.shift is None
    assert counted.when(COUNT_SHIFT, CountShift(shift=key, counted=99)).events == ()
    settled = counted.when(SETTLE_SHIFT, SettleShift(shift=key, totals=Totals(cash=3_500, gross=3_500)))
    event = settled.events[0]
    assert isinstance(event, ShiftSettled)
    assert (event.expected, event.counted, event.difference) == (13_500, 13_420, -80)
    assert (settled.reply.difference, settled.reply.opening_float) == (-80, 10_000)
    settled.when(COUNT_SHIFT, CountShift(shift=key)).refused(Kind.CONFLICT, "shift_already_settled", "shift")
    settled.when(COUNT_SHIFT, CountShift(shift="shf_none")).refused(Kind.NOT_FOUND, "shift_not_found", "shift")


def test_a_shift_may_be_settled_without_a_count() -> None:
    shift = opened(opening_float=100)
    counted = shift.when(COUNT_SHIFT, CountShift(shift=shift.reply.id))
    settled = counted.when(SETTLE_SHIFT, SettleShift(shift=shift.reply.id, totals=Totals(cash=50)))
    assert (settled.reply.expected, settled.reply.counted, settled.reply.difference) == (150, None, 0)


def test_behind_the_fence_everything_is_booked_on_the_next_day() -> None:
    fenced = close(given(), DayFacts(last_day=TODAY))
    fenced.then(DayClosing(through=TODAY, confirmed=(), staff=STAFF, at=NOON))
    assert sell(item("cola"), at=fenced).reply.business_day == date(2026, 3, 6)
    closed = finish(fenced)
    assert sell(item("cola"), at=closed).reply.business_day == date(2026, 3, 6)
    assert closed.reply.number == 1


def test_a_clock_that_goes_back_never_reopens_a_day() -> None:
    closed = finish(close(given(), DayFacts(last_day=TODAY)))
    early = closed.when(TYPES["receipt.sell"], sell(item("cola")).command.body, facts=FACTS, at=NOON - timedelta(days=30))
    assert early.reply.business_day == date(2026, 3, 6)


def test_the_day_that_is_closed_is_the_last_one_with_receipts() -> None:
    """Closed the morning after: yesterday is meant, and today's sales stay on today."""
    assert close(given(), DayFacts(last_day=TODAY), at=TOMORROW).events[0].through == TODAY  # type: ignore[attr-defined]
    assert close(given(), DayFacts(), at=TOMORROW).events[0].through == date(2026, 3, 6)  # type: ignore[attr-defined]


def test_a_day_is_closed_once_and_not_before_it_came() -> None:
    closed = finish(close(given(), through=TODAY))
    close(closed, through=TODAY).refused(Kind.CONFLICT, "day_already_closed", "through")
    close(closed, through=TODAY - timedelta(days=9)).refused(Kind.CONFLICT, "day_already_closed", "through")
    close(given(), through=TODAY + timedelta(days=1)).refused(Kind.INVALID, "invalid_fields", "through: day_in_future")
    finish(closed).refused(Kind.CONFLICT, "no_day_closing")


def test_unsettled_shifts_block_and_open_tables_want_a_word() -> None:
    shift = opened()
    blocked = close(shift, DayFacts(open_tables=2), confirmed=(OPEN_TABLES,))
    blocked.refused(Kind.CONFLICT, "shift_not_settled", "shifts")
    warned = close(given(), DayFacts(open_tables=2))
    warned.refused(Kind.CONFLICT, "open_tables", "confirmed")
    assert close(given(), DayFacts(open_tables=2), confirmed=(OPEN_TABLES,)).events[0].confirmed == (OPEN_TABLES,)  # type: ignore[attr-defined]
    close(given(), confirmed=("weather",)).refused(Kind.INVALID, "invalid_fields", "confirmed[0]: warning_unknown")


def test_whoever_comes_upon_a_fence_goes_on_with_it() -> None:
    fenced = close(given(), DayFacts(last_day=TODAY))
    again = close(fenced, DayFacts(open_tables=5), through=TODAY)
    assert again.events == ()
    assert again.reply.closing.through == TODAY


def test_the_report_holds_the_shifts_settled_since_the_last_one() -> None:
    shift = opened()
    key = shift.reply.id
    settled = shift.when(COUNT_SHIFT, CountShift(shift=key, counted=0)).when(SETTLE_SHIFT, SettleShift(shift=key, totals=Totals()))
    closed = finish(close(settled))
    assert [one.shift for one in closed.reply.shifts] == [key]
    assert isinstance(closed.events[1], DayClosed)
    second = finish(close(closed, at=TOMORROW), at=TOMORROW)
    assert (second.reply.number, second.reply.shifts) == (2, ())


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        (HouseSettings(zone="Mars/Olympus"), "zone: not_known"),
        (HouseSettings(zone="../etc/passwd"), "zone: not_known"),
        (HouseSettings(currency="XYZ"), "currency: not_known"),
        (HouseSettings(day_starts=time(4, 0, 30)), "day_starts: not_a_whole_minute"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: HouseSettings, path: str) -> None:
    given().when(SETTINGS, ChangeSettings(settings=settings), facts=frozenset()).refused(Kind.INVALID, "invalid_fields", path)


def test_the_boundary_of_the_day_is_a_setting() -> None:
    night = datetime(2026, 3, 5, 4, 30, tzinfo=UTC)  # half past five in Berlin
    late = given().when(SETTINGS, ChangeSettings(settings=HouseSettings(day_starts=time(6))), facts=frozenset())
    assert late.when(TYPES["receipt.sell"], sell(item("cola")).command.body, facts=FACTS, at=night).reply.business_day == date(2026, 3, 4)
    assert late.when(SETTINGS, ChangeSettings(settings=HouseSettings(day_starts=time(6))), facts=frozenset()).events == ()
