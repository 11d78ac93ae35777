"""What a signature looks like to those who check it."""

from __future__ import annotations

from datetime import UTC, datetime

from libs.contracts.pos.signing import Signature


def qr_of(signature: Signature) -> str:
    """The text of the receipt's QR code (DSFinV-K, version V0)."""
    fields = (
        "V0",
        signature.client,
        signature.process_type,
        signature.process_data,
        str(signature.transaction),
        str(signature.counter),
        _moment(signature.started),
        _moment(signature.finished),
        signature.algorithm,
        signature.time_format,
        signature.signature,
        signature.public_key,
    )
    return ";".join(fields)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
