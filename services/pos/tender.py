"""What a guest hands over against what is due."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from libs.contracts.pos.commands import PAYMENT_MAX_MINOR, PAYMENTS_MAX, TIP_MAX_MINOR, Payment
from libs.contracts.pos.events import PaymentTaken
from libs.contracts.pos.payment_kinds import PAYMENT_KINDS
from services.pos.faults import Faults, check_int


class Settlement(msgspec.Struct, frozen=True):
    """``Σ payments = due + change``."""

    payments: tuple[PaymentTaken, ...]
    change: int


def check_tender(payments: Sequence[Payment], tip: int, faults: Faults) -> None:
    """Faults that can be seen without knowing what is due."""
    check_int(tip, 0, TIP_MAX_MINOR, "tip", faults)
    if len(payments) > PAYMENTS_MAX:
        faults.invalid("payments", "too_many", max=PAYMENTS_MAX)
        return
    open_ended = 0
    for ix, payment in enumerate(payments):
        kind = PAYMENT_KINDS.get(payment.type)
        if kind is None:
            faults.invalid(f"payments[{ix}].type", "payment_type_unknown")
        elif not kind.accepted:
            faults.unprocessable(f"payments[{ix}].type", "payment_type_not_accepted", type=kind.code, kind=kind.key)
        check_int(payment.amount, 1, PAYMENT_MAX_MINOR, f"payments[{ix}].amount", faults)
        open_ended += payment.amount is None
        if payment.amount is None and open_ended > 1:
            faults.invalid(f"payments[{ix}].amount", "required")


def settle(payments: Sequence[Payment], due: int) -> Settlement:
    """Takes checked payments against ``due`` minor units. A payment without amount takes what is missing, and is left out
    if nothing is. Raises UNPROCESSABLE ``payment_short`` (``missing``) or ``change_exceeds_cash``."""
    missing = max(0, due - sum(payment.amount or 0 for payment in payments))
    taken = tuple(
        PaymentTaken(type=payment.type, amount=amount)
        for payment in payments
        if (amount := missing if payment.amount is None else payment.amount) > 0
    )
    change = sum(payment.amount for payment in taken) - due
    changeable = sum(payment.amount for payment in taken if PAYMENT_KINDS[payment.type].gives_change)
    faults = Faults()
    if change < 0:
        faults.unprocessable("payments", "payment_short", due=due, missing=-change)
    elif change > changeable:
        faults.unprocessable("payments", "change_exceeds_cash", due=due, change=change, cash=changeable)
    faults.refuse()
    return Settlement(taken, change)
