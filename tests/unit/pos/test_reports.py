"""Reports beyond what the database sums up: which days, which weeks, and the tree of groups."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from libs.contracts.pos.reports import DAYS_MAX, DayTotal, GroupTotal, ReportQuery
from libs.domain.errors import DomainError
from services.pos.reports import Branch, Sold, rolled_up, span_of, weekdays_of, weeks_of

NIGHT = datetime(2026, 3, 5, 1, 30, tzinfo=UTC)  # half past two in Berlin: still the 4th
D4, D5 = date(2026, 3, 4), date(2026, 3, 5)


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ({}, (D4, D4)),
        ({"since": date(2026, 3, 1)}, (date(2026, 3, 1), D4)),
        ({"until": date(2026, 2, 1)}, (date(2026, 2, 1), date(2026, 2, 1))),
        ({"since": D4, "until": D5}, (D4, D5)),
        ({"since_at": NIGHT, "until_at": datetime(2026, 3, 5, 3, tzinfo=UTC)}, (D4, D5)),
        ({"since": date(2016, 3, 1), "until": date(2026, 3, 8)}, (date(2016, 3, 1), date(2026, 3, 8))),
    ],
    ids=str,
)
def test_the_days_a_report_is_about(asked: dict[str, Any], span: tuple[date, date]) -> None:
    assert span_of(ReportQuery(at=NIGHT, **asked)) == span
    assert (span[1] - span[0]).days < DAYS_MAX


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"since": D5}, ("from", "from_after_to")),
        ({"since": D5, "until": D4}, ("from", "from_after_to")),
        ({"since": date(2016, 2, 29), "until": date(2026, 3, 8)}, ("from", "range_too_long")),
        ({"since_at": datetime(1, 1, 1, tzinfo=UTC)}, ("from", "not_a_day")),
        ({"until_at": datetime(9999, 12, 31, 23, 59, tzinfo=UTC)}, ("to", "not_a_day")),
    ],
    ids=str,
)
def test_days_no_report_is_about(asked: dict[str, Any], fault: tuple[str, str]) -> None:
    with pytest.raises(DomainError) as refused:
        span_of(ReportQuery(at=NIGHT, **asked))
    assert [(field.path, field.reason) for field in refused.value.fields] == [fault]


def test_weeks_are_iso_weeks_cut_to_what_was_asked_for() -> None:
    days = [DayTotal(date=date(2024, 12, 29), gross=5, receipts=1), DayTotal(date=date(2025, 1, 1), gross=-2, voids=1)]
    first, second = weeks_of(days, date(2024, 12, 28), date(2025, 1, 2))
    assert (first.year, first.week, first.since, first.until, first.gross) == (2024, 52, date(2024, 12, 28), date(2024, 12, 29), 5)
    assert (second.year, second.week, second.since, second.until) == (2025, 1, date(2024, 12, 30), date(2025, 1, 2))
    assert [day.gross for day in second.days] == [0, 0, -2, 0]
    assert (second.receipts, second.voids) == (0, 1)


def test_the_last_week_of_the_calendar_ends_with_it() -> None:
    """9999-12-31 is a Friday: there is no Sunday to count to."""
    (week,) = weeks_of([DayTotal(date=date.max, gross=1, receipts=1)], date.max, date.max)
    assert [day.date for day in week.days] == [date.max]


def test_a_weekdays_average_is_that_of_days_with_receipts() -> None:
    mondays = [DayTotal(date=date(2026, 3, 2), gross=101, receipts=1), DayTotal(date=date(2026, 3, 9), gross=200, receipts=2)]
    monday, tuesday, *_ = weekdays_of(mondays)
    assert (monday.weekday, monday.days, monday.gross, monday.average, monday.receipts) == (1, 2, 301, 151, 3)
    assert (tuesday.days, tuesday.average) == (0, 0)


def rolled(sold: dict[str | None, int], tree: dict[str, str | None]) -> list[tuple[str | None, int, int, int]]:
    """Group, level, gross, gross with those below it."""
    found = rolled_up(
        [Sold(group, Decimal(1), gross) for group, gross in sold.items()],
        [Branch(key, key.upper(), parent) for key, parent in tree.items()],
    )
    return [(one.group, one.level, one.gross, one.total_gross) for one in found]


def test_groups_stand_in_the_order_of_the_tree_with_what_is_below_them() -> None:
    tree = {"food": None, "drinks": None, "wine": "drinks", "beer": "drinks", "draught": "beer"}
    assert rolled({"draught": 100, "drinks": 7, "wine": 30, None: 5, "gone": 2}, tree | {"food": None}) == [
        ("food", 0, 0, 0),
        ("drinks", 0, 7, 137),
        ("wine", 1, 30, 30),
        ("beer", 1, 0, 100),
        ("draught", 2, 100, 100),
        ("gone", 0, 2, 2),
        (None, 0, 5, 5),
    ]


def test_groups_in_a_ring_are_counted_once() -> None:
    assert rolled({"a": 1, "b": 10, "c": 100}, {"a": "c", "b": "a", "c": "b"}) == [("a", 0, 1, 111), ("b", 1, 10, 110), ("c", 2, 100, 100)]
    assert rolled({"self": 4}, {"self": "self"}) == [("self", 0, 4, 4)]


def test_a_group_whose_parent_is_gone_stands_at_the_top() -> None:
    assert rolled({"a": 4}, {"a": "gone"}) == [("a", 0, 4, 4)]


def test_shares_are_percent_of_everything() -> None:
    def shares(*gross: int) -> list[Decimal]:
        rows: list[GroupTotal] = list(rolled_up([Sold(str(ix), Decimal(1), one) for ix, one in enumerate(gross)], []))
        return [row.share for row in rows]

    assert shares(1, 2) == [Decimal("33.33"), Decimal("66.67")]
    assert shares(3, -1) == [Decimal(150), Decimal(-50)]
    assert shares(5, -5) == [Decimal(0), Decimal(0)]
