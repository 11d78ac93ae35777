"""A client of the ERP's dialect: what it sends is JSON unless a form is given, what comes back is JSON or one line of text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp

from tests.house import ANSWER_WITHIN_S, BODY


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json; charset=utf-8", (self.status, self.raw)
        return json.loads(self.raw, parse_float=Decimal)

    @property
    def text(self) -> str:
        assert self.headers["Content-Type"] == "text/plain; charset=utf-8", (self.status, self.raw)
        return self.raw.decode()

    @property
    def tag(self) -> str:
        return self.headers["ETag"]


class Erp:
    def __init__(self, url: str, instance: str) -> None:
        self.instance = instance
        self.token = ""
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        self.http = aiohttp.ClientSession(url, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        await self.http.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        form: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        instance: str | None = None,
    ) -> Reply:
        """``path`` below the instance. ``token``: another one, empty for none."""
        token = self.token if token is None else token
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        content: Any = raw
        if body is not None:
            content = BODY.encode(body)
        if form is not None:
            content = aiohttp.FormData(form)
        elif content is not None:
            sent["Content-Type"] = "application/json"
        url = f"/{self.instance if instance is None else instance}/{path}"
        async with self.http.request(method, url, data=content, headers={**sent, **(headers or {})}) as answer:
            reply = Reply(answer.status, answer.headers, await answer.read())
        if reply.status >= 400 and method != "HEAD":
            assert reply.text, reply
            assert "\n" not in reply.text, reply
        return reply

    async def login(self, name: str = "admin", password: str = "admin", **more: Any) -> Any:
        """A second login with the same ``identifier`` ends the first."""
        body = {"name": name, "password": password, "identifier": "test", **more}
        reply = await self.ask("POST", "auth/v1/login", body, token="")
        assert reply.status == 200, reply
        self.token = reply.json["token"]
        return reply.json

    async def list(self, **asked: Any) -> Any:
        reply = await self.ask("POST", "api/v1/items", asked)
        assert reply.status == 200, reply.raw
        return reply.json

    async def names(self, **asked: Any) -> list[str]:
        return [row["name"] for row in await self.list(fields=["name"], **asked)]

    async def refused(self, **asked: Any) -> str:
        reply = await self.ask("POST", "api/v1/items", asked)
        assert reply.status == 400, (reply.status, reply.raw[:500])
        return reply.text

    async def one(self, name: str) -> Any:
        (row,) = await self.list(filters={"name": name})
        return row
