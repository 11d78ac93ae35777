"""What every request passes, whatever its dialect: a trace, the client's pace, a measure, and the headers of every answer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from libs.domain.errors import DomainError, Kind
from libs.runtime.logs import traced
from libs.runtime.measures import Pulse
from libs.runtime.spans import Spans
from services.gateway import limits
from services.gateway.dikas.serve import refused
from services.gateway.identity import Identities
from services.gateway.measures import ZEYOS, Requests, dialect_of
from services.gateway.rates import Pace, Rates, network_of
from services.gateway.tracing import HEADER, trace_of
from services.gateway.zeyos import oauth_errors, plain

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# of every answer that does not say it otherwise; a page that needs more says so itself
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "Theke",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
STRICT_TRANSPORT: Final = "max-age=31536000"
FREE: Final = frozenset({"/healthz", "/readyz"})  # whoever watches is not to be turned away
PACE: Final = web.RequestKey("pace", Pace)
COOKIE: Final = "ZEYOSID"
TURNS: Final = 2
TURN_S: Final = 0.002


async def _who_hung_up() -> None:
    """A process that stood still finds requests whose clients are gone, and may have asked another gateway since. A few turns of the loop
    show who hung up: that request's handler is cancelled."""
    for _ in range(TURNS):
        await asyncio.sleep(TURN_S)


class Front:
    """The outermost middleware of a gateway. ``verbose``: every request gets a line, not only those that are slow."""

    def __init__(
        self, identities: Identities, rates: Rates, requests: Requests, spans: Spans | None, pulse: Pulse, *, verbose: bool
    ) -> None:
        self._identities = identities
        self._rates = rates
        self._requests = requests
        self._spans = spans
        self._pulse = pulse
        self._verbose = verbose
        self._policy = rates.policy

    def add(self, app: web.Application) -> None:
        """For an application that has ``middleware`` as its first."""
        app.on_response_prepare.append(self._dress)

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def passed(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path in FREE:
                return await handler(request)
            if self._pulse.woke_lately:
                await _who_hung_up()
            trace, parent = trace_of(request.headers.get(HEADER, ""))
            dialect, began, status = dialect_of(request.path), time.perf_counter(), 0
            self._requests.open += 1
            spans = self._spans
            followed = spans is not None and (parent or spans.follows(trace))
            with traced(trace):
                end = spans.begin(f"{request.method} {dialect}", trace, parent) if spans is not None and followed else None
                try:
                    response = self._held_up(request, dialect, trace) or await handler(request)
                    status = response.status
                    return response
                except web.HTTPException as answer:
                    status = answer.status
                    raise
                finally:
                    self._requests.open -= 1
                    seconds = time.perf_counter() - began
                    self._requests.count(dialect, status, seconds)
                    if end is not None:
                        end({"http.request.method": request.method, "http.response.status_code": status, "url.path": request.path})
                    if self._verbose or seconds >= limits.SLOW_S:
                        say = log.warning if seconds >= limits.SLOW_S else log.debug
                        say("request", method=request.method, path=request.path, status=status, seconds=round(seconds, 4))

        return passed

    def _held_up(self, request: web.Request, dialect: str, trace: str) -> web.Response | None:
        if not self._rates.per_second:
            return None
        pace = request[PACE] = self._rates.take(self._client(request))
        if not pace.wait_s:
            return None
        self._requests.limited += 1
        seconds = max(1, math.ceil(pace.wait_s))
        error = DomainError(Kind.RATE_LIMITED, "too_fast", {"seconds": seconds}, retry_after_s=seconds)
        if dialect != ZEYOS:
            return refused(error, request, trace)
        realm = request.path.split("/", 2)[1]
        if request.path.startswith(f"/{realm}/oauth2/"):
            return oauth_errors.refused(error, request, realm=realm, trace=trace)
        return plain.refused(error, request, realm=realm, trace=trace)

    def _client(self, request: web.Request) -> Hashable:
        """A digest of a token that is known here, else where it comes from. Forwarded addresses are not believed: anybody can send them."""
        token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")[2].strip() or request.cookies.get(COOKIE, "")
        if token and self._identities.is_known(token):
            return hash(token)
        return network_of(request.remote or "")

    async def _dress(self, request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.extend({name: value for name, value in HEADERS.items() if name not in headers})
        if request.secure:
            headers["Strict-Transport-Security"] = STRICT_TRANSPORT
        pace = request.get(PACE)
        if pace is not None:
            headers["RateLimit-Policy"] = self._policy
            headers["RateLimit"] = f'"client";r={pace.left};t={max(1, math.ceil(pace.wait_s))}'
