"""A receipt in people's hands: copies, what it says about a business meal, and mail. All of it stands on the receipt's stream."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from libs.contracts.pos.commands import Receipt
from libs.contracts.pos.events import Hospitality
from libs.domain.events import Event, event

COPIES_MAX: Final = 999
HOSPITALITIES_MAX: Final = 20  # how often it may be noted anew
MAILS_MAX: Final = 20  # per receipt
GUESTS_MAX: Final = 50
GUEST_MAX_CHARS: Final = 100
OCCASION_MAX_CHARS: Final = 200
ADDRESS_MAX_CHARS: Final = 254

Language = Literal["de", "en"]


@event("receipt.reprinted")
class ReceiptReprinted(Event, frozen=True, kw_only=True):
    """``copy`` counts from 1; the original is none."""

    receipt: str
    copy: int
    staff: str
    at: datetime


@event("receipt.hospitality_noted")
class HospitalityNoted(Event, frozen=True, kw_only=True):
    """Takes the place of what was noted before."""

    receipt: str
    hospitality: Hospitality
    staff: str
    at: datetime


@event("receipt.mail_requested")
class MailRequested(Event, frozen=True, kw_only=True):
    """The receipt is to be sent; what became of it follows."""

    receipt: str
    mail: str
    to: str
    language: str
    staff: str
    at: datetime


@event("receipt.mailed")
class ReceiptMailed(Event, frozen=True, kw_only=True):
    """The mail server took it."""

    receipt: str
    mail: str
    at: datetime


@event("receipt.mail_failed")
class MailFailed(Event, frozen=True, kw_only=True):
    """The mail server did not take it. The same request may be repeated, and may then succeed."""

    receipt: str
    mail: str
    reason: str
    at: datetime


# --- what can be asked ----------------------------------------------------------------------------------------------------------


class Reprint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    receipt: str


class NoteHospitality(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    receipt: str
    hospitality: Hospitality


class MailReceipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    receipt: str
    to: str
    language: Language = "de"


class EndMail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``reason`` empty: the server took it."""

    receipt: str
    mail: str
    reason: str = ""


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    receipt: str
    to: str


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    receipt: Receipt
    copy: int


class Paper(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A receipt to be written out: ``copy`` 0 is the original."""

    receipt: str
    language: Language = "de"
    copy: int = 0
    hospitality: bool = False


class PaperText(msgspec.Struct, frozen=True, kw_only=True):
    text: str


class PaperPdf(msgspec.Struct, frozen=True, kw_only=True):
    content: bytes
