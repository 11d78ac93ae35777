"""Tills that do not give up: each request keeps its Idempotency-Key and is repeated until it is answered, for better or worse.

Some are impatient: they hang up after a few milliseconds and ask again, so answers get lost even while nothing is broken.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import aiohttp

from tests.chaos.ledger import Gone, Ledger, Promise

STAFF: Final = ("admin", "kim", "toni")
ATTEMPT_WITHIN_S: Final = 12.0  # a little more than the gateway's own deadline
ANSWER_WITHIN_S: Final = 240.0  # all attempts of one request together: NATS may be away for over a minute, and then something else
RENEW_EVERY_S: Final = 1200.0  # a third of a token's life
PAUSE_S: Final = 0.05
HASTE: Final = 0.05  # share of attempts that are broken off at once
HASTE_S: Final = (0.001, 0.04)
SHIFT_S: Final = (0.1, 0.6)
REFUNDS: Final = 0.3  # share of sales of which a piece comes back
LOOKS_BACK: Final = 0.15  # share of receipts that are read again or asked for again at once
LOST: Final = (aiohttp.ClientError, TimeoutError, ConnectionError)

Answer = tuple[int, bytes, bool]


class Counter:
    """What all tills of a load share: the connections, the menu, the tables, the ledger."""

    def __init__(self, http: aiohttp.ClientSession, ledger: Ledger) -> None:
        self.http = http
        self.ledger = ledger
        self.tokens: dict[str, str] = {}
        self.articles: list[str] = []
        self.tables: list[str] = []

    async def open(self) -> None:
        await self.log_in()
        reader = Till(self, STAFF[0], "reader", random.Random(0))
        self.articles = [article["id"] for article in await reader.read("articles")]
        self.tables = [table["id"] for table in await reader.read("tables") if not table["cleaningRequired"]]

    async def log_in(self) -> None:
        for user in STAFF:
            await self._log_in(user)

    async def _log_in(self, user: str) -> None:
        body = {"username": user, "password": user}
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while True:
            try:
                async with self.http.post("/api/v1/auth/login", json=body) as response:
                    if response.status == 200:
                        self.tokens[user] = (await response.json())["data"]["accessToken"]
                        return
            except LOST:
                pass
            assert time.monotonic() < deadline, f"{user} could not log in"
            await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def counter(url: str, ledger: Ledger) -> AsyncIterator[Counter]:
    timeout = aiohttp.ClientTimeout(total=ATTEMPT_WITHIN_S)
    async with aiohttp.ClientSession(url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
        made = Counter(http, ledger)
        await made.open()
        yield made


class Till:
    """One device. ``name`` begins its keys; ``dice`` decides what it does."""

    def __init__(self, counter: Counter, user: str, name: str, dice: random.Random, haste: float = 0.0) -> None:
        self._counter = counter
        self._ledger = counter.ledger
        self._user = user
        self._name = name
        self._dice = dice
        self._haste = haste
        self._count = 0

    # the trade

    async def sell(self, key: str = "") -> Promise | None:
        """A sale over the counter of one to three lines."""
        key = key or self._key()
        return await self._receipt("payments/direct-sale", {"items": self._items(key), "payments": [{"type": 0}]}, key)

    async def serve(self, table: str) -> None:
        """Order, perhaps order again, pay a part, pay the rest. Another till at the same table may have paid first: 409; or 404, if the
        table was empty since and somebody ordered again."""
        if self._dice.random() < 0.3:
            await self.order(table)
        if (order := await self.order(table)) is not None and self._dice.random() < 0.5:
            await self.pay(table, [{"id": order.data["items"][0]["id"], "quantity": 1}])
        await self.pay(table)

    async def order(self, table: str, key: str = "") -> Promise | None:
        key = key or self._key()
        promise = await self._promised("open-bons", {"tableId": table, "items": self._items(key)}, key)
        if promise is not None:
            self._ledger.orders[key] = promise
        return promise

    async def pay(self, table: str, items: list[dict[str, Any]] | None = None) -> Promise | None:
        """Everything open, or these items, in cash."""
        chosen = {} if items is None else {"items": items}
        return await self._receipt("payments/table", {"tableId": table, "payments": [{"type": 0}], **chosen})

    async def refund(self, sold: Promise) -> Promise | None:
        """One piece of what this till sold last."""
        return await self._receipt(f"receipts/{sold.id}/refund", {"items": [{"id": sold.data["items"][0]["id"], "quantity": 1}]})

    async def sync(self, sales: int) -> None:
        """What was sold while the line was down, in one upload."""
        key = self._key()
        items = [
            {"id": f"{key}-{number}", "sequence": number, "clientTime": datetime.now(UTC).isoformat(), "type": "sale",
             "body": {"items": self._items(f"{key}-{number}"), "payments": [{"type": 0}]}}
            for number in range(sales)
        ]  # fmt: skip
        answer = await self._promised("sync", {"items": items}, key)
        for one in answer.data["items"] if answer is not None else ():
            if one["status"] == "done":
                self._ledger.receipts[one["id"]] = Promise(one["id"], one["receipt"])
            else:
                self._ledger.faults.append(f"{one['id']}: {one}")

    async def shift(self) -> None:
        """Somebody sells in it for a while; then it is counted and settled."""
        opened = await self._promised("shifts", {"openingFloat": 100}, self._key())
        if opened is not None:
            await asyncio.sleep(self._dice.uniform(*SHIFT_S))
            key = self._key()
            settled = await self._promised(f"shifts/{opened.id}/settle", {"countedCash": 100}, key)
            if settled is not None:
                self._ledger.shifts[key] = settled

    async def close_day(self) -> None:
        key = self._key()
        report = await self._promised("day-close", {"confirm": ["openTables"]}, key)
        if report is not None:
            self._ledger.reports[key] = report

    async def _receipt(self, path: str, body: Any, key: str = "") -> Promise | None:
        key = key or self._key()
        promise = await self._promised(path, body, key)
        if promise is not None:
            self._ledger.receipts[key] = promise
            if not promise.behind and self._dice.random() < LOOKS_BACK:
                await self._look_back(path, body, promise)
        return promise

    async def _look_back(self, path: str, body: Any, promise: Promise) -> None:
        """What was answered must be there to read, and be the answer to every repeat."""
        if await self.read(f"receipts/{promise.id}") != promise.data:
            self._ledger.faults.append(f"{promise.key}: {promise.id} reads differently than it was answered")
        again = await self._promised(path, body, promise.key)
        if again is None or again.data != promise.data:
            self._ledger.faults.append(f"{promise.key}: the repeat was answered {again}, before it was {promise}")

    def _items(self, key: str) -> list[dict[str, Any]]:
        """One to three lines; the same for the same key."""
        dice = random.Random(key)
        articles = dice.sample(self._counter.articles, dice.randint(1, 3))
        return [{"articleId": article, "quantity": dice.randint(1, 3)} for article in articles]

    def _key(self) -> str:
        self._count += 1
        return f"{self._name}-{self._count}"

    # asking

    async def _promised(self, path: str, body: Any, key: str) -> Promise | None:
        """What a 200 or 201 said; None for a refusal that is final, or if there was no answer to be had in time."""
        self._ledger.open[key] = path
        answer = await self._until_answered(lambda timeout: self._post(path, body, key, timeout), key)
        if answer is None:
            return None
        del self._ledger.open[key]
        status, raw, behind = answer
        self._ledger.behind += behind
        if status in (200, 201):
            return Promise(key, json.loads(raw, parse_float=Decimal)["data"], behind)
        self._ledger.refused[key] = status
        if status == 404 and path == "payments/table" and "items" in body:
            [item] = body["items"]
            self._ledger.gone[key] = Gone(item["id"], datetime.now(UTC))  # the check looks whether that was so
        elif status != 409:
            self._ledger.faults.append(f"{key}: {path} was answered {status} {raw[:300]!r}")
        return None

    async def read(self, path: str) -> Any:
        answer = await self._until_answered(lambda timeout: self._get(path, timeout), path)
        if answer is None or answer[0] != 200:
            self._ledger.faults.append(f"reading {path}: {answer}")
            return None
        return json.loads(answer[1], parse_float=Decimal)["data"]

    async def _until_answered(self, ask: Callable[[float], Awaitable[Answer]], what: str) -> Answer | None:
        since = time.monotonic()
        while (left := since + ANSWER_WITHIN_S - time.monotonic()) > 0:
            hasty = self._dice.random() < self._haste
            try:
                answer = await ask(self._dice.uniform(*HASTE_S) if hasty else min(left, ATTEMPT_WITHIN_S))
                if answer[0] not in (500, 503):
                    self._ledger.longest_s = max(self._ledger.longest_s, time.monotonic() - since)
                    return answer
                if answer[0] == 500:
                    self._ledger.faults.append(f"{what}: {answer[1][:300]!r}")
            except LOST:
                pass
            self._ledger.repeats += 1
            await asyncio.sleep(self._dice.uniform(0, 2 * PAUSE_S))
        self._ledger.faults.append(f"{what}: no answer within {ANSWER_WITHIN_S:g} s")
        return None

    async def _post(self, path: str, body: Any, key: str, timeout: float) -> Answer:
        headers = {**self._bearer(), "Idempotency-Key": key}
        limit = aiohttp.ClientTimeout(total=timeout)
        async with self._counter.http.post(f"/api/v1/{path}", json=body, headers=headers, timeout=limit) as response:
            return response.status, await response.read(), "Theke-Projection" in response.headers

    async def _get(self, path: str, timeout: float) -> Answer:
        limit = aiohttp.ClientTimeout(total=timeout)
        async with self._counter.http.get(f"/api/v1/{path}", headers=self._bearer(), timeout=limit) as response:
            return response.status, await response.read(), False

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._counter.tokens[self._user]}"}


class Load:
    """``tills`` at work until ``stop``. There are fewer tables than tills, so some share one."""

    def __init__(self, counter: Counter, name: str, tills: int, seed: int, pause_s: tuple[float, float]) -> None:
        self._counter = counter
        self._stopping = asyncio.Event()
        self._pause_s = pause_s
        dice = random.Random(seed)
        tables = counter.tables[: max(1, tills * 3 // 4)]
        self._tasks = [
            asyncio.create_task(
                self._work(
                    Till(counter, STAFF[ix % len(STAFF)], f"{name}-{ix}", random.Random(dice.random()), HASTE),
                    tables[ix % len(tables)],
                    random.Random(dice.random()),
                    refunds=ix % len(STAFF) == 0,
                )
            )
            for ix in range(tills)
        ]
        office = Till(counter, STAFF[0], f"{name}-office", random.Random(dice.random()), HASTE)
        self._tasks += [asyncio.create_task(self._renew()), asyncio.create_task(self._run_office(office, random.Random(dice.random())))]

    async def _work(self, till: Till, table: str, dice: random.Random, *, refunds: bool) -> None:
        while not self._stopping.is_set():
            if dice.random() >= 0.5:
                await till.serve(table)
            elif (sold := await till.sell()) is not None and refunds and dice.random() < REFUNDS:
                await till.refund(sold)
            await asyncio.sleep(dice.uniform(*self._pause_s))

    async def _run_office(self, office: Till, dice: random.Random) -> None:
        """Shifts, days, and a till that comes home with what it sold."""
        while not self._stopping.is_set():
            await office.shift()
            await office.sync(dice.randint(1, 60))
            await office.close_day()
            await asyncio.sleep(dice.uniform(*self._pause_s))

    async def _renew(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), RENEW_EVERY_S)
            except TimeoutError:
                await self._counter.log_in()

    async def stop(self) -> None:
        """Every till finishes what it is at."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def load(counter: Counter, name: str, *, tills: int, seed: int, pause_s: tuple[float, float] = (0.02, 0.1)) -> AsyncIterator[Load]:
    working = Load(counter, name, tills, seed, pause_s)
    try:
        yield working
    finally:
        await working.stop()
