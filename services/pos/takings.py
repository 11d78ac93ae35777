"""What of a payment stayed in the house, and what of that is tip.

Guests hand over more than is due: the tip they want to give, and cash they get change for. Payments settle the bill in the order they
came, so what is beyond it lies in the last ones: the change in the last that give change, the tip in the last of what then remains.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from libs.contracts.pos.events import PaymentTaken
from libs.contracts.pos.payment_kinds import PAYMENT_KINDS


class Taking(msgspec.Struct, frozen=True, gc=False):
    """A payment in minor units: ``amount`` is what stayed (handed over minus ``change``), ``tip`` the part of it above the bill."""

    type: int
    amount: int
    change: int = 0
    tip: int = 0


def takings(payments: Sequence[PaymentTaken], change: int, tip: int) -> tuple[Taking, ...]:
    """One for each payment, in order: ``Σ amount = Σ payments − change = gross + tip``. Figures that take something back are negative,
    and so are their parts: a receipt and its void cancel each other out, payment by payment."""
    if not change and not tip:
        return tuple(Taking(payment.type, payment.amount) for payment in payments)
    changes = _from_the_last([payment.amount if PAYMENT_KINDS[payment.type].gives_change else 0 for payment in payments], change)
    stayed = [payment.amount - part for payment, part in zip(payments, changes, strict=True)]
    tips = _from_the_last(stayed, tip)
    return tuple(Taking(payment.type, *parts) for payment, *parts in zip(payments, stayed, changes, tips, strict=True))


def _from_the_last(amounts: Sequence[int], part: int) -> list[int]:
    """``part`` as it lies in ``amounts``, the last one first. What they do not hold, whatever the reason, is in the last one too, so that
    the sum is always ``part``."""
    sign = -1 if part < 0 else 1
    found = [0] * len(amounts)
    left = sign * part
    for ix in reversed(range(len(amounts))):
        taken = min(left, max(0, sign * amounts[ix]))
        found[ix] = sign * taken
        left -= taken
    if amounts:
        found[-1] += sign * left
    return found
