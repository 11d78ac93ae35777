"""Recurrence by the clock on the wall, through short months, leap years and both changes of the clock."""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.crm.recurrence import BERLIN, DAY, MONTH, WEEK, WORKDAY, YEAR, Recurring, occurrences

FAR = 100_000_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp())


def local(moment: int) -> datetime:
    return datetime.fromtimestamp(moment, BERLIN)


def begins(appointment: Recurring, count: int, after: int = -FAR) -> list[str]:
    return [local(start).strftime("%Y-%m-%d %H:%M") for start, _ in islice(occurrences(appointment, after, FAR), count)]


def hourly(text: str, recurrence: int | None, interval: int = 1, until: str = "") -> Recurring:
    return Recurring(at(text), at(text) + 3600, recurrence, interval, at(until) if until else None)


@pytest.mark.parametrize(
    ("appointment", "expected"),
    [
        (hourly("2026-03-28 10:00", DAY), ["2026-03-28 10:00", "2026-03-29 10:00", "2026-03-30 10:00"]),
        (hourly("2026-10-24 10:00", DAY), ["2026-10-24 10:00", "2026-10-25 10:00", "2026-10-26 10:00"]),
        (hourly("2026-03-28 02:30", DAY), ["2026-03-28 02:30", "2026-03-29 03:30", "2026-03-30 02:30"]),
        (hourly("2026-10-24 02:30", DAY), ["2026-10-24 02:30", "2026-10-25 02:30", "2026-10-26 02:30"]),
        (hourly("2026-01-31 09:00", MONTH), ["2026-01-31 09:00", "2026-02-28 09:00", "2026-03-31 09:00", "2026-04-30 09:00"]),
        (hourly("2027-12-31 09:00", MONTH, 2), ["2027-12-31 09:00", "2028-02-29 09:00", "2028-04-30 09:00"]),
        (hourly("2024-02-29 09:00", YEAR), ["2024-02-29 09:00", "2025-02-28 09:00", "2026-02-28 09:00"]),
        (hourly("2024-02-29 09:00", YEAR, 4), ["2024-02-29 09:00", "2028-02-29 09:00"]),
        (hourly("2026-03-05 09:00", WORKDAY), ["2026-03-05 09:00", "2026-03-06 09:00", "2026-03-09 09:00"]),
        (hourly("2026-03-05 09:00", WORKDAY, 7), ["2026-03-05 09:00", "2026-03-16 09:00", "2026-03-25 09:00"]),
        (hourly("2026-03-07 09:00", WORKDAY), ["2026-03-07 09:00", "2026-03-09 09:00", "2026-03-10 09:00"]),  # a Saturday
        (hourly("2026-03-05 09:00", WEEK, 2), ["2026-03-05 09:00", "2026-03-19 09:00", "2026-04-02 09:00"]),
        (hourly("2026-03-05 09:00", None), ["2026-03-05 09:00"]),
        (hourly("2026-03-05 09:00", DAY, until="2026-03-06 00:00"), ["2026-03-05 09:00", "2026-03-06 09:00"]),
        (hourly("2026-03-05 09:00", DAY, until="2020-01-01 00:00"), ["2026-03-05 09:00"]),
    ],
)  # fmt: skip
def test_when_it_takes_place(appointment: Recurring, expected: list[str]) -> None:
    assert (
        begins(appointment, 5)[: max(len(expected), 5 if appointment.until or appointment.recurrence is None else len(expected))]
        == expected
    )


def test_it_is_as_long_on_the_wall_as_it_was_said_to_be() -> None:
    night = Recurring(at("2026-03-27 22:00"), at("2026-03-28 06:00"), DAY)
    spans = list(islice(occurrences(night, 0, FAR), 3))
    assert [(end - start) / 3600 for start, end in spans] == [8, 7, 8]
    assert {local(end).hour for _, end in spans} == {6}


