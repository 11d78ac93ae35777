"""A route of this dialect as an aiohttp handler: identify by token or cookie, ask, answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from libs.blobs.store import Blobs
from libs.domain.clock import Clock
from libs.domain.errors import DomainError, Kind
from libs.runtime.asking import Services
from libs.runtime.logs import present_trace
from services.gateway import limits
from services.gateway.dikas import tags
from services.gateway.dikas.call import Call, Route, bearer
from services.gateway.dikas.params import IF_NONE_MATCH
from services.gateway.identity import Identities
from services.gateway.zeyos import contents, oauth_errors, plain

log = structlog.get_logger(__name__)

COOKIE: Final = "ZEYOSID"
OAUTH: Final = "oauth2"  # the section that refuses in JSON
JSON: Final = "application/json; charset=utf-8"
CSV: Final = "text/csv; charset=utf-8"
_READS: Final = frozenset({"GET", "HEAD"})
_WRITES: Final = frozenset({"PUT", "PATCH", "DELETE"})  # POST only asks


class Json(msgspec.Struct, frozen=True):
    """An answer: JSON, or no body at all."""

    body: bytes = b""
    status: int = 200


class Page(msgspec.Struct, frozen=True):
    """An answer for a browser, with all of its headers."""

    body: bytes
    status: int
    headers: dict[str, str]


class Body(msgspec.Struct, frozen=True):
    """An answer as it comes, in pieces of bytes; ``file``: the name under which a browser saves it."""

    pieces: Any
    type: str = JSON
    file: str = ""


class Server:
    """Turns routes into handlers; one per gateway process. ``fields``: how the dialect calls the fields of records."""

    def __init__(self, services: Services, identities: Identities, blobs: Blobs, clock: Clock) -> None:
        self._services = services
        self._identities = identities
        self._blobs = blobs
        self._clock = clock

    def handler(self, route: Route, fields: Mapping[str, str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            trace = present_trace()
            call = Call(request, route, self._services, self._identities, self._blobs, self._clock, trace)
            names = {} if route.method == "POST" else fields
            try:
                return await self._answer(route, call)
            except DomainError as error:
                if route.section == OAUTH:
                    return oauth_errors.refused(error, request, realm=call.params["instance"], trace=trace)
                return plain.refused(error, request, realm=call.params["instance"], trace=trace, fields=names)
            except (asyncio.CancelledError, web.HTTPException, ConnectionError):
                raise
            except Exception:
                log.exception("request failed", method=route.method, path=route.path)
                return plain.refused(DomainError(Kind.UNAVAILABLE, "internal"), request, trace=trace)

        return handle

    async def _answer(self, route: Route, call: Call) -> web.StreamResponse:
        if not route.public:
            token = token_of(call.request)
            instance = await self._identities.instance_id(call.params["instance"])
            if not instance:
                raise DomainError(Kind.UNAUTHENTICATED, "foreign_token")
            call.principal = await self._identities.identify_at(instance, token, write=route.method in _WRITES)
        found = await route.handler(call)
        if isinstance(found, Page):
            return web.Response(status=found.status, body=found.body, headers={**_headers(call), **found.headers})
        if isinstance(found, Body):
            return await _streamed(call, found, found.pieces)
        answered = _answered(call, found)
        if answered.status == 200 and (parts := contents.parts_of(found.body))[1:]:
            return await _with_contents(call, parts)
        return answered


def token_of(request: web.Request) -> str:
    """The header counts before the cookie. Raises ``unauthenticated``."""
    cookie = request.cookies.get(COOKIE)
    if cookie and "Authorization" not in request.headers:
        if not cookie.isascii():
            raise DomainError(Kind.UNAUTHENTICATED, "access_token_invalid")
        return cookie
    return bearer(request)


def _headers(call: Call) -> dict[str, str]:
    behind = {"Theke-Projection": "behind"} if call.behind else {}
    return {**plain.HEADERS, "Theke-Trace": call.trace, **behind, **call.headers}


def _answered(call: Call, answer: Json) -> web.Response:
    """With its tag, and without what the client has already. A row that exists is nothing to say to HEAD."""
    reads = call.request.method in _READS
    if call.tag:
        call.headers["ETag"] = whole = f'"{call.tag}"'
        if reads and IF_NONE_MATCH in call.route.params and tags.has_already(call, whole):
            return web.Response(status=304, headers=_headers(call))
    if call.request.method == "HEAD" or not answer.body:
        return web.Response(status=204, headers=_headers(call))
    return web.Response(status=answer.status, body=answer.body, headers={**_headers(call), "Content-Type": JSON})


async def _streamed(call: Call, body: Body, pieces: AsyncIterator[list[bytes]]) -> web.StreamResponse:
    """The first piece is asked for before the status is sent, so a refusal still has its own; what is in one piece is sent whole."""
    headers = {**_headers(call), "Content-Type": body.type}
    if body.file:
        headers["Content-Disposition"] = f'attachment; filename="{body.file}"'
    async with contextlib.aclosing(pieces):  # type: ignore[type-var]  # routes say iterator, all of them are generators
        first = contents.parts_of(b"".join(await anext(pieces, [])))
        await contents.require_kept(call.blobs, call.principal.instance, first)
        second: list[bytes] | None = await anext(pieces, None)

        async def parts() -> AsyncIterator[contents.Parts]:
            yield first
            if second is not None:
                yield contents.parts_of(b"".join(second))
            async for piece in pieces:
                yield contents.parts_of(b"".join(piece))

        return await _written(call, parts(), headers, contents.length_of(first) if second is None else None)


async def _with_contents(call: Call, parts: contents.Parts) -> web.StreamResponse:
    await contents.require_kept(call.blobs, call.principal.instance, parts)

    async def whole() -> AsyncIterator[contents.Parts]:
        yield parts

    return await _written(call, whole(), {**_headers(call), "Content-Type": JSON}, contents.length_of(parts))


async def _written(call: Call, pieces: AsyncIterator[contents.Parts], headers: dict[str, str], length: int | None) -> web.StreamResponse:
    """``length``: of the whole answer in bytes, if it is known."""
    response = web.StreamResponse(headers=headers)
    response.content_length = length
    await response.prepare(call.request)
    try:
        async with asyncio.timeout(limits.LIST_WITHIN_S):
            async for parts in pieces:
                async for piece in contents.written(call.blobs, call.principal.instance, parts):
                    await _write(response, piece)
    except Exception as error:
        log.warning("answer cut short", path=call.route.path, error=repr(error))
        if call.request.transport is not None:
            call.request.transport.abort()
        raise ConnectionError("an answer ended half-way") from error
    await response.write_eof()
    return response


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(limits.PIECE_WITHIN_S):
        await response.write(piece)
