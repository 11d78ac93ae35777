"""Which day a sale is booked on."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest

from libs.contracts.pos.commands import Sell
from services.pos.settings import Settings, business_day
from tests.unit.given import given
from tests.unit.pos.inn import FACTS, SELL, cash, item

FOUR = Settings()
MIDNIGHT = Settings(day_starts=time(0))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "settings", "day"),
    [
        ("2026-03-05 12:00", FOUR, date(2026, 3, 5)),
        ("2026-03-05 22:59", FOUR, date(2026, 3, 5)),  # 23:59 in Berlin
        ("2026-03-05 23:00", FOUR, date(2026, 3, 5)),  # midnight
        ("2026-03-06 02:59:59.999999", FOUR, date(2026, 3, 5)),
        ("2026-03-06 03:00", FOUR, date(2026, 3, 6)),  # 04:00
        ("2026-07-06 01:59:59", FOUR, date(2026, 7, 5)),
        ("2026-07-06 02:00", FOUR, date(2026, 7, 6)),  # 04:00 in summer
        ("2026-03-05 22:59:59", MIDNIGHT, date(2026, 3, 5)),
        ("2026-03-05 23:00", MIDNIGHT, date(2026, 3, 6)),
        ("2025-12-31 23:30", FOUR, date(2025, 12, 31)),  # New Year's Eve after midnight
        ("2024-03-01 02:00", FOUR, date(2024, 2, 29)),
    ],
)
def test_the_evening_lasts_until_the_boundary(at: str, settings: Settings, day: date) -> None:
    assert business_day(utc(at), settings) == day


def test_any_aware_time_will_do() -> None:
    new_york = timezone(timedelta(hours=-5))
    assert business_day(datetime(2026, 3, 5, 21, 59, tzinfo=new_york)) == date(2026, 3, 5)
    assert business_day(datetime(2026, 3, 5, 22, 0, tzinfo=new_york)) == date(2026, 3, 6)


def hours_per_day(first: datetime, settings: Settings) -> dict[date, int]:
    counted: dict[date, int] = {}
    for minute in range(0, 4 * 24 * 60, 15):
        day = business_day(first + timedelta(minutes=minute), settings)
        counted[day] = counted.get(day, 0) + 15
    return counted


@pytest.mark.parametrize(
    ("around", "settings", "short_or_long", "hours"),
    [
        ("2026-03-27", FOUR, date(2026, 3, 28), 23),  # the night to Sunday loses an hour before four
        ("2026-03-27", MIDNIGHT, date(2026, 3, 29), 23),
        ("2026-10-23", FOUR, date(2026, 10, 24), 25),
        ("2026-10-23", MIDNIGHT, date(2026, 10, 25), 25),
    ],
)
def test_days_on_which_clocks_change(around: str, settings: Settings, short_or_long: date, hours: int) -> None:
    counted = hours_per_day(utc(f"{around} 00:00"), settings)
    assert counted[short_or_long] == hours * 60
    whole = sorted(counted)[1:-1]
    assert all(counted[day] == 24 * 60 for day in whole if day != short_or_long)


@pytest.mark.parametrize("boundary", [time(2), time(2, 30), time(3)])
@pytest.mark.parametrize("night", ["2026-03-28", "2026-10-24"])
def test_no_day_ever_comes_back_even_with_the_boundary_in_the_changed_hour(boundary: time, night: str) -> None:
    settings = Settings(day_starts=boundary)
    days = [business_day(utc(f"{night} 18:00") + timedelta(minutes=5 * step), settings) for step in range(200)]
    assert days == sorted(days)
    assert len(set(days)) == 2


def test_a_receipt_after_midnight_belongs_to_the_evening() -> None:
    body = Sell(items=(item("cola"),), payments=(cash(),))
    after_midnight = given().when(SELL, body, facts=FACTS, at=utc("2026-03-06 00:30"))
    assert after_midnight.reply.business_day == date(2026, 3, 5)
    assert given().when(SELL, body, facts=FACTS, at=utc("2026-03-06 04:30")).reply.business_day == date(2026, 3, 6)
