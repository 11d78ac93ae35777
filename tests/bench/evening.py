"""What goes on in an evening: tables that order and pay, screens that look at them, a till that was cut off, the end of the day."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp

from tests.bench import load

GUESTS: Final = 32  # each at a table of their own
SELLERS: Final = 16
LOOKERS: Final = 8
LOOK_EVERY_S: Final = 0.01
UPLOAD: Final = 1_000
DAY: Final = 10_000  # receipts
ANSWER_WITHIN_S: Final = 120.0
_ID: Final = re.compile(rb'"id":"(bon_[a-z0-9]+)"')
_NUMBER: Final = re.compile(rb'"number":(\d+)')


class House:
    """Theke as its clients see it: a token, three articles, and a table for every guest."""

    def __init__(self, port: int, floor_port: int) -> None:
        self.port = port
        self.floor_port = floor_port
        self.bearer: dict[str, str] = {}
        self.items: list[dict[str, Any]] = []
        self.tables: list[str] = []
        self._http: aiohttp.ClientSession

    async def open(self) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        self._http = aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", timeout=timeout)
        tokens = await self.ask("POST", "auth/login", {"username": "admin", "password": "admin"})
        self.bearer = {"Authorization": f"Bearer {tokens['accessToken']}"}
        articles = await self.ask("GET", "articles")
        self.items = [{"articleId": article["id"], "quantity": quantity} for article, quantity in zip(articles[:3], (2, 1, 3), strict=True)]
        for number in range(GUESTS):
            self.tables.append((await self.ask("POST", "tables", {"number": 500 + number}))["id"])

    async def close(self) -> None:
        await self._http.close()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        async with self._http.request(method, f"/api/v1/{path}", json=body, headers=self.bearer) as answer:
            assert answer.status < 300, (answer.status, await answer.text())
            return json.loads(await answer.read())["data"]

    @property
    def sale(self) -> bytes:
        return json.dumps({"items": self.items, "payments": [{"type": 0, "amount": 50}]}).encode()

    def sell(self, _: int) -> bytes:
        return load.post("/api/v1/payments/direct-sale", self.sale, self._once())

    def bare_sale(self, _: int) -> bytes:
        return load.post("/sale", self.sale, self.bearer)

    def _once(self) -> dict[str, str]:
        return {**self.bearer, "Idempotency-Key": uuid.uuid4().hex}

    # --- a table orders, pays and reads its receipt ---------------------------------------------------------------------------

    async def visit(self, connection: load.Client, guest: int) -> bool:
        order, bill = self._visit(guest)
        if await connection.ask(load.post("/api/v1/open-bons", order, self._once())) != 201:
            return False
        if await connection.ask(load.post("/api/v1/payments/table", bill, self._once())) != 201:
            return False
        found = _ID.search(connection.body)
        return found is not None and await connection.ask(load.get(f"/api/v1/receipts/{found[1].decode()}", self.bearer)) == 200

    async def bare_visit(self, connection: load.Client, guest: int) -> bool:
        order, bill = self._visit(guest)
        if await connection.ask(load.post("/order", order, self.bearer)) != 201:
            return False
        if await connection.ask(load.post("/pay", bill, self.bearer)) != 201:
            return False
        found = _NUMBER.search(connection.body)
        return found is not None and await connection.ask(load.get(f"/receipts/{found[1].decode()}", self.bearer)) == 200

    def _visit(self, guest: int) -> tuple[bytes, bytes]:
        table = {"tableId": self.tables[guest]}
        return json.dumps({**table, "items": self.items}).encode(), json.dumps({**table, "payments": [{"type": 0, "amount": 50}]}).encode()

    # --- screens that look at tables while others sell ------------------------------------------------------------------------

    async def looks(self, seconds: float) -> tuple[load.Figures, load.Figures, load.Figures]:
        """Of the bare SELECT, of Theke, and of the sales meanwhile; all three at once, so under the same load."""

        async def look(connection: load.Client, number: int) -> bool:
            return await connection.ask(load.get(f"/api/v1/tables/{self.tables[number]}", self.bearer)) == 200

        async def bare_look(connection: load.Client, number: int) -> bool:
            return await connection.ask(load.get(f"/tables/{self.tables[number]}", self.bearer)) == 200

        for table in self.tables[:LOOKERS]:
            await self.ask("POST", "open-bons", {"tableId": table, "items": self.items})
        bare, theke, sales = await asyncio.gather(
            load.rounds(self.floor_port, bare_look, LOOKERS, seconds, pause_s=LOOK_EVERY_S),
            load.rounds(self.port, look, LOOKERS, seconds, pause_s=LOOK_EVERY_S),
            load.run(self.port, self.sell, SELLERS, seconds),
        )
        return bare, theke, sales

    # --- offline sales and the end of the day ---------------------------------------------------------------------------------

    def _offline(self, first: int) -> dict[str, Sequence[Any]]:
        at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        body = {"items": self.items, "payments": [{"type": 0, "amount": 50}]}
        return {
            "items": [
                {"id": f"sale-{number}", "sequence": number, "clientTime": at, "type": "sale", "body": body}
                for number in range(first, first + UPLOAD)
            ]
        }

    async def uploads_twice(self) -> float:
        """Seconds for 1,000 offline sales, sent twice. Closes what was before, so that the next day is known."""
        await self.close_day()
        upload = self._offline(0)
        begins = time.perf_counter()
        once, twice = [await self.ask("POST", "sync", upload) for _ in range(2)]
        took = time.perf_counter() - begins
        assert once["done"] == UPLOAD
        assert once == twice
        return took

    async def long_day(self) -> tuple[float, float]:
        """Seconds for the X report and for closing a day of 10,000 receipts, 1,000 of which are there."""
        for first in range(UPLOAD, DAY, UPLOAD):
            await self.ask("POST", "sync", self._offline(first))
        begins = time.perf_counter()
        x = await self.ask("GET", "day-close/x-report")
        looked = time.perf_counter()
        report = await self.close_day()
        closed = time.perf_counter()
        assert x["totals"] == report["totals"]
        assert report["totals"]["receiptCount"] == DAY
        return looked - begins, closed - looked

    async def close_day(self) -> Any:
        return await self.ask("POST", "day-close", {"confirm": ["openTables"]})
