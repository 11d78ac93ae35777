"""A system that takes webhooks: a server on this machine that checks every signature and keeps what it was sent."""

from __future__ import annotations

import asyncio
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from aiohttp import web

WITHIN_S = 20.0


@dataclass
class Taken:
    """A delivery as it arrived, and what it was answered."""

    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed_with(self, secret: str) -> bool:
        """As any receiver checks it, made anew here."""
        content = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        good = b64encode(hmac.new(b64decode(secret.removeprefix("whsec_")), content, sha256).digest()).decode()
        return any(hmac.compare_digest(one, f"v1,{good}") for one in self.headers["webhook-signature"].split(" "))


@dataclass
class Receiver:
    """``answer(event)``: the status, by itself 200."""

    url: str = ""
    taken: list[Taken] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], int] = lambda _: 200
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        status = self.answer(json.loads(body))
        self.taken.append(Taken({name.lower(): value for name, value in request.headers.items()}, body, status))
        self.news.set()
        return web.Response(status=status, headers={"Location": "/elsewhere"} if 300 <= status < 400 else {})

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """Events that were answered with 200, each as often as it came."""
        return [one.event for one in self.taken if one.status == 200]

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.accepted]

    async def until(self, done: Callable[[], bool]) -> None:
        """Waits until what was taken is enough."""
        async with asyncio.timeout(WITHIN_S):
            while not done():
                self.news.clear()
                await self.news.wait()

    async def count(self, many: int) -> list[dict[str, Any]]:
        await self.until(lambda: len(self.accepted) >= many)
        return self.accepted


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