def test_what_began_before_and_still_runs_counts() -> None:
    stay = Recurring(at("2026-03-01 12:00"), at("2026-03-04 12:00"), WEEK)
    assert begins(stay, 1, at("2026-03-10 12:00")) == ["2026-03-08 12:00"]
    assert begins(stay, 1, at("2026-03-11 12:00")) == ["2026-03-15 12:00"]  # what ends at that moment is over
    reminder = Recurring(at("2026-03-01 12:00"), at("2026-03-01 12:00"), DAY)
    assert begins(reminder, 1, at("2026-03-02 12:00")) == ["2026-03-02 12:00"]  # what takes no time is not


def test_no_calendar_goes_on_for_ever() -> None:
    for moment in (-(2**63) + 1, 2**63 - 1):
        assert list(occurrences(Recurring(moment, moment, YEAR), moment, moment + 1)) == [(moment, moment)]
    assert list(occurrences(hourly("2026-03-05 09:00", YEAR, 32_767), at("2027-01-01 00:00"), 2**63 - 1)) == []
    assert len(list(occurrences(hourly("2026-01-01 00:00", YEAR, 1000), 0, 2**63 - 1))) == 7


APPOINTMENTS = st.builds(
    lambda begin, length, recurrence, interval, days: Recurring(
        begin, begin + length, recurrence, interval, None if days is None else begin + days * 86_400
    ),
    st.integers(at("1999-12-01 00:00"), at("2004-01-01 00:00")),
    st.integers(0, 10 * 86_400),
    st.sampled_from((DAY, WORKDAY, WEEK, MONTH, YEAR)),
    st.integers(1, 40),
    st.none() | st.integers(0, 2_000),
)
MOMENTS = st.integers(at("1999-01-01 00:00"), at("2008-01-01 00:00"))


def all_of(appointment: Recurring, before: int) -> list[tuple[int, int]]:
    return list(occurrences(appointment, -FAR, before))


@settings(max_examples=60, deadline=None)
@given(APPOINTMENTS, MOMENTS, st.integers(0, 900))
def test_a_span_holds_what_counting_from_the_first_one_finds_in_it(appointment: Recurring, after: int, days: int) -> None:
    before = after + days * 86_400
    expected = [(begin, end) for begin, end in all_of(appointment, before) if end > after or begin >= after]
    assert list(occurrences(appointment, after, before)) == expected


@settings(max_examples=60, deadline=None)
@given(APPOINTMENTS)
def test_it_is_in_order_and_at_its_time_of_day(appointment: Recurring) -> None:
    spans = list(islice(occurrences(appointment, -FAR, FAR), 40))
    assert spans[0] == (appointment.begins, appointment.ends)
    assert all(begin < later for (begin, _), (later, _) in pairwise(spans))
    assert all(begin <= end for begin, end in spans)
    first = local(appointment.begins)
    for begin, _ in spans[1:]:
        there = local(begin)
        skipped = there.replace(tzinfo=None) - timedelta(hours=1)  # by the change to summer time
        assert first.time() in (there.time(), skipped.time())
        if appointment.recurrence == WORKDAY:
            assert there.weekday() < 5
        if appointment.recurrence == WEEK:
            assert there.weekday() == first.weekday()
        if appointment.recurrence in (MONTH, YEAR):
            assert there.day == min(first.day, monthrange(there.year, there.month)[1])
        if appointment.until is not None:
            assert there.date() <= local(appointment.until).date()


@settings(max_examples=60, deadline=None)
@given(APPOINTMENTS, st.lists(MOMENTS, min_size=3, max_size=3))
def test_spans_side_by_side_hold_the_same_as_one(appointment: Recurring, moments: list[int]) -> None:
    first, middle, last = sorted(moments)
    both = [*occurrences(appointment, first, middle), *occurrences(appointment, middle, last)]
    assert list(dict.fromkeys(both)) == list(occurrences(appointment, first, last))
