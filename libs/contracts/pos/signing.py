"""The end of a receipt that awaits a signature (KassenSichV): signed, or unsigned for a reason. Exactly one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from libs.domain.events import Event, event

NO_UNIT: Final = "no_signing_unit"
UNSIGNED_REASONS: Final = (NO_UNIT, "signer_failed", "signer_timeout", "tax_rate_without_slot")


class Signature(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a security module (TSE) answers to the end of a process: ``transaction`` and ``counter`` run without gaps, ``serial`` is the
    module's (hex), ``client`` the till as the module knows it, ``public_key`` and ``signature`` base64. ``process_data`` is signed byte
    by byte (BSI TR-03153, DSFinV-K appendix I)."""

    client: str
    process_type: str
    process_data: str
    transaction: int
    counter: int
    serial: str
    started: datetime
    finished: datetime
    algorithm: str
    time_format: str
    public_key: str
    signature: str


@event("receipt.signed")
class ReceiptSigned(Event, frozen=True, kw_only=True):
    receipt: str
    signature: Signature
    at: datetime


@event("receipt.unsigned")
class ReceiptUnsigned(Event, frozen=True, kw_only=True):
    """A signature was awaited and did not come. ``reason`` is one of ``UNSIGNED_REASONS``; later ones may be added."""

    receipt: str
    reason: str
    at: datetime


class EndSigning(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``signature`` None: unsigned, for ``reason``."""

    receipt: str
    signature: Signature | None = None
    reason: str = ""


class SignatureState(msgspec.Struct, frozen=True, kw_only=True):
    """``signature`` None: unsigned, for ``reason``; no reason: the signer has not answered yet. ``qr``: what the receipt's QR code says."""

    receipt: str
    signature: Signature | None
    reason: str
    qr: str
