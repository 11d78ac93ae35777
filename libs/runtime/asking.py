"""Asking services, typed: what the gateway, the command line and shipped data use to send commands and queries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Hashable
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID, uuid4

import msgspec

from libs.bus import subjects
from libs.bus.client import Client
from libs.bus.connection import Connection, connect
from libs.domain.principal import Principal, system
from libs.runtime.logs import trace_id
from libs.runtime.publishing import CloudEvent
from libs.runtime.spans import carried

if TYPE_CHECKING:  # the command line need not load the whole log to ask a service for it
    from libs.runtime.log_reading import LogRequest

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_event = msgspec.json.Decoder(CloudEvent)
DEADLINE_S = 10.0
STREAM_SILENCE_MAX_S = 20.0


class Heads(msgspec.Struct, frozen=True):
    """Of a service's status: how far its logs are, by instance."""

    heads: dict[int, int]


@lru_cache(maxsize=512)
def _decoder(type_: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(type_)


class Services:
    """Every method raises the service's DomainError, or ``unavailable``. ``trace``: else that of what is being worked on."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def command(
        self,
        service: str,
        name: str,
        body: Any,
        answer: type[T],
        *,
        principal: Principal,
        id: UUID | None = None,
        at: datetime | None = None,
        deadline: float = DEADLINE_S,
        trace: str = "",
        began: float | None = None,
    ) -> tuple[T, bool]:
        """The answer, and whether query tables are still behind it. ``id``: repeat a command with the same one; ``began``: when this
        attempt at it was made, on the monotonic clock, else now."""
        reply = await self._client.request(
            subjects.command(service, subjects.subject_name(name)),
            _encoder.encode(body),
            instance=principal.instance,
            principal=_encoder.encode(principal),
            command_id=id or uuid4(),
            at=at,
            deadline=deadline,
            trace=carried(trace or trace_id.get()),
            began=began,
        )
        return _decoder(cast("Hashable", answer)).decode(reply.body), reply.projection_behind

    async def query(
        self, service: str, name: str, body: Any, answer: type[T], *, principal: Principal, deadline: float = DEADLINE_S, trace: str = ""
    ) -> T:
        reply = await self._client.request(
            subjects.query(service, subjects.subject_name(name)),
            _encoder.encode(body),
            instance=principal.instance,
            principal=_encoder.encode(principal),
            deadline=deadline,
            trace=carried(trace or trace_id.get()),
        )
        found: T = _decoder(cast("Hashable", answer)).decode(reply.body)
        return found

    async def stream(
        self, service: str, name: str, body: Any, item: type[T], *, principal: Principal, trace: str = ""
    ) -> AsyncGenerator[list[T], None]:
        """Items in pieces, pulled as they are consumed. Close it early with ``contextlib.aclosing``."""
        pieces = self._client.stream(
            subjects.query(service, subjects.subject_name(name)),
            _encoder.encode(body),
            instance=principal.instance,
            principal=_encoder.encode(principal),
            deadline=STREAM_SILENCE_MAX_S,
            trace=carried(trace or trace_id.get()),
        )
        # the type checker takes neither a list of a type made at run time, nor an iterator for the generator that it is
        decoder = _decoder(list[item])  # type: ignore[valid-type]
        async with aclosing(pieces) as open_pieces:
            async for piece in open_pieces:
                yield decoder.decode(piece)

    async def heads(self, service: str, *, deadline: float = DEADLINE_S) -> dict[int, int]:
        """The newest position of every instance that has events in a service's log."""
        return (await self.query(service, "status", {}, Heads, principal=system(0, "log"), deadline=deadline)).heads

    @asynccontextmanager
    async def published(self, service: str, instance: int) -> AsyncIterator[asyncio.Event]:
        """Something that is set whenever an event of this service and instance is published. A hint, which may get lost."""
        news = asyncio.Event()
        hints = await self._client.connection.listen(subjects.published_in(service, instance), lambda *_: news.set())
        try:
            await self._client.connection.settle()
            yield news
        finally:
            await self._client.connection.unlisten(hints)

    async def log(
        self, service: str, wanted: LogRequest, *, principal: Principal | None = None, trace: str = ""
    ) -> AsyncGenerator[list[CloudEvent], None]:
        """Events of a log as they are published, in pieces. Theke itself may read all; a ``principal`` what its instance published."""
        pieces = self._client.stream(
            subjects.query(service, "log"),
            _encoder.encode(wanted),
            instance=wanted.instance,
            principal=_encoder.encode(principal or system(wanted.instance, "log")),
            deadline=STREAM_SILENCE_MAX_S,
            trace=trace,
        )
        async with aclosing(pieces) as open_pieces:
            rest = b""
            async for piece in open_pieces:
                *lines, rest = (rest + piece).split(b"\n")
                if found := [_event.decode(line) for line in lines if line]:
                    yield found


async def connected(url: str, name: str) -> tuple[Connection, Services]:
    """A connection of its own for a command-line tool. Raises what ``connect`` raises."""
    connection = await connect(url, name=name)
    client = Client(connection)
    await client.open()
    return connection, Services(client)
