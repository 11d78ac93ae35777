"""What every list takes: a page of it, and an order."""

from __future__ import annotations

from typing import Final

import msgspec

from libs.domain.errors import FieldError

ALL_MAX_ROWS: Final = 100_000  # of a list that is not asked for page by page
PAGE_MAX_ROWS: Final = 1_000
PAGE_ROWS: Final = 50
PAGES_MAX: Final = 1_000_000
SORT_FIELDS_MAX: Final = 5


class Paged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``sort``: names, ``-`` in front for descending; ``page`` counts from 1, None means all."""

    sort: tuple[str, ...] = ()
    page: int | None = None
    page_size: int = PAGE_ROWS


def check_page(wanted: Paged, faults: list[FieldError]) -> None:
    if wanted.page is not None and not 1 <= wanted.page <= PAGES_MAX:
        faults.append(FieldError("page", "out_of_range", {"min": 1, "max": PAGES_MAX}))
    if not 1 <= wanted.page_size <= PAGE_MAX_ROWS:
        faults.append(FieldError("page_size", "out_of_range", {"min": 1, "max": PAGE_MAX_ROWS}))
