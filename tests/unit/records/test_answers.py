"""Rows as bytes, in pieces that a message of the bus can carry."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from libs.domain.resources import Column, ColumnType
from libs.records.query import answers
from libs.records.query.compile import Cell
from libs.records.rendering import MARK, content_parts


def cell(name: str, type_: ColumnType = ColumnType.TEXT, **how: Any) -> Cell:
    expanded = how.pop("expanded", False)
    return Cell(name, Column(name=name, type=type_, sql="", **how), expanded)


CELLS = (cell('a"b'), cell("n", ColumnType.NUMBER), cell("j", ColumnType.JSON), cell("t", ColumnType.JSON, as_text=True))
ROWS = [(f"ä{ix}" * ix, Decimal("1.50"), '{"x": 1}', None if ix % 2 else '{"x": 1}') for ix in range(40)]


@pytest.mark.parametrize(("piece", "most"), [(10, 7), (100, 60), (100, 10_000), (10**6, 10**6)])
def test_pieces_make_the_whole_however_they_are_cut(monkeypatch: pytest.MonkeyPatch, piece: int, most: int) -> None:
    monkeypatch.setattr(answers, "PIECE_BYTES", piece)
    monkeypatch.setattr(answers, "PIECE_MAX_BYTES", most)
    pieces = list(answers.array_pieces(CELLS, ROWS))
    assert max(map(len, pieces)) <= most
    found = json.loads(b"".join(pieces), parse_float=Decimal)
    assert found == [{'a"b': name, "n": number, "j": {"x": 1}, "t": text} for name, number, _, text in ROWS]
    assert b"".join(answers.array_pieces(CELLS, [])) == b"[]"


def test_the_place_of_a_content_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PIECE_MAX_BYTES", 100)
    file = (cell("f", ColumnType.INTEGER, file=True, expandable=True, expanded=True), cell("x"))
    place = f"{'a' * 64}:7"
    for length in range(120):
        pieces = list(answers.array_pieces(file, [(place, "x" * length), (None, "y"), (place, "")]))
        assert all(piece.count(MARK) % 2 == 0 for piece in pieces), length
        assert sum(len(content_parts(piece)) // 2 for piece in pieces) == 2


def test_lines_of_csv_are_quoted_where_they_must_be() -> None:
    rows = [("a;b", 'q"', "x\ny", None, "", " z ", "=1+1"), (None,), ("",)]
    assert answers.csv_lines(rows).decode() == '"a;b";"q""";"x\ny";;; z ;=1+1\r\n""\r\n""\r\n'
