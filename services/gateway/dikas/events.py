"""Section Events, beyond the dialect's table: what an instance published, for systems that do not speak NATS.

There is one log per service, so positions are those of one service: whoever follows two keeps two places.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final
from urllib.parse import urlencode

import msgspec

from libs.domain.errors import DomainError, FieldError, Kind, invalid, unavailable
from libs.runtime.log_reading import LogRequest
from libs.runtime.published import published_events, published_types
from services.gateway import limits
from services.gateway.dikas.call import Call, Picture, Route
from services.gateway.dikas.params import Form, Param

BATCH: Final = "application/cloudevents-batch+json"
SERVICES: Final = tuple(published_events())
TYPES_MAX_CHARS: Final = 2_000

_encoder = msgspec.json.Encoder()


class Waiting:
    """How many clients of this gateway wait for an event."""

    now = 0


async def events(call: Call) -> Picture:
    """What happened at a service, from a position on. CloudEvents in the order of the log, those that are published. `Theke-Next-After` is
    where to go on, also if the batch is empty: what was passed over counts. With `wait` an empty batch is answered when something came, or
    when that time is over."""
    service, after = call.choice("service"), call.position("after")
    most = call.number("limit") or limits.EVENTS_DEFAULT
    types = _types(call, service)
    ends = time.monotonic() + (call.number("wait") or 0)
    found, upto, head = await _batch(call, service, after, most, types)
    if not found and time.monotonic() < ends:
        found, upto, head = await _wait(call, service, upto, most, types, ends)
    call.headers |= {"Theke-Next-After": str(upto), "Theke-Log-Head": str(head), "Link": f'<{_next(call, upto)}>; rel="next"'}
    return Picture(BATCH, b"[" + b",".join(found) + b"]")


def _types(call: Call, service: str) -> tuple[str, ...]:
    """Raises ``invalid`` for what the service does not publish."""
    types = tuple(dict.fromkeys(filter(None, (one.strip() for one in call.text("types").split(",")))))
    if len(types) > limits.EVENT_TYPES_MAX:
        raise invalid(FieldError("types", "too_many", {"max": limits.EVENT_TYPES_MAX}))
    for one in types:
        if one not in published_types(service):
            raise invalid(FieldError("types", "not_known", {"value": one[:50]}))
    return types


async def _batch(call: Call, service: str, after: int, most: int, types: Sequence[str]) -> tuple[list[bytes], int, int]:
    """Events, how far was looked, and where the log ends. Raises ``gone`` for a position that the log has not reached."""
    head = (await call.services.heads(service, deadline=limits.REQUEST_DEADLINE_S)).get(call.principal.instance, 0)
    found: list[bytes] = []
    last, size = after, 0
    wanted = LogRequest(call.principal.instance, after, most, head, types, published=True)
    async with aclosing(call.services.log(service, wanted, principal=call.principal, trace=call.trace)) as pieces:
        async for piece in pieces:
            for event in piece:
                encoded = _encoder.encode(event)
                size += len(encoded)
                if found and size > limits.EVENTS_MAX_BYTES:
                    return found, last, head
                found.append(encoded)
                last = event.position
    if after > head:
        raise DomainError(Kind.GONE, "position_unknown", {"after": after, "head": head})
    return found, (last if len(found) == most else head), head


async def _wait(call: Call, service: str, after: int, most: int, types: Sequence[str], ends: float) -> tuple[list[bytes], int, int]:
    if Waiting.now >= limits.EVENTS_WAITING_MAX:
        raise unavailable("overloaded", limits.EVENTS_AGAIN_S)
    Waiting.now += 1
    try:
        async with call.services.published(service, call.principal.instance) as news:
            while True:
                news.clear()
                found, after, head = await _batch(call, service, after, most, types)
                left = ends - time.monotonic()
                if found or left <= 0:
                    return found, after, head
                try:
                    async with asyncio.timeout(min(left, limits.EVENTS_LOOK_EVERY_S)):
                        await news.wait()
                except TimeoutError:
                    continue
    finally:
        Waiting.now -= 1


def _next(call: Call, after: int) -> str:
    """The same question again, from where this answer ends."""
    asked = {name: call.given(name) for name in ("service", "types", "limit", "wait") if call.given(name)}
    return f"{call.route.path}?{urlencode({**asked, 'after': after}, safe=',')}"


ROUTES: Final = (
    Route(
        "GET",
        "/api/v1/events",
        "Events",
        events,
        params=(
            Param("service", Form.CHOICE, "Whose log.", choices=SERVICES, required=True, example="pos"),
            Param("after", Form.POSITION, "Only what is behind this position; without it, from the beginning.", example=0),
            Param("limit", Form.WHOLE, "How many at once.", 1, limits.EVENTS_MAX, default=limits.EVENTS_DEFAULT, example=10),
            Param(
                "types", Form.TEXT, "Only of these types, with commas between them.", max_chars=TYPES_MAX_CHARS, example="receipt.issued"
            ),
            Param("wait", Form.WHOLE, "Seconds to wait for an event if there is none.", 0, limits.EVENTS_WAIT_MAX_S, example=1),
        ),
        media=(BATCH,),
        answer=Picture,
        refuses=(410,),
        asks=tuple(f"{service}.log" for service in SERVICES),
    ),
)
