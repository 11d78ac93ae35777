"""What a client asks of a list, out of the query string: ``page``, ``pageSize``, ``search``, ``sort``, a field's name, ``changedSince``.

Names that no list knows are ignored, as unknown fields of a body are; an empty value is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.domain.records import RecordType
from libs.records.lists import PAGE_MAX_ROWS, PAGE_ROWS, PAGES_MAX, SYSTEM_ORDER, TIMES, Listing, can_filter, can_sort
from libs.runtime.records import Moment
from services.gateway.dikas.call import Call
from services.gateway.dikas.names import dialect_name

CHANGED_SINCE: Final = "changedSince"
CHANGED_UNTIL: Final = "Theke-Changed-Until"
TOTAL: Final = "Theke-Total"
POSITION_MAX_DIGITS: Final = 18


@cache
def _filters(record: RecordType) -> Mapping[str, str]:
    return {dialect_name(name): name for name in (*(field.name for field in record.fields if can_filter(field)), *TIMES)}


@cache
def _orders(record: RecordType) -> Mapping[str, str]:
    return {dialect_name(name): name for name in (*(field.name for field in record.fields if can_sort(field)), *SYSTEM_ORDER)}


def listing_of(call: Call, record: RecordType) -> Listing:
    """Raises ``invalid``, naming the parameter."""
    filters = {name: text for shown, name in _filters(record).items() if (text := _parameter(call, shown))}
    page, size = _number(call, "page", PAGES_MAX), _number(call, "pageSize", PAGE_MAX_ROWS)
    paged = page is not None or size is not None
    return Listing(
        search=_parameter(call, "search"),
        sort=_sort(call, record),
        filters=filters,
        page=page or 1 if paged else None,
        page_size=size or PAGE_ROWS,
    )


def _parameter(call: Call, name: str) -> str:
    values = [value for value in call.request.query.getall(name, ()) if value]
    if len(values) > 1:
        raise invalid(FieldError(name, "repeated"))
    return values[0] if values else ""


def _number(call: Call, name: str, most: int) -> int | None:
    text = _parameter(call, name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise invalid(FieldError(name, "expected_integer"))
    if len(text) > POSITION_MAX_DIGITS or not 1 <= int(text) <= most:
        raise invalid(FieldError(name, "out_of_range", {"min": 1, "max": most}))
    return int(text)


def _sort(call: Call, record: RecordType) -> tuple[str, ...]:
    known = _orders(record)
    sort = []
    for shown in filter(None, (part.strip() for part in _parameter(call, "sort").split(","))):
        bare = shown.removeprefix("-")
        if bare not in known:
            raise invalid(FieldError("sort", "not_known", {"value": shown[:50]}))
        sort.append(shown[: len(shown) - len(bare)] + known[bare])
    return tuple(sort)


async def since_of(call: Call, record: RecordType, until: int) -> int | None:
    """The position behind which changes are wanted: what ``Theke-Changed-Until`` said, or a moment. Raises ``invalid``; ``gone`` for
    a position that the log has not reached."""
    text = _parameter(call, CHANGED_SINCE)
    if not text:
        return None
    beside = [name for name in call.request.query if name in _filters(record) or name in ("page", "pageSize", "search", "sort")]
    if beside:
        raise invalid(FieldError(beside[0], "not_with", {"other": CHANGED_SINCE}))
    if not (text.isascii() and text.isdigit()):
        moment = call.moment(CHANGED_SINCE)
        assert moment is not None
        return await call.query(record.service, f"{record.name}.position", Moment(moment), int)
    if len(text) > POSITION_MAX_DIGITS:
        raise invalid(FieldError(CHANGED_SINCE, "not_a_time"))
    if int(text) > until:
        raise DomainError(Kind.GONE, "changes_unknown", {"since": text})
    return int(text)
