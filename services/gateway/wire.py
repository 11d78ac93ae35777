"""Requests that are no HTTP: refused like everything else, in the dialect's envelope, and connections on which nothing comes are closed.
aiohttp has no public place for either."""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from libs.domain.errors import DomainError, Kind
from services.gateway import limits
from services.gateway.dikas.serve import refused
from services.gateway.front import HEADERS

log = structlog.get_logger(__name__)


class _Handler(RequestHandler):
    """One connection."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._loop.call_later(limits.FIRST_REQUEST_WITHIN_S, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status >= 500 and not isinstance(exc, ConnectionError):
            log.error("connection failed", status=status, error=repr(exc))
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun; another one would be read as part of it")
        response = refused(_error(status, exc), request)
        response.headers.update(HEADERS)
        response.force_close()
        return response


def _error(status: int, exc: BaseException | None) -> DomainError:
    if isinstance(exc, LineTooLong):
        return DomainError(Kind.INVALID, "header_too_large", {"max": limits.HEADER_MAX_BYTES})
    return DomainError(Kind.INVALID, "malformed_request") if status < 500 else DomainError(Kind.UNAVAILABLE, "internal")


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server  # only ``__call__`` differs: which class a connection gets
        return server
