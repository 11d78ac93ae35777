"""What a client writes becomes what a record keeps; a refusal is one line."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from libs.contracts.crm.calendar import APPOINTMENT
from libs.contracts.crm.notes import NOTE
from libs.domain.errors import DomainError, FieldError, conflict, invalid
from libs.domain.fields import INT64_MAX
from services.gateway.zeyos.plain import refused
from services.gateway.zeyos.values import values_of


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (INT64_MAX, INT64_MAX),
        (-INT64_MAX, -INT64_MAX),
        ("1700000000", 1_700_000_000),
        (Decimal("1700000000.9"), 1_700_000_000),
        ("1700000000.9", 1_700_000_000),
        (Decimal("-0.9"), 0),
        ("", None),
        (None, None),
    ],
)
def test_times_are_whole_seconds_of_64_bits(sent: Any, kept: int | None) -> None:
    assert values_of(APPOINTMENT, {"dateto": sent}) == {"dateto": kept}


@pytest.mark.parametrize("sent", [INT64_MAX + 1, -INT64_MAX - 1, "9" * 30, "soon", "1.5.2", True, [1], {"a": 1}, Decimal(10) ** 30])
def test_what_is_no_time_is_refused(sent: Any) -> None:
    with pytest.raises(DomainError) as refusal:
        values_of(APPOINTMENT, {"dateto": sent})
    assert [fault.path for fault in refusal.value.fields] == ["dateto"]


def test_everything_at_fault_is_named() -> None:
    with pytest.raises(DomainError) as refusal:
        values_of(NOTE, {"nosuch": 1, "size": "x", "name": ["a"], "visibility": {}, "description": "fine", "ID": 5, "lastmodified": "x"})
    assert {fault.path for fault in refusal.value.fields} == {"nosuch", "size", "name", "visibility"}


@pytest.mark.parametrize(
    "error",
    [
        conflict("claim_taken", scope="article.plu", value="a\nb\r\n\u2028c"),
        invalid(FieldError("name", "not_known", {"value": "a\n\nb"})),
    ],
)
def test_a_refusal_is_one_line_whatever_was_sent(error: DomainError) -> None:
    answer = refused(error, make_mocked_request("PUT", "/demo/api/v1/items"))
    assert isinstance(answer.body, bytes)
    text = answer.body.decode()
    assert text == " ".join(text.split())
    assert "a b" in text
