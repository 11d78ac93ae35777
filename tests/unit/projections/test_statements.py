"""A statement that could show one instance's rows to another cannot be made."""

from __future__ import annotations

import pytest

from libs.projections import tables
from libs.projections.tables import Statement, Unguarded, registered


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "select t.key from {pos.tabs} t",
        "select key from {pos.tabs} where instance = $1",
        "select t.key from {pos.tabs} t where t.instance = $2",
        "select t.key from {pos.tabs} t where t.instance = $10",
        "select tt.key from {pos.tabs} tt, {pos.receipts} t where tt.instance = $1",
        "select t.key from {pos.tabs} t where x.t.instance = $1",
        "select t.key from {pos.tabs} t join {pos.open_lines} l on l.table_key = t.key where t.instance = $1",
        "select t.key from {pos.tabs} t where t.instance = $1 union select t.key from {pos.receipts} t",
        "select t.key from {pos.tabs} t, pos.receipts_r1 r where t.instance = $1",
        "select key from pos.receipts_r1",
        "select t.key from {pos.tabs} t, pos.receipts_r1g2 r where t.instance = $1",
    ],
)
def test_a_table_that_is_not_tied_to_the_instance_is_refused(text: str) -> None:
    before = len(registered())
    with pytest.raises(Unguarded):
        Statement(text)
    assert len(registered()) == before


@pytest.mark.parametrize(
    "text",
    [
        "select t.key from {pos.tabs} t where t.instance = $1",
        "select t.key from {pos.tabs} as t where t.instance = $1 and t.key = $2",
        "select t.key from {pos.tabs} t join {pos.open_lines} l on l.instance = $1 and l.table_key = t.key where t.instance = $1",
        "select t.key from {pos.tabs} t where t.instance = $1 union select t.key from {pos.receipts} t where t.instance = $1",
    ],
)
def test_a_statement_tied_to_the_instance_is_made_and_registered(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_registered", [])
    made = Statement(text)
    assert registered() == (made,)
    assert ("pos", "tabs") in made.tables
