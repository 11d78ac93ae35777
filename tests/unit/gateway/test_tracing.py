"""Which id a request is followed under."""

from __future__ import annotations

import re

import pytest

from services.gateway.tracing import trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_the_callers_trace_goes_on() -> None:
    assert trace_of(f"00-{TRACE}-00f067aa0ba902b7-01") == (TRACE, "00f067aa0ba902b7")
    assert trace_of(f"00-{TRACE}-00f067aa0ba902b7-00") == (TRACE, "")
    assert trace_of(f"cc-{TRACE}-00f067aa0ba902b7-03-what-a-later-version-adds") == (TRACE, "00f067aa0ba902b7")


@pytest.mark.parametrize(
    "given",
    [
        "",
        TRACE,
        f"00-{TRACE}-00f067aa0ba902b7",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01-more",
        f"00-{TRACE}-00f067aa0ba902b7-01\n",
        f"cc-{TRACE}-00f067aa0ba902b7-01-{'x' * 200}",
    ],
)
def test_what_is_no_trace_is_replaced(given: str) -> None:
    made, parent = trace_of(given)
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert made != TRACE
    assert parent == ""
