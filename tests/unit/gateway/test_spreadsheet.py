"""Tables that open in a spreadsheet as what they are: nothing in them runs, nothing shifts a column, amounts are numbers."""

from __future__ import annotations

import csv
import io
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from libs.contracts.pos.payment_kinds import PAYMENT_KINDS
from libs.texts import names
from libs.texts.catalogue import Language, Text
from services.gateway.dikas.spreadsheet import Column, Sheet, prefers_csv, written

SHEET = Sheet(
    lambda answer: "x",
    [Column(Text("Näme", "Name"), lambda row: row[0]), Column(Text("Menge", "Quantity"), lambda row: row[1])],
    lambda answer, _: answer,
)


@pytest.mark.parametrize(
    ("cell", "german", "english"),
    [
        (None, "", ""),
        (5, "5", "5"),
        (-5, "-5", "-5"),
        (Decimal("-1234.50"), "-1234,50", "-1234.50"),
        (Decimal("1E+3"), "1000", "1000"),
        (date(2026, 3, 5), "2026-03-05", "2026-03-05"),
        ("Käse", "Käse", "Käse"),
        ("a,b", '"a,b"', '"a,b"'),
        ("a;b", '"a;b"', '"a;b"'),
        ('5" Pizza', '"5"" Pizza"', '"5"" Pizza"'),
        ("zwei\nZeilen", '"zwei\nZeilen"', '"zwei\nZeilen"'),
        ("=1+1", "'=1+1", "'=1+1"),
        ("+49", "'+49", "'+49"),
        ("-10 % Rabatt", "'-10 % Rabatt", "'-10 % Rabatt"),
        ("@SUM(A1)", "'@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1", "'\t=1"),
        ("  =1", "'  =1", "'  =1"),
        ("＝1", "'＝1", "'＝1"),
        ('=HYPERLINK("x";"y")', '"\'=HYPERLINK(""x"";""y"")"', '"\'=HYPERLINK(""x"";""y"")"'),
        ("1-2", "1-2", "1-2"),
    ],
    ids=repr,
)
def test_a_cell(cell: Any, german: str, english: str) -> None:
    assert written(cell, Language.GERMAN) == german
    assert written(cell, Language.ENGLISH) == english


@pytest.mark.parametrize(("language", "separator", "head"), [(Language.GERMAN, ";", "Näme"), (Language.ENGLISH, ",", "Name")])
def test_a_file_is_read_back_as_it_was(language: Language, separator: str, head: str) -> None:
    rows = [('a"b', 1), ("c;d,e", 2), ("f\r\ng", 3), (" h ", 4)]
    raw = SHEET.file(rows, language)
    assert raw.startswith(b"\xef\xbb\xbf")
    read = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""), delimiter=separator, strict=True))
    assert read[0][0] == head
    assert read[1:] == [[name, str(quantity)] for name, quantity in rows]


@pytest.mark.parametrize(
    ("accept", "csv_wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("text/csv", True),
        ("TEXT/CSV; charset=utf-8", True),
        ("text/csv, */*", True),
        ("text/csv, application/json", True),
        ("application/json, text/csv", False),
        ("application/json;q=0.5, text/csv", True),
        ("text/csv;q=0.5, application/json", False),
        ("text/csv;header=present;q=0.9, application/json;q=0.8", True),
        ("text/csv;q=0", False),
        ("text/csv;q=0.000", False),
        ("application/csv", False),
        ("x" * 600 + ",text/csv", False),
    ],
)
def test_who_wants_csv(accept: str, csv_wanted: bool) -> None:
    assert prefers_csv(accept) is csv_wanted


def test_every_way_of_paying_has_a_name() -> None:
    assert set(names.PAYMENT_KINDS) == {kind.key for kind in PAYMENT_KINDS.values()}
