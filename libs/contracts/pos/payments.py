"""Payments that draw on accounts elsewhere: a voucher, a customer's credit, a house tab. Each has a stream, ``payment-<payment>``.

It begins with ``payment.started`` and has exactly one end: ``payment.completed``, in one append with the ``receipt.issued`` that names it,
or ``payment.abandoned``. What follows from the end is told to the accounts, and noted once they all know. A receipt that takes another one
back is start and end by itself; that the accounts have their money back is noted under the payment it names.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from libs.contracts.pos.commands import PayTable, Sell
from libs.contracts.pos.sync import Refusal
from libs.domain.events import Event, event


class DrawnTender(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A part of a payment that draws on an account: ``id`` names it for ever; ``amount`` in minor units."""

    id: str
    type: int
    amount: int
    reference: str | None = None


@event("payment.started")
class PaymentStarted(Event, frozen=True, kw_only=True):
    """What is to be paid, as a ``sale`` over the counter or a ``bill`` of a table with its lines named; ``due`` with tip, in minor units.
    Nothing was asked of any account before this."""

    payment: str
    due: int
    currency: str
    tenders: tuple[DrawnTender, ...]
    staff: str
    at: datetime
    sale: Sell | None = None
    bill: PayTable | None = None


@event("payment.completed")
class PaymentCompleted(Event, frozen=True, kw_only=True):
    """The receipt is issued, in the same append; what was reserved is taken."""

    payment: str
    receipt: str
    at: datetime


@event("payment.abandoned")
class PaymentAbandoned(Event, frozen=True, kw_only=True):
    """There is no receipt and there will be none; nothing is taken. ``refusal`` is what whoever asked is told."""

    payment: str
    refusal: Refusal
    at: datetime


@event("payment.confirmed")
class PaymentConfirmed(Event, frozen=True, kw_only=True):
    """Every account knows that its part was taken."""

    payment: str
    at: datetime


@event("payment.released")
class PaymentReleased(Event, frozen=True, kw_only=True):
    """Every account knows that nothing is taken."""

    payment: str
    at: datetime


@event("payment.returned")
class PaymentReturned(Event, frozen=True, kw_only=True):
    """Every account has back what ``receipt`` gives back."""

    payment: str
    receipt: str
    at: datetime


class CompletePayment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything is reserved: issue the receipt. ``sale`` or ``bill`` as the payment was started with."""

    payment: str
    sale: Sell | None = None
    bill: PayTable | None = None


class AbandonPayment(msgspec.Struct, frozen=True, kw_only=True):
    payment: str
    refusal: Refusal


class NotePayment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The accounts know. ``receipt``: the one that gives back; empty where the payment itself tells what they know."""

    payment: str
    receipt: str = ""


class StartedPayment(msgspec.Struct, frozen=True, kw_only=True):
    payment: str
