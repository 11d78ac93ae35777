"""The gateway as a process: one HTTP server, one connection to the bus."""

from __future__ import annotations

import asyncio
import contextlib
import os

import structlog
import uvloop
from aiohttp import web

from libs.blobs.store import Blobs
from libs.bus.client import Client
from libs.bus.connection import Connection, connect
from libs.domain.clock import Clock, SystemClock
from libs.domain.errors import DomainError
from libs.runtime import databases, logs
from libs.runtime.asking import Services
from libs.runtime.config import SettingInvalid, Settings
from libs.runtime.measures import Exposition, ProcessMeasures, Pulse
from libs.runtime.operations import Health, Operations
from libs.runtime.service import announce_ready, settle_memory, until_stopped
from libs.runtime.spans import open_spans
from services.gateway import bodies, limits, swagger
from services.gateway.dikas.routes import ROUTES
from services.gateway.dikas.serve import Server, expected, unknown_routes
from services.gateway.front import Front
from services.gateway.identity import Identities
from services.gateway.measures import Requests
from services.gateway.rates import Rates
from services.gateway.readiness import Readiness
from services.gateway.tls import Certificate
from services.gateway.wire import Runner
from services.gateway.zeyos import routes as zeyos
from services.gateway.zeyos.serve import Server as ZeyosServer

log = structlog.get_logger(__name__)


class Gateway:
    """Started with ``start``, stopped with ``stop``; ``port`` 0 takes a free one (``address`` tells). Files are kept beside the logs
    unless it is told another database. ``clock`` stamps what is asked for; the life of tokens is real time all the same."""

    def __init__(self, settings: Settings, port: int | None = None, *, blobs_dsn: str = "", clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._port = settings.port if port is None else port
        self._blobs = Blobs(blobs_dsn or databases.log_dsn(settings.postgres_dsn))
        self.pulse = Pulse()
        self.connection: Connection
        self.operations: Operations
        self._identities: Identities
        self._runner: web.AppRunner
        self._site: web.TCPSite
        self._scheme = "http"
        self._watch: asyncio.Task[None] | None = None
        self._spans = open_spans(settings, "gateway")

    async def start(self) -> None:
        self.connection = await connect(self._settings.nats_url, name="gateway")
        client = Client(self.connection)
        await client.open()
        services = Services(client)
        self._identities = Identities(self.connection, services, default_instance=self._settings.instance)
        await self._identities.start()
        rates = Rates(self._settings.rate_limit)
        requests = Requests(rates.__len__)
        health = Health(self.pulse, Readiness(self.connection, services))
        exposition = Exposition(ProcessMeasures("gateway", self.pulse, self.connection, [client.counts]), requests)
        self.operations = Operations(self._settings, exposition, health)
        self._runner = Runner(
            self._app(
                Server(services, self._identities, self._blobs, self._clock),
                ZeyosServer(services, self._identities, self._blobs, self._clock),
                Front(self._identities, rates, requests, self._spans, self.pulse, verbose=self._settings.log_level == "debug"),
                health,
            ),
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=limits.KEEPALIVE_S,
            max_field_size=limits.HEADER_MAX_BYTES,
            max_line_size=limits.HEADER_MAX_BYTES,
            shutdown_timeout=limits.FINISH_WITHIN_S,
        )
        await self._runner.setup()
        context = None
        if self._settings.tls_cert is not None and self._settings.tls_key is not None:
            certificate = Certificate(self._settings.tls_cert, self._settings.tls_key)
            context = certificate.context
            self._watch = asyncio.get_running_loop().create_task(certificate.watch())
        self._scheme = "http" if context is None else "https"
        self._site = web.TCPSite(self._runner, self._settings.host, self._port, reuse_port=True, ssl_context=context)
        await self._site.start()
        self.pulse.start()
        await self.operations.start()

    @property
    def address(self) -> str:
        host, port = self._runner.addresses[0][:2]
        return f"{self._scheme}://{host}:{port}"

    async def stop(self) -> None:
        """Stops accepting, serves on for a moment, then closes."""
        if self._watch is not None:
            self._watch.cancel()
        await self._site.stop()
        await asyncio.sleep(limits.SERVE_ON_S)
        await self._runner.cleanup()
        await self.operations.stop()
        await self.pulse.stop()
        if self._spans is not None:
            await self._spans.stop()
        await self._identities.stop()
        await self._blobs.close()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(0.3):
                await self.connection.close()

    def _app(self, server: Server, erp: ZeyosServer, front: Front, health: Health) -> web.Application:
        app = web.Application(client_max_size=bodies.BODY_MAX_BYTES, middlewares=[front.middleware, unknown_routes, zeyos.unknown_routes])
        for route in ROUTES:
            handler = server.handler(route)
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                app.router.add_route(method, route.path, handler, expect_handler=expected)
        for route in zeyos.ROUTES:
            handler = erp.handler(route, zeyos.FIELDS.get(route.section, {}))
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                for path in zeyos.paths(route):
                    app.router.add_route(method, path, handler, expect_handler=expected)
        health.add(app)
        swagger.add(app)
        front.add(app)
        return app


async def _serve(settings: Settings) -> None:
    gateway = Gateway(settings)
    await gateway.start()
    settle_memory()
    announce_ready(gateway.operations.address)
    log.info("ready", address=gateway.address, pid=os.getpid())
    await until_stopped(gateway.connection)
    await gateway.stop()


def main() -> None:
    settings = Settings.from_env(os.environ)
    logs.configure("gateway", settings.log_level)
    try:
        uvloop.run(_serve(settings))
    except (DomainError, SettingInvalid) as error:
        log.error("cannot start", reason=str(error))
        raise SystemExit(1) from error
