"""The ways a guest can pay, as one table. Everything that depends on a way of paying reads it here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec


class PaymentKind(msgspec.Struct, frozen=True):
    """``code`` is what clients send. ``cash``: it moves the drawer. ``gives_change``: more than is due may be handed over.
    ``draws``: it draws on an account elsewhere, which is asked before there is a receipt; taken only where that account is plugged in."""

    code: int
    key: str
    cash: bool = False
    gives_change: bool = False
    draws: bool = False


PAYMENT_KINDS: Final[Mapping[int, PaymentKind]] = {
    kind.code: kind
    for kind in (
        PaymentKind(0, "cash", cash=True, gives_change=True),
        PaymentKind(1, "card"),
        PaymentKind(3, "net_cash", cash=True, gives_change=True),
        PaymentKind(4, "net_card"),
        PaymentKind(5, "bank_transfer"),
        PaymentKind(10, "customer_credit", draws=True),
        PaymentKind(20, "voucher", draws=True),
        PaymentKind(99, "house_tab", draws=True),
    )
}
