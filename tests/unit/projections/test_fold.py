"""Folding a batch is the same as applying its events one by one, wherever a batch is cut and however often an event comes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.projections.rows import NotRead, Rows
from libs.records.tables import projection
from services.inventory.records import ARTICLES, GROUPS
from services.pos.projections import RECEIPTS
from services.pos.tabs.projections import TABS
from tests.unit.projections.histories import evening, fold, stock_taking

STOCK = (projection(GROUPS), projection(ARTICLES))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_an_evening_is_the_same_in_the_tables_however_it_is_cut(seed: int, cuts: list[int]) -> None:
    events = evening(seed)
    for made in (TABS, RECEIPTS):
        one_by_one = fold(made, events, range(len(events)))
        assert fold(made, events, cuts) == one_by_one
        assert fold(made, events) == one_by_one


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_records_are_the_same_in_the_tables_however_they_are_cut(seed: int, cuts: list[int]) -> None:
    events = stock_taking(seed)
    for made in STOCK:
        assert fold(made, events, cuts) == fold(made, events, range(len(events)))


def test_the_histories_are_worth_folding() -> None:
    """Every handler of the projections under test is used."""
    seen = {event.type for seed in range(20) for event in (*evening(seed), *stock_taking(seed))}
    assert {type_ for made in (TABS, RECEIPTS, *STOCK) for type_ in made.handlers} <= seen


def test_what_is_open_in_the_table_is_what_is_open_in_the_log() -> None:
    for seed in range(20):
        tables = fold(TABS, evening(seed))
        for (table, key), tab in tables.items():
            if table == "tabs":
                lines = [row for (name, _), row in tables.items() if name == "open_lines" and row["table_key"] == key[0]]
                assert (tab["open_lines"], tab["open_amount"]) == (len(lines), sum(row["open_amount"] for row in lines))


def test_a_row_that_was_not_read_cannot_be_seen() -> None:
    rows = Rows()
    with pytest.raises(NotRead):
        rows.get("tabs", "tbl_1")
    rows.seed("tabs", ("tbl_1",), None)
    assert rows.get("tabs", "tbl_1") is None
    rows.change("tabs", "tbl_1", course=1)
    assert list(rows.written()) == [], "changing a row that is not there makes none"


def test_a_row_is_written_as_it_was_left() -> None:
    rows = Rows()
    rows.seed("tabs", ("a",), {"course": 1, "state": "free"})
    rows.change("tabs", "a", course=2)
    rows.put("tabs", "b", course=1)
    rows.delete("tabs", "b")
    rows.seed("tabs", ("a",), {"course": 9})  # what the table holds does not undo what was done
    rows.put("tabs", "c", course=3)
    written = {table: (sorted(changed), dropped) for table, changed, dropped in rows.written()}
    assert written == {"tabs": ([(("a",), {"course": 2, "state": "free"}), (("c",), {"course": 3})], [("b",)])}


def test_handling_an_event_twice_in_one_projection_is_a_mistake() -> None:
    made = projection(GROUPS)
    with pytest.raises(ValueError, match="twice"):
        made.on(GROUPS.events.created)(lambda rows, event: None)
