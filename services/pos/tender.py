"""What a guest hands over against what is due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from libs.contracts.pos.commands import PAYMENT_MAX_MINOR, PAYMENTS_MAX, REFERENCE_MAX_CHARS, TIP_MAX_MINOR, Payment
from libs.contracts.pos.events import PaymentTaken
from libs.contracts.pos.payment_kinds import PAYMENT_KINDS
from services.pos.faults import Faults, check_int, check_text

DRAWN: Final = frozenset(kind.code for kind in PAYMENT_KINDS.values() if kind.draws)


class Drawing(msgspec.Struct, frozen=True):
    """The payment a bill is settled in, and the ``kinds`` that may draw on an account elsewhere in it."""

    payment: str | None = None
    kinds: frozenset[int] = frozenset()


NOTHING_DRAWN: Final = Drawing()


class Settlement(msgspec.Struct, frozen=True):
    """``Σ payments = due + change``."""

    payments: tuple[PaymentTaken, ...]
    change: int


def drawn(payments: Sequence[PaymentTaken]) -> list[PaymentTaken]:
    return [payment for payment in payments if payment.type in DRAWN]


def check_tender(payments: Sequence[Payment], tip: int, faults: Faults, kinds: Collection[int] = ()) -> None:
    """Faults that can be seen without knowing what is due. Of the kinds that draw on accounts elsewhere, only ``kinds`` are taken, each
    account once."""
    check_int(tip, 0, TIP_MAX_MINOR, "tip", faults)
    if len(payments) > PAYMENTS_MAX:
        faults.invalid("payments", "too_many", max=PAYMENTS_MAX)
        return
    open_ended = 0
    accounts: set[tuple[int, str | None]] = set()
    for ix, payment in enumerate(payments):
        kind = PAYMENT_KINDS.get(payment.type)
        if kind is None:
            faults.invalid(f"payments[{ix}].type", "payment_type_unknown")
        elif kind.draws and kind.code not in kinds:
            faults.unprocessable(f"payments[{ix}].type", "payment_type_not_accepted", type=kind.code, kind=kind.key)
        elif kind.draws:
            if (payment.type, payment.reference) in accounts:
                faults.invalid(f"payments[{ix}].reference", "repeated")
            accounts.add((payment.type, payment.reference))
        if payment.reference is not None:
            check_text(payment.reference, REFERENCE_MAX_CHARS, f"payments[{ix}].reference", faults)
        check_int(payment.amount, 1, PAYMENT_MAX_MINOR, f"payments[{ix}].amount", faults)
        open_ended += payment.amount is None
        if payment.amount is None and open_ended > 1:
            faults.invalid(f"payments[{ix}].amount", "required")


def settle(payments: Sequence[Payment], due: int) -> Settlement:
    """Takes checked payments against ``due`` minor units. A payment without amount takes what is missing, and is left out
    if nothing is. Raises UNPROCESSABLE ``payment_short`` (``missing``) or ``change_exceeds_cash``."""
    missing = max(0, due - sum(payment.amount or 0 for payment in payments))
    taken = tuple(
        PaymentTaken(type=payment.type, amount=amount, reference=payment.reference)
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
