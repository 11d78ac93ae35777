"""Every time that appointments take place in a span of time, for who may see them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from decimal import Decimal
from heapq import merge
from itertools import islice
from typing import Any, Final

import msgspec

from libs.contracts.resources import RESOURCES
from libs.domain.errors import FieldError, invalid
from libs.domain.fields import INT64_MAX
from libs.records.access import access_of, require_read
from libs.records.query.answers import pieces_of
from libs.records.query.compile import LIMIT, LIMIT_MAX, compile_query
from libs.records.rendering import encode_row, shown
from libs.records.wanted import Wrong, integer_of
from libs.runtime.resources import Asked, searched
from libs.runtime.service import Ask, Query
from services.crm.recurrence import Recurring, occurrences

APPOINTMENTS: Final = RESOURCES["appointments"]
SPAN_MAX_S: Final = 400 * 24 * 3600
MOMENT_MAX_S: Final = 2**40  # either way from 1970
_queries: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)

Row = Mapping[str, Any]


async def taking_place(ask: Ask) -> AsyncIterator[list[bytes]]:
    """Rows of appointments with the begin and end of each occurrence, by begin and ID. Raises ``invalid`` naming ``from``, ``to``, or what
    the query language does not know in ``filters`` or ``query``; ``forbidden``."""
    access = await access_of(ask.tables, ask.principal)
    require_read(access, APPOINTMENTS)
    asked: Mapping[str, Any] = _queries.decode(ask.body.query)
    begin, end = _moment(asked, "from"), _moment(asked, "to")
    if not begin < end <= begin + SPAN_MAX_S:
        raise invalid(FieldError("to", "out_of_range", {"min": begin + 1, "max": begin + SPAN_MAX_S}))
    limit = min(_whole(asked, "limit", LIMIT, 1), LIMIT_MAX)
    filters = asked.get("filters") if asked.get("filters") is not None else asked.get("filter")
    query = {"filter": _may_take_place(begin, end), "filters": filters, "query": asked.get("query"), "limit": LIMIT_MAX}
    compiled = compile_query(APPOINTMENTS, query, RESOURCES, access)
    found = await searched(ask, compiled)
    if len(found) == LIMIT_MAX:
        raise invalid(FieldError("filters", "too_many", {"max": LIMIT_MAX - 1}))
    rows = [{cell.name: shown(cell.column, row[ix]) for ix, cell in enumerate(compiled.cells)} for row in found]
    all_ = islice(merge(*(_times(row, begin, end) for row in rows), key=lambda row: (row["datefrom"], row["ID"])), limit)
    for piece in pieces_of(encode_row(row) for row in all_):
        yield [piece]


def _may_take_place(begin: int, end: int) -> Mapping[str, Any]:
    return {"datefrom": {"<": end}, "1": ["OR", {"dateto": {">=": begin}}, {"recurrence": {"!=": None}}]}


def _times(row: Row, begin: int, end: int) -> Iterator[dict[str, Any]]:
    appointment = Recurring(row["datefrom"], row["dateto"], row["recurrence"], row["interval"], row["daterecurrence"])
    for begins, ends in occurrences(appointment, begin, end):
        yield {**row, "datefrom": begins, "dateto": ends}


def _moment(asked: Mapping[str, Any], name: str) -> int:
    if asked.get(name) is None:
        raise invalid(FieldError(name, "required"))
    return _whole(asked, name, 0, -MOMENT_MAX_S)


def _whole(asked: Mapping[str, Any], name: str, otherwise: int, least: int) -> int:
    said = asked.get(name)
    if said is None:
        return otherwise
    try:
        if isinstance(said, bool) or not isinstance(said, str | int):
            raise Wrong("expected_integer")
        number = integer_of(str(said), INT64_MAX)
        if not least <= number <= MOMENT_MAX_S:
            raise Wrong("out_of_range", min=least, max=MOMENT_MAX_S)
    except Wrong as wrong:
        raise invalid(FieldError(name, wrong.reason, wrong.params)) from None
    return number


OCCURRENCES: Final = Query("appointment.occurrences", Asked, taking_place, stream=True)
