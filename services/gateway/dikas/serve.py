"""A route as an aiohttp handler: identify, decode, ask, wrap. Every refusal ends here, in the envelope."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import structlog
from aiohttp import web

from libs.blobs.store import Blobs
from libs.domain.clock import Clock
from libs.domain.errors import DomainError, Kind
from libs.domain.principal import Principal
from libs.runtime.asking import Services
from libs.runtime.logs import present_trace
from services.gateway import bodies, limits
from services.gateway.dikas import envelope, tags
from services.gateway.dikas.call import Call, Picture, Route, bearer, language_of
from services.gateway.dikas.spreadsheet import CSV, Sheet, prefers_csv
from services.gateway.identity import Identities

log = structlog.get_logger(__name__)

JSON: Final = "application/json"
HEADERS: Final = {
    "Content-Type": f"{JSON}; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Server": "Theke",
}
_READS: Final = frozenset({"GET", "HEAD"})
_UTF8: Final = frozenset({"utf-8", "utf8"})


class Broken(ConnectionError):
    """A list ended half-way. The connection is cut: a client must not take what came for the whole."""


class Server:
    """Turns routes into handlers; one per gateway process."""

    def __init__(self, services: Services, identities: Identities, blobs: Blobs, clock: Clock) -> None:
        self._services = services
        self._identities = identities
        self._blobs = blobs
        self._clock = clock

    def handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            trace = present_trace()
            call = Call(request, route, self._services, self._identities, self._blobs, self._clock, trace)
            try:
                return await self._answer(route, call)
            except DomainError as error:
                return refused(error, request, trace)
            except (asyncio.CancelledError, web.HTTPException, ConnectionError):
                raise
            except Exception:
                log.exception("request failed", method=route.method, path=route.path)
                return refused(DomainError(Kind.UNAVAILABLE, "internal"), request, trace)

        return handle

    async def _answer(self, route: Route, call: Call) -> web.StreamResponse:
        if not route.public:
            call.principal = await self._identified(call.request, write=route.method not in _READS)
            await self._check_instance(call)
        if route.body is not None:
            raw = (
                b"{}" if not call.request.body_exists and route.body_may_be_absent else await read_body(call.request, route.body_max_bytes)
            )
            call.body = bodies.decode(raw, route.body, route.required)
        if route.stream:
            return await _stream(call, route.handler(call))
        answer = await route.handler(call)
        if route.csv is not None and prefers_csv(call.request.headers.get("Accept", "")):
            return _csv(call, route.csv, answer)
        if isinstance(answer, Picture):
            return _answered(call, route.status, answer.body, answer.type)
        return _answered(call, route.status, envelope.success(answer))

    async def _identified(self, request: web.Request, *, write: bool) -> Principal:
        """Somebody with a token, or a program with a key."""
        key = request.headers.get("X-Api-Key", "")
        token = key or bearer(request)
        if key or token.startswith("thk_"):
            return await self._identities.identify_key(token, write=write)
        return (await self._identities.identify(token, write=write)).principal

    async def _check_instance(self, call: Call) -> None:
        """A request that names an instance must come with a token of that instance."""
        name = call.instance_name
        if name and await self._identities.instance_id(name) != call.principal.instance:
            raise DomainError(Kind.UNAUTHENTICATED, "foreign_token")


async def read_body(request: web.Request, most: int = bodies.BODY_MAX_BYTES) -> bytes:
    """The body, bounded in size and time. Raises what is wrong with it before it is JSON."""
    if request.content_type != JSON or (request.charset or "utf-8").lower() not in _UTF8:
        raise DomainError(Kind.INVALID, "wrong_content_type")
    bounded = request if most == bodies.BODY_MAX_BYTES else request.clone(client_max_size=most)
    try:
        if request.content.is_eof():  # it came with its headers: nothing to wait for
            return await bounded.read()
        async with asyncio.timeout(limits.BODY_WITHIN_S):
            return await bounded.read()
    except TimeoutError:
        raise DomainError(Kind.INVALID, "body_too_slow", {"max": round(limits.BODY_WITHIN_S)}) from None
    except web.HTTPRequestEntityTooLarge:
        raise DomainError(Kind.TOO_LARGE, "body_too_large", {"max": most}) from None
    except web.RequestPayloadError:
        raise DomainError(Kind.INVALID, "body_unreadable") from None


def refused(error: DomainError, request: web.BaseRequest, trace: str = "") -> web.Response:
    trace = trace or present_trace()
    if error.reason == "internal":
        error = DomainError(error.kind, error.reason, {**error.params, "trace": trace})
    status, body = envelope.failure(error, language_of(request))
    response = web.Response(status=status, body=body, headers={**HEADERS, "Theke-Trace": trace})
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if status >= 500:
        log.warning("request refused", method=request.method, path=request.path, status=status, reason=error.reason)
    return response


def _headers(call: Call) -> dict[str, str]:
    behind = {"Theke-Projection": "behind"} if call.behind else {}
    varies = {"Vary": "Accept, Accept-Language"} if call.route.csv is not None else {}
    return {**HEADERS, "Theke-Trace": call.trace, **behind, **varies, **call.headers}


def _csv(call: Call, sheet: Sheet, answer: Any) -> web.Response:
    headers = {
        **_headers(call),
        "Content-Type": f"{CSV}; charset=utf-8; header=present",
        "Content-Disposition": f'attachment; filename="{sheet.name(answer)}.csv"',
        "Content-Language": str(call.language),
    }
    return web.Response(body=sheet.file(answer, call.language), headers=headers)


def _answered(call: Call, status: int, body: bytes, type_: str = HEADERS["Content-Type"]) -> web.Response:
    """With its tag, and without what the client has already."""
    if call.tag:
        call.headers["ETag"] = whole = tags.of_answer(call, body)
        if call.request.method in _READS and tags.has_already(call, whole):
            return web.Response(status=304, headers={name: text for name, text in _headers(call).items() if name != "Content-Type"})
    return web.Response(status=status, body=body, headers={**_headers(call), "Content-Type": type_})


async def _stream(call: Call, pieces: AsyncIterator[list[Any]]) -> web.StreamResponse:
    """A list of any length. The first piece is asked for before the status is sent, so a refusal still has its own."""
    async with contextlib.aclosing(pieces):  # type: ignore[type-var]  # routes say iterator, all of them are generators
        first: list[Any] = await anext(pieces, [])
        response = web.StreamResponse(headers=_headers(call))
        if call.request.method == "HEAD":
            return response
        await response.prepare(call.request)
        try:
            async with asyncio.timeout(limits.LIST_WITHIN_S):
                await _write_list(response, first, pieces)
        except Exception as error:
            log.warning("list cut short", path=call.route.path, error=repr(error))
            if call.request.transport is not None:
                call.request.transport.abort()
            raise Broken from error
        await response.write_eof()
        return response


async def _write_list(response: web.StreamResponse, first: list[Any], pieces: AsyncIterator[list[Any]]) -> None:
    await _write(response, envelope.STREAM_BEGIN + envelope.items(first))
    before = bool(first)
    async for piece in pieces:
        if piece:
            await _write(response, (b"," if before else b"") + envelope.items(piece))
            before = True
    await _write(response, envelope.STREAM_END)


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(limits.PIECE_WITHIN_S):
        await response.write(piece)


async def expected(request: web.Request) -> web.StreamResponse | None:
    """``Expect: 100-continue`` is answered, anything else refused."""
    if request.headers["Expect"].lower() != "100-continue":
        return refused(DomainError(Kind.INVALID, "expectation_unknown"), request)
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun
    return None


@web.middleware
async def unknown_routes(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """What no route answers, in the same envelope."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refused(DomainError(Kind.NOT_FOUND, "route_not_found", {"path": request.path[:200]}), request)
    except web.HTTPMethodNotAllowed as refusal:
        allowed = ", ".join(sorted(refusal.allowed_methods))
        response = refused(DomainError(Kind.INVALID, "method_not_allowed", {"allowed": allowed}), request)
        response.headers["Allow"] = allowed
        return response
