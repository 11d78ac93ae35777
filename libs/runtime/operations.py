"""What a process tells its operators: ``/metrics``, ``/healthz`` and ``/readyz``, on a port of its own that is not for the public.

It does not go by way of the bus: a process that lost NATS must still be able to say so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from libs.runtime.config import Settings
from libs.runtime.measures import Exposition, Pulse

LIVE_WITHIN_S: Final = 5.0  # so long the event loop may stand still
LAG_MAX_EVENTS: Final = 5_000  # more than what a busy second makes; query tables further behind are not ready
LOOK_EVERY_S: Final = 1.0  # so often, at most, services are asked, whoever wants to know
REQUEST_MAX_BYTES: Final = 8 * 1024
CLOSE_WITHIN_S: Final = 0.2
HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "Theke"}
JSON: Final = "application/json; charset=utf-8"


class Waits(msgspec.Struct, frozen=True):
    """``what`` is not ready, and ``why``."""

    what: str
    why: str


Look = Callable[[], Awaitable[Sequence[Waits]]]
"""Everything that is not ready; nothing: ready."""


class Health:
    """The answers to "alive?" and "ready?" of one process."""

    def __init__(self, pulse: Pulse, look: Look) -> None:
        self._pulse = pulse
        self._look = look
        self._found: Sequence[Waits] = ()
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def healthz(self, _: web.Request) -> web.Response:
        """Alive: the loop turned within LIVE_WITHIN_S, whatever else is away."""
        late = self._pulse.late_s()
        alive = late <= LIVE_WITHIN_S
        return _json({"alive": alive, "late_s": round(late, 3)}, 200 if alive else 503)

    async def readyz(self, _: web.Request) -> web.Response:
        """Ready, or what is not and why."""
        async with self._turn:
            if time.monotonic() >= self._until:
                self._found = await self._look()
                self._until = time.monotonic() + LOOK_EVERY_S
        return _json({"ready": not self._found, "waits": self._found}, 503 if self._found else 200)

    def add(self, app: web.Application) -> None:
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)


def _json(answer: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), status=status, headers={**HEADERS, "Content-Type": JSON})


class Operations:
    """The listener of one process. ``address`` once it is started."""

    def __init__(self, settings: Settings, exposition: Exposition, health: Health) -> None:
        self._settings = settings
        self._exposition = exposition
        app = web.Application(client_max_size=REQUEST_MAX_BYTES)
        app.router.add_get("/metrics", self._metrics)
        health.add(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_WITHIN_S)

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.operations_host, self._settings.operations_port)
        await site.start()

    @property
    def address(self) -> str:
        host, port = self._runner.addresses[0][:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._exposition.text(), headers={**HEADERS, "Content-Type": CONTENT_TYPE_LATEST})
