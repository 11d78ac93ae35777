"""Values of a record are taken as they were meant or refused with every field at fault named."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from libs.contracts.inventory.records import ARTICLE, TAX_RATE, ArticleOption
from libs.contracts.pos.records import TABLE
from libs.domain.errors import DomainError, FieldError, Kind
from libs.records.validate import accept

GOOD = {"name": "Cola", "price": "3.50", "tax_class": 0, "group_key": "artgrp_1"}


def faults(record: Any, values: dict[str, Any], *, create: bool = False, also: tuple[FieldError, ...] = ()) -> dict[str, str]:
    with pytest.raises(DomainError) as refused:
        accept(record, values, create=create, also=also)
    assert refused.value.kind is Kind.INVALID
    return {error.path: error.reason for error in refused.value.fields}


def test_good_values_are_kept_in_their_own_types() -> None:
    options = [{"id": "x", "name": "extra", "price": "1.20"}]
    kept = accept(ARTICLE, {**GOOD, "name": "  Cola ", "options": options}, create=True)
    assert kept == {
        **GOOD,
        "name": "Cola",
        "price": Decimal("3.50"),
        "options": (ArticleOption(id="x", name="extra", price=Decimal("1.2")),),
    }
    kept = accept(TAX_RATE, {"tax_class": 1, "name": "7 %", "rate": "7", "valid_from": "2026-01-01"}, create=True)
    assert kept["valid_from"] == date(2026, 1, 1)


def test_every_field_at_fault_is_named_at_once() -> None:
    given = {"name": " ", "price": "free", "tax_class": 1_000, "colour": "x" * 31, "shape": 1, "is_active": 1, "options": "none"}
    assert faults(ARTICLE, given, create=True) == {
        "name": "required",
        "price": "expected_number",
        "tax_class": "out_of_range",
        "group_key": "required",
        "colour": "too_long",
        "shape": "unknown_field",
        "is_active": "expected_boolean",
        "options": "expected_list",
    }


def test_what_a_lookup_found_wrong_is_named_beside_the_rest_but_once_per_field() -> None:
    also = (FieldError("tax_class", "not_known"), FieldError("group_key", "not_known"))
    assert faults(ARTICLE, {**GOOD, "tax_class": -1}, also=also) == {"tax_class": "out_of_range", "group_key": "not_known"}


@pytest.mark.parametrize(
    ("record", "field", "value", "reason"),
    [
        (ARTICLE, "name", 7, "expected_text"),
        (ARTICLE, "name", None, "required"),
        (ARTICLE, "name", "x" * 201, "too_long"),
        (ARTICLE, "name", "a\x00b", "unprintable"),
        (ARTICLE, "name", "a\x1bb", "unprintable"),
        (ARTICLE, "name", "\ud800", "unprintable"),
        (ARTICLE, "price", 3.5, "expected_number"),
        (ARTICLE, "price", True, "expected_number"),
        (ARTICLE, "price", [], "expected_number"),
        (ARTICLE, "price", {}, "expected_number"),
        (ARTICLE, "price", "NaN", "out_of_range"),
        (ARTICLE, "price", "sNaN", "out_of_range"),
        (ARTICLE, "price", "Infinity", "out_of_range"),
        (ARTICLE, "price", "-0.01", "out_of_range"),
        (ARTICLE, "price", "1e999999999", "out_of_range"),
        (ARTICLE, "price", "1000000.01", "out_of_range"),
        (ARTICLE, "price", "0.00001", "too_many_places"),
        (ARTICLE, "price", "1e-999999", "too_many_places"),
        (ARTICLE, "tax_class", "0", "expected_integer"),
        (ARTICLE, "tax_class", 1.0, "expected_integer"),
        (ARTICLE, "tax_class", True, "expected_integer"),
        (ARTICLE, "sort_order", 2**31, "out_of_range"),
        (ARTICLE, "group_key", 7, "expected_text"),
        (ARTICLE, "group_key", "", "not_a_key"),
        (ARTICLE, "group_key", "x" * 65, "not_a_key"),
        (ARTICLE, "group_key", "a\x00", "not_a_key"),
        (ARTICLE, "group_key", "a.b", "not_a_key"),
        (ARTICLE, "options", [{"id": "x"}], "invalid_item"),
        (ARTICLE, "options", [{"id": "x", "name": "y"}] * 201, "too_many"),
        (TAX_RATE, "valid_from", "2026-02-30", "expected_date"),
        (TAX_RATE, "valid_from", 20260101, "expected_date"),
        (TABLE, "shape", 4, "not_allowed"),
        (TABLE, "number", 0, "out_of_range"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(record: Any, field: str, value: Any, reason: str) -> None:
    found = faults(record, {field: value})
    assert {path.partition("[")[0]: why for path, why in found.items()} == {field: reason}


@pytest.mark.parametrize(
    ("record", "field", "value", "kept"),
    [
        (ARTICLE, "price", "0", Decimal(0)),
        (ARTICLE, "price", "3.5000000", Decimal("3.5")),
        (ARTICLE, "price", 1_000_000, Decimal(1_000_000)),
        (ARTICLE, "name", "Zwei\nZeilen\tund mehr 🧀", "Zwei\nZeilen\tund mehr 🧀"),
        (ARTICLE, "colour", None, None),
        (ARTICLE, "is_active", None, True),
        (ARTICLE, "options", None, ()),
        (TABLE, "number", 99_999, 99_999),
    ],
)
def test_a_value_at_the_edge_is_taken_and_null_means_the_default(record: Any, field: str, value: Any, kept: Any) -> None:
    assert accept(record, {field: value}, create=False) == {field: kept}
