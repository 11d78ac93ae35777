"""The one read of a log that every service has (``qry.<service>.log``): what may be asked, and the rows it gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from libs.eventstore.log import Log
from libs.runtime.published import published_types

WINDOW_ROWS: Final = 20_000  # looked through with one statement
PAGE_ROWS: Final = 1_000


class LogRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Events of an instance behind position ``after``, at most ``limit``, not behind ``up_to`` (0: the head), of one ``stream``, of any of
    the ``types``, with ``text`` somewhere in their data; what is empty does not choose. ``published``: only those of the published
    language, as all but Theke itself get them."""

    instance: int
    after: int
    limit: int
    up_to: int = 0
    types: Sequence[str] = ()
    stream: str = ""
    text: str = ""
    published: bool = False


async def selected(log: Log, wanted: LogRequest) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    """Pages of rows, also empty ones: after each window, so that nobody takes a long search for a silent service."""
    if wanted.published:
        types = published_types(log.schema)
        wanted = msgspec.structs.replace(wanted, types=tuple(sorted(types.intersection(wanted.types) if wanted.types else types)))
        if not wanted.types:
            return
    head = (await log.heads()).get(wanted.instance, 0)
    end = min(wanted.up_to or head, head)
    left = wanted.limit
    pages = _of_stream(log, wanted, end) if wanted.stream else _of_log(log, wanted, end)
    async for rows in pages:
        yield rows[:left]
        left -= len(rows)
        if left <= 0:
            return


async def _of_log(log: Log, wanted: LogRequest, end: int) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    after = wanted.after
    while after < end:
        window = min(end, after + WINDOW_ROWS)
        rows = await log.scan(wanted.instance, after, window, PAGE_ROWS, types=wanted.types, text=wanted.text)
        yield rows
        after = rows[-1]["position"] if len(rows) == PAGE_ROWS else window


async def _of_stream(log: Log, wanted: LogRequest, end: int) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    version, text = 0, wanted.text.encode()
    while rows := await log.scan_stream(wanted.instance, wanted.stream, version, end, PAGE_ROWS):
        yield [
            row
            for row in rows
            if row["position"] > wanted.after and (not wanted.types or row["type"] in wanted.types) and (not text or text in row["data"])
        ]
        version = rows[-1]["version"]
