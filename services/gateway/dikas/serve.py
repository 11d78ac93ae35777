"""A route as an aiohttp handler: identify, decode, ask, wrap. Every refusal ends here, in the envelope."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web

from libs.domain.clock import Clock
from libs.domain.errors import DomainError, Kind
from libs.runtime.asking import Services
from libs.runtime.logs import traced
from services.gateway import bodies
from services.gateway.dikas import envelope
from services.gateway.dikas.call import Call, Route, bearer, language_of
from services.gateway.identity import Identities

log = structlog.get_logger(__name__)

JSON = "application/json"
_READS = frozenset({"GET", "HEAD"})


class Server:
    """Turns routes into handlers; one per gateway process."""

    def __init__(self, services: Services, identities: Identities, clock: Clock) -> None:
        self._services = services
        self._identities = identities
        self._clock = clock

    def handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            trace = uuid.uuid4().hex
            call = Call(request, route, self._services, self._identities, self._clock, trace)
            with traced(trace):
                try:
                    return await self._answer(route, call)
                except DomainError as error:
                    return refused(error, call)
                except (asyncio.CancelledError, web.HTTPException, ConnectionError):
                    raise
                except Exception:
                    log.exception("request failed", method=route.method, path=route.path)
                    return refused(DomainError(Kind.UNAVAILABLE, "internal", {"trace": trace}), call)

        return handle

    async def _answer(self, route: Route, call: Call) -> web.StreamResponse:
        if not route.public:
            identity = await self._identities.identify(bearer(call.request), write=route.method not in _READS)
            call.principal = identity.principal
            await self._check_instance(call)
        if route.body is not None:
            call.body = bodies.decode(await read_body(call.request), route.body)
        if route.stream:
            return await _stream(call, route.handler(call))
        answer = await route.handler(call)
        return _json(call, route.status, envelope.success(answer))

    async def _check_instance(self, call: Call) -> None:
        """A request that names an instance must come with a token of that instance."""
        if call.instance_name and await self._identities.instance_id(call.instance_name) != call.principal.instance:
            raise DomainError(Kind.UNAUTHENTICATED, "foreign_token")


async def read_body(request: web.Request) -> bytes:
    """The body, bounded. Raises ``wrong_content_type`` or ``body_too_large``."""
    if request.content_type != JSON:
        raise DomainError(Kind.INVALID, "wrong_content_type")
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise DomainError(Kind.TOO_LARGE, "body_too_large", {"max": bodies.BODY_MAX_BYTES}) from None


def refused(error: DomainError, call: Call) -> web.Response:
    status, body = envelope.failure(error, call.language)
    response = _json(call, status, body)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if status >= 500:
        log.warning("request refused", method=call.request.method, path=call.request.path, status=status, reason=error.reason)
    return response


def _json(call: Call, status: int, body: bytes) -> web.Response:
    response = web.Response(status=status, body=body, content_type=JSON, charset="utf-8")
    response.headers["Theke-Trace"] = call.trace
    if call.behind:
        response.headers["Theke-Projection"] = "behind"
    return response


async def _stream(call: Call, pieces: AsyncIterator[list[Any]]) -> web.StreamResponse:
    """A list of any length. The first piece is asked for before the status is sent, so a refusal still has its own."""
    async with contextlib.aclosing(pieces):  # type: ignore[type-var]
        first = await anext(pieces, None)
        response = web.StreamResponse(headers={"Content-Type": f"{JSON}; charset=utf-8", "Theke-Trace": call.trace})
        await response.prepare(call.request)
        await response.write(envelope.STREAM_BEGIN + (envelope.items(first) if first else b""))
        if first is not None:
            async for piece in pieces:
                if piece:
                    await response.write(b"," + envelope.items(piece))
        await response.write(envelope.STREAM_END)
        await response.write_eof()
        return response


@web.middleware
async def unknown_routes(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """What no route answers, in the same envelope."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        error = DomainError(Kind.NOT_FOUND, "route_not_found", {"path": request.path[:200]})
    except web.HTTPMethodNotAllowed as refusal:
        error = DomainError(Kind.INVALID, "method_not_allowed", {"allowed": ", ".join(sorted(refusal.allowed_methods))})
    status, body = envelope.failure(error, language_of(request))
    return web.Response(status=status, body=body, content_type=JSON, charset="utf-8")
