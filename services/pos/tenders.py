"""The port to accounts that payments draw on. An adapter is plugged in by kind of payment, in ``services.pos.service.TENDERS``.

What an adapter must hold, whoever asks it, how often and in whatever order:

- Asked the same about the same tender (its ``id``), it answers the same and does it once.
- ``release`` of a tender it has not heard of is remembered: a ``reserve`` that arrives after it reserves nothing.
- It never frees a reservation by itself. Only pos knows whether there is a receipt.
- What was reserved can be confirmed, and what was confirmed can be given back: neither is ever declined.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

DeclineReason = Literal["account_unknown", "account_blocked", "account_expired", "balance_too_low", "declined"]


class Tender(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be drawn on an account or given back to it: ``amount`` > 0 in minor units of ``currency``; ``reference`` as the guest
    showed it (a voucher's number), ``customer`` as the bill names one."""

    id: str
    instance: int
    payment: str
    type: int
    amount: int
    currency: str
    staff: str
    reference: str | None = None
    customer: str | None = None


class Approved(msgspec.Struct, frozen=True):
    """The amount is reserved until it is confirmed or released."""


class Declined(msgspec.Struct, frozen=True):
    """Nothing is reserved, and nothing will be for this tender. ``reason`` is what the guest is told."""

    reason: DeclineReason = "declined"


class TenderPort(Protocol):
    """Whatever a method raises, or no answer in time, means that nobody knows whether it was done; it is asked again."""

    async def reserve(self, tender: Tender) -> Approved | Declined: ...

    async def confirm(self, tender: Tender) -> None: ...

    async def release(self, tender: Tender) -> None: ...

    async def refund(self, tender: Tender, of: str) -> None:
        """Gives ``tender.amount`` back to the account that the tender ``of`` was drawn on."""
        ...
