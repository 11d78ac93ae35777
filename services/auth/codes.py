"""Authorization codes: what was agreed at the login page, sealed. Nothing is stored; that a code is good once follows from the stream of
its token, which its number names."""

from __future__ import annotations

import base64
from hashlib import sha256
from secrets import compare_digest, token_bytes
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.domain.errors import DomainError, Kind

KEY_BITS: Final = 256
NONCE_BYTES: Final = 12
CODE_MAX_CHARS: Final = 2_000
INVALID: Final = DomainError(Kind.UNAUTHENTICATED, "code_invalid")


class Agreed(msgspec.Struct, frozen=True, kw_only=True):
    """``credential``: the name of the password's hash that was shown; ``until`` in seconds since 1970."""

    number: UUID
    instance: int
    user: str
    credential: str
    application: str
    redirect_uri: str
    challenge: str
    until: float

    def is_redeemed_by(self, application: str, redirect_uri: str, verifier: str, at: float) -> bool:
        same = self.application == application and self.redirect_uri == redirect_uri
        return same and at < self.until and compare_digest(challenge_of(verifier), self.challenge)


def challenge_of(verifier: str) -> str:
    """PKCE's S256."""
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def new_code_key() -> bytes:
    return AESGCM.generate_key(KEY_BITS)


class Codes:
    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, agreed: Agreed) -> str:
        nonce = token_bytes(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, msgspec.msgpack.encode(agreed), None)
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, code: str) -> Agreed:
        """Raises ``code_invalid``."""
        try:
            if len(code) > CODE_MAX_CHARS:
                raise ValueError
            raw = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
            return msgspec.msgpack.decode(self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], None), type=Agreed)
        except (ValueError, InvalidTag, msgspec.DecodeError):
            raise INVALID from None
