"""Under which id a request is followed: the caller's, if it sends W3C's ``traceparent``, else one of our own."""

from __future__ import annotations

import re
from typing import Final

from libs.runtime.logs import new_trace

HEADER: Final = "traceparent"
_PARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
PARENT_MAX_CHARS: Final = 128
SAMPLED: Final = 1  # the flag of who is followed


def trace_of(given: str) -> tuple[str, str]:
    """The trace, 32 hex digits, and the caller's span if it is followed there, else an empty text. What is no ``traceparent`` is as good as
    none."""
    found = _PARENT.fullmatch(given) if given and len(given) <= PARENT_MAX_CHARS else None
    if found is None or (given.startswith("00-") and found[4]):
        return new_trace(), ""
    return found[1], found[2] if int(found[3], 16) & SAMPLED else ""
