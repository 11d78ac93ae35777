"""Accounts that payments draw on, in memory: they keep what the port asks of an adapter, and fail in every way it allows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from services.pos.tenders import Approved, Declined, DeclineReason, Tender


class Accounts:
    """``balances`` by reference; an unknown one is declined. ``before`` and ``after`` run around each question with its name and the
    tender, and may fail or hang: before, nothing was done; after, everything was."""

    def __init__(self, **balances: int) -> None:
        self.balances = balances
        self.reserved: dict[str, Tender] = {}
        self.taken: dict[str, Tender] = {}
        self.released: set[str] = set()
        self.returned: dict[str, Tender] = {}
        self.asked: Counter[str] = Counter()
        self.declines: dict[str, DeclineReason] = {}
        self.before: Callable[[str, Tender], Awaitable[Any]] = lambda *_: asyncio.sleep(0)
        self.after: Callable[[str, Tender], Awaitable[Any]] = lambda *_: asyncio.sleep(0)

    async def reserve(self, tender: Tender) -> Approved | Declined:
        await self._begin("reserve", tender)
        answer = self.now_reserve(tender)
        await self.after("reserve", tender)
        return answer

    def now_reserve(self, tender: Tender) -> Approved | Declined:
        """Also what a request does that was on its way for long."""
        if tender.id in self.reserved or tender.id in self.taken:
            return Approved()
        account = tender.reference or ""
        if tender.id in self.released:
            return Declined()
        if account not in self.balances:
            return Declined("account_unknown")
        if account in self.declines:
            return Declined(self.declines[account])
        if self.balances[account] < tender.amount:
            return Declined("balance_too_low")
        self.balances[account] -= tender.amount
        self.reserved[tender.id] = tender
        return Approved()

    async def confirm(self, tender: Tender) -> None:
        await self._begin("confirm", tender)
        assert tender.id not in self.released, "taken and released"
        if tender.id not in self.taken:
            self.taken[tender.id] = self.reserved.pop(tender.id)
        await self.after("confirm", tender)

    async def release(self, tender: Tender) -> None:
        await self._begin("release", tender)
        assert tender.id not in self.taken, "released after it was taken"
        self.released.add(tender.id)
        if self.reserved.pop(tender.id, None) is not None:
            self.balances[tender.reference or ""] += tender.amount
        await self.after("release", tender)

    async def refund(self, tender: Tender, of: str) -> None:
        await self._begin("refund", tender)
        assert self.taken[of].reference == tender.reference, "given back to another account"
        if tender.id not in self.returned:
            self.returned[tender.id] = tender
            self.balances[tender.reference or ""] += tender.amount
        await self.after("refund", tender)

    async def _begin(self, question: str, tender: Tender) -> None:
        assert tender.amount > 0
        self.asked[question] += 1
        await self.before(question, tender)
