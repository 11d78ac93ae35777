"""Whatever arrives as a body becomes a value or a refusal that names its reason; nothing else, and never slowly."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from libs.domain.errors import DomainError, FieldError, Kind
from services.gateway import bodies
from services.gateway.bodies import Whole, decode
from services.gateway.dikas import shapes
from services.gateway.dikas.names import dialect_name
from services.gateway.dikas.payments import DirectSaleBody


class Inner(msgspec.Struct, rename="camel"):
    unit_price: Decimal
    count: Whole = 1


class Body(msgspec.Struct, rename="camel"):
    name: str
    is_active: bool = True
    lines: list[Inner] | None = None
    note: str | UnsetType | None = UNSET


def refusal(raw: bytes, type_: Any = Body, required: tuple[str, ...] = ()) -> DomainError:
    with pytest.raises(DomainError) as caught:
        decode(raw, type_, required)
    assert caught.value.kind is Kind.INVALID
    return caught.value


def decoded_or_refused(raw: bytes, type_: Any) -> Any:
    try:
        return decode(raw, type_)
    except DomainError as error:
        return error


def named(raw: bytes, type_: Any = Body, required: tuple[str, ...] = ()) -> dict[str, str]:
    return {field.path: field.reason for field in refusal(raw, type_, required).fields}


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "isActive", "lines", "unitPrice", "count", "note", "x"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None)
@given(anything)
def test_any_json_is_taken_or_refused_field_by_field(value: Any) -> None:
    raw = json.dumps(value).encode()
    outcome = decoded_or_refused(raw, Body)
    if isinstance(outcome, DomainError) and outcome.reason == "invalid_fields":
        assert all(field.reason != "malformed" for field in outcome.fields)
    else:
        assert isinstance(outcome, Body) or b"\\ud" in raw  # no text holds half a character


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_taken_or_refused(raw: bytes) -> None:
    decoded_or_refused(raw, Body)


@settings(derandomize=True, deadline=None)
@given(anything)
def test_any_json_as_a_sale(value: Any) -> None:
    decoded_or_refused(json.dumps({"items": value, "payments": value}).encode(), DirectSaleBody)


def test_a_right_body() -> None:
    assert decode(b'{"name": "x", "lines": [{"unitPrice": 3.50}], "more": 1}', Body) == Body("x", True, [Inner(Decimal("3.50"))])


def test_every_field_at_fault_is_named_with_what_it_should_be() -> None:
    lines = b'[{"unitPrice": "1"}, {"count": 1.5, "unitPrice": true}, 7, {"count": 4294967296, "unitPrice": 1}]'
    raw = b'{"isActive": 1, "lines": %s, "note": 5}' % lines
    assert named(raw) == {
        "name": "required",
        "isActive": "expected_boolean",
        "lines[0].unitPrice": "expected_number",
        "lines[1].count": "expected_integer",
        "lines[1].unitPrice": "expected_number",
        "lines[2]": "expected_object",
        "lines[3].count": "out_of_range",
        "note": "expected_text",
    }


def test_numbers_in_quotes_are_texts_even_if_everything_else_is_right() -> None:
    assert named(b'{"name": "x", "lines": [{"unitPrice": "3.50"}]}') == {"lines[0].unitPrice": "expected_number"}


def test_fields_a_route_requires_are_named_beside_wrong_types() -> None:
    assert named(b'{"note": 5}', required=("note", "lines")) == {"name": "required", "note": "expected_text", "lines": "required"}


def test_null_is_missing_where_it_clears_nothing() -> None:
    assert named(b'{"name": null, "isActive": null, "lines": null, "note": null}') == {"name": "required", "isActive": "required"}


def test_faults_are_bounded() -> None:
    raw = json.dumps({"name": "x", "lines": [{}] * 5000}).encode()
    assert len(refusal(raw).fields) == bodies.FAULTS_MAX


@pytest.mark.parametrize(
    ("raw", "reason", "params"),
    [
        (b"", "malformed_json", {"byte": 0}),
        (b'{"name": }', "malformed_json", {"byte": 9}),
        (b'{"name": "\xff"}', "malformed_json", {"byte": 0}),
        (b'{"name": 5, "lines": [', "malformed_json", {"byte": 22}),
        (b"[" * 50_000, "json_too_deep", {"max": bodies.DEPTH_MAX}),
        (b'{"x": ' * 40 + b"1" + b"}" * 40, "json_too_deep", {"max": bodies.DEPTH_MAX}),
        (b'{"name": "a", "name": "b"}', "json_key_repeated", {"key": "name"}),
        (b'{"name": "a:b", "lines": [{"unitPrice": 1, "unit\\u0050rice": 2}]}', "json_key_repeated", {"key": "unitPrice"}),
        (b'{"name" : "a", "name": "b"}', "json_key_repeated", {"key": "name"}),
    ],
)
def test_what_is_no_json(raw: bytes, reason: str, params: dict[str, Any]) -> None:
    error = refusal(raw)
    assert (error.reason, dict(error.params)) == (reason, params)


def test_equal_keys_in_different_objects_are_no_repetition() -> None:
    decode(b'{"name": "a: {b}, \\"name\\": c", "lines": [{"unitPrice": 1}, {"unitPrice": 2}]}', Body)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"name": "' + b'\\"' * 200_000 + b'"}',
        b'{"name": ["' + b'a","' * 100_000 + b'"]}',
        b'{"x": [' + b"{}," * 150_000 + b"{}]}",
        b'{"name": "x", "lines": [' + b'{"unitPrice": 1},' * 25_000 + b'{"unitPrice": "1"}]}',
    ],
    ids=["quotes", "texts", "objects", "lines"],
)
def test_the_largest_bodies_take_no_time(raw: bytes) -> None:
    assert len(raw) <= bodies.BODY_MAX_BYTES
    begins = time.process_time()
    with contextlib.suppress(DomainError):
        decode(raw, Body)
    assert time.process_time() - begins < 1.0


# --- values -------------------------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(st.integers(-(10**12), 10**12))
def test_amounts_go_out_and_come_back(minor: int) -> None:
    faults: list[FieldError] = []
    assert shapes.minor(shapes.amount(minor), "amount", faults) == minor
    assert not faults


@settings(derandomize=True, deadline=None)
@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_any_number_is_cents_or_a_fault(value: Decimal) -> None:
    faults: list[FieldError] = []
    if value.is_snan():
        return  # no JSON holds one
    found = shapes.minor(value, "amount", faults)
    assert (found is None) == bool(faults)
    assert found is None or Decimal(found) / 100 == value


@pytest.mark.parametrize(
    "text", ["1e999999", "1e-999999", "1e999999999", "-1e999999999", "0." + "0" * 30 + "1", "3.5000000000000000000000000000000001"]
)
def test_numbers_out_of_this_world_are_faults_at_once(text: str) -> None:
    faults: list[FieldError] = []
    begins = time.process_time()
    assert shapes.minor(Decimal(text), "amount", faults) is None
    assert faults
    assert time.process_time() - begins < 0.1


@pytest.mark.parametrize(
    ("value", "price", "quantity"),
    [
        ("3.5", "3.50", "3.5"),
        ("3.50", "3.50", "3.5"),
        ("0.0825", "0.0825", "0.0825"),
        ("2.000", "2.00", "2"),
        ("1E+3", "1000.00", "1000"),
        ("0", "0.00", "0"),
    ],
)
def test_how_numbers_are_written(value: str, price: str, quantity: str) -> None:
    assert str(shapes.price(Decimal(value))) == price
    assert str(shapes.quantity(Decimal(value))) == quantity


def test_times_are_shown_in_utc_to_the_second() -> None:
    at = datetime(2026, 3, 5, 19, 30, 0, 999_999, timezone(timedelta(hours=1)))
    assert shapes.moment(at) == "2026-03-05T18:30:00Z"
    assert shapes.maybe_moment(None) is None
    assert shapes.moment(datetime(1, 1, 1, tzinfo=UTC)).endswith("01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("tax_class", "taxClass"), ("group_key", "groupId"), ("items[0]", "items[0]"), ("table", "tableId"), ("colour", "color"),
     ("needs_cleaning", "cleaningRequired"), ("line", "id"), ("Idempotency-Key", "Idempotency-Key"), ("taxClass", "taxClass")],
)  # fmt: skip
def test_the_domains_names_in_this_dialect(name: str, shown: str) -> None:
    assert dialect_name(name) == shown


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (datetime(2026, 11, 22, 5, 47, 39, 999_999, tzinfo=UTC), "2026-11-22T05:47:39Z"),
        (datetime(2026, 11, 22, 5, 47, 39, tzinfo=UTC), "2026-11-22T05:47:39Z"),
        (datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), "2025-12-31T23:30:00Z"),
        (datetime(1001, 2, 3, 4, 5, 6, 7, tzinfo=UTC), "1001-02-03T04:05:06Z"),
    ],
)
def test_a_moment_is_shown_to_the_second(at: datetime, shown: str) -> None:
    assert shapes.moment(at) == shown
