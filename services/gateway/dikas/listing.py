"""What a client asks of a list, out of the query string: ``page``, ``pageSize``, ``search``, ``sort``, a field's name, ``changedSince``.

Names that no list knows are ignored, as unknown fields of a body are; an empty value is none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final, TypeVar

from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.domain.paging import ALL_MAX_ROWS, PAGE_MAX_ROWS, PAGE_ROWS, PAGES_MAX, Paged
from libs.domain.records import FieldType, RecordType
from libs.records.lists import SYSTEM_ORDER, TIMES, Listing, can_filter, can_sort
from libs.records.wanted import SEARCH_MAX_CHARS
from libs.runtime.records import Moment
from services.gateway.dikas.call import Call, moment_of
from services.gateway.dikas.names import dialect_name
from services.gateway.dikas.params import Form, Param

T = TypeVar("T")
Out = TypeVar("Out")

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


_FORMS: Final[Mapping[FieldType, Form]] = {
    FieldType.INTEGER: Form.WHOLE,
    FieldType.DECIMAL: Form.DECIMAL,
    FieldType.BOOLEAN: Form.FLAG,
    FieldType.DATE: Form.DATE,
}
PAGES: Final = (
    Param(
        "page",
        Form.WHOLE,
        f"Which page, the first is 1; without it and `pageSize` all of up to {ALL_MAX_ROWS} rows.",
        1,
        PAGES_MAX,
        example=1,
    ),
    Param("pageSize", Form.WHOLE, f"How many on a page; {PAGE_ROWS} without it.", 1, PAGE_MAX_ROWS, example=20),
)
PAGED: Final = (
    *PAGES,
    Param("search", Form.TEXT, "Words that must all occur, in any case, with or without accents.", max_chars=SEARCH_MAX_CHARS, example="a"),
    Param("sort", Form.TEXT, "Fields, with commas between them and `-` in front for descending.", example="-id"),
)


def paged_params(orders: Iterable[str]) -> tuple[Param, ...]:
    """What a list of anything but records takes beside its filters; ``orders``: what it can be sorted by, in the domain's names."""
    names = [dialect_name(name) for name in orders]
    known = ", ".join(f"`{name}`" for name in names)
    sort = Param("sort", Form.TEXT, f"{known}; with commas between them and `-` in front for descending.", example=f"-{names[0]}")
    return (*PAGES, sort)


@cache
def list_params(record: RecordType) -> tuple[Param, ...]:
    """What every list of records of this kind takes."""
    fields = {dialect_name(field.name): field for field in record.fields if can_filter(field)}
    return (
        *PAGED,
        *(Param(name, _FORMS.get(field.type, Form.TEXT), f"Only those with this `{name}`.") for name, field in fields.items()),
        *(Param(dialect_name(name), Form.DAY, TIMES_DOC[name]) for name in TIMES),
        Param(
            CHANGED_SINCE,
            Form.TEXT,
            f"Only what changed or was deleted since: the `{CHANGED_UNTIL}` of an earlier answer, or a moment. Stands alone.",
            example="2026-03-01T00:00:00Z",
        ),
    )


TIMES_DOC: Final[Mapping[str, str]] = {
    "created_from": "Created at this time or later.",
    "created_to": "Created at this time or earlier.",
    "changed_from": "Last changed at this time or later.",
    "changed_to": "Last changed at this time or earlier.",
}


def listing_of(call: Call, record: RecordType) -> Listing:
    """Raises ``invalid``, naming the parameter."""
    filters = {name: text for shown, name in _filters(record).items() if (text := call.given(shown))}
    return Listing(search=_search(call), filters=filters, **_paging(call, _orders(record)))


def paging_of(call: Call, orders: Iterable[str]) -> dict[str, Any]:
    """``sort``, ``page`` and ``page_size`` of a list of anything but records. Raises ``invalid``, naming the parameter."""
    return _paging(call, {dialect_name(name): name for name in orders})


def _paging(call: Call, orders: Mapping[str, str]) -> dict[str, Any]:
    """A size alone means the first page."""
    page, size = _number(call, "page", PAGES_MAX), _number(call, "pageSize", PAGE_MAX_ROWS)
    if page is None and size is not None:
        page = 1
    return {"sort": _sort(call, orders), "page": page, "page_size": size or PAGE_ROWS}


async def listed(call: Call, service: str, name: str, wanted: Paged, item: type[T], show: Callable[[T], Out]) -> AsyncIterator[list[Out]]:
    """The list ``name`` of a service as the route shows it. It is counted first: of a page the whole is told, too many rows are refused."""
    total = await call.query(service, f"{name}.count", wanted, int)
    if wanted.page is not None:
        call.headers[TOTAL] = str(total)
    async for piece in call.stream(service, f"{name}.list", wanted, item):
        yield [show(one) for one in piece]


def asks_of(service: str, name: str) -> tuple[str, ...]:
    """What a route with such a list asks."""
    return tuple(f"{service}.{name}.{what}" for what in ("list", "count"))


def _search(call: Call) -> str:
    return call.given("search") if any(param.name == "search" for param in call.route.params) else ""


def _number(call: Call, name: str, most: int) -> int | None:
    text = call.given(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise invalid(FieldError(name, "expected_integer"))
    if len(text) > POSITION_MAX_DIGITS or not 1 <= int(text) <= most:
        raise invalid(FieldError(name, "out_of_range", {"min": 1, "max": most}))
    return int(text)


def _sort(call: Call, known: Mapping[str, str]) -> tuple[str, ...]:
    sort = []
    for shown in filter(None, (part.strip() for part in call.given("sort").split(","))):
        bare = shown.removeprefix("-")
        if bare not in known:
            raise invalid(FieldError("sort", "not_known", {"value": shown[:50]}))
        sort.append(shown[: len(shown) - len(bare)] + known[bare])
    return tuple(sort)


async def since_of(call: Call, record: RecordType, until: int) -> int | None:
    """The position behind which changes are wanted: what ``Theke-Changed-Until`` said, or a moment. Raises ``invalid``; ``gone`` for
    a position that the log has not reached."""
    text = call.given(CHANGED_SINCE)
    if not text:
        return None
    beside = [param.name for param in list_params(record) if param.name != CHANGED_SINCE and call.given(param.name)]
    if beside:
        raise invalid(FieldError(beside[0], "not_with", {"other": CHANGED_SINCE}))
    if not (text.isascii() and text.isdigit()):
        moment = moment_of(CHANGED_SINCE, text)
        assert moment is not None
        return await call.query(record.service, f"{record.name}.position", Moment(moment), int)
    if len(text) > POSITION_MAX_DIGITS:
        raise invalid(FieldError(CHANGED_SINCE, "not_a_time"))
    if int(text) > until:
        raise DomainError(Kind.GONE, "changes_unknown", {"since": text})
    return int(text)
