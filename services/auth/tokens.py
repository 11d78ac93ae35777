"""Access tokens (JWT, EdDSA) and refresh tokens (session, generation and a MAC over both). Both can be made again from the session's
state alone, so none is stored anywhere."""

from __future__ import annotations

import base64
import hmac
import secrets as random
from datetime import timedelta
from hashlib import sha256
from typing import Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.contracts.auth.commands import ACCESS_TOKEN_LIFE_S, TOKEN_MAX_CHARS, Tokens
from libs.domain.errors import DomainError, Kind
from services.auth.sessions import SessionState

ALGORITHM: Final = "EdDSA"
ISSUER: Final = "theke"
MAC_BYTES: Final = 32


def new_signing_key() -> bytes:
    """A private key, PEM."""
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def new_mac_key() -> bytes:
    return random.token_bytes(MAC_BYTES)


class TokenMint:
    def __init__(self, signing_key: bytes, mac_key: bytes) -> None:
        key = serialization.load_pem_private_key(signing_key, password=None)
        assert isinstance(key, Ed25519PrivateKey)
        self._key = key
        self._mac_key = mac_key
        self.public_key = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def pair(self, instance: int, session: str, state: SessionState, permissions: dict[str, bool], level: str = "") -> Tokens:
        """The tokens of the session's present generation; the same state gives the same tokens."""
        assert state.issued_at is not None
        claims = {
            "iss": ISSUER,
            "sub": state.user,
            "sid": session,
            "ins": instance,
            "gen": state.generation,
            "per": permissions,
            "lvl": level,
            "iat": state.issued_at.timestamp(),
            "exp": int((state.issued_at + timedelta(seconds=ACCESS_TOKEN_LIFE_S)).timestamp()),
        }
        access = jwt.encode(claims, self._key, algorithm=ALGORITHM)
        return Tokens(access_token=access, refresh_token=self.refresh_token(instance, session, state.generation))

    def refresh_token(self, instance: int, session: str, generation: int) -> str:
        """Of a session, or of what else has generations and a key of its own."""
        text = f"{instance}.{session}.{generation}"
        mac = hmac.new(self._mac_key, text.encode(), sha256).digest()
        return base64.urlsafe_b64encode(text.encode() + b"." + mac).decode().rstrip("=")

    def read_refresh(self, token: str) -> tuple[int, str, int]:
        """(instance, session, generation). Raises ``unauthenticated``."""
        try:
            if len(token) > TOKEN_MAX_CHARS:
                raise ValueError
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            text, mac = raw[: -MAC_BYTES - 1], raw[-MAC_BYTES:]
            instance, session, generation = text.decode().split(".")
            right = hmac.new(self._mac_key, text, sha256).digest()
            if not hmac.compare_digest(mac, right):
                raise ValueError
            return int(instance), session, int(generation)
        except ValueError:
            raise DomainError(Kind.UNAUTHENTICATED, "refresh_token_invalid") from None

    def session_of(self, access_token: str) -> tuple[str, str]:
        """(session, user) that an access token belongs to, expired or not. Raises ``unauthenticated``."""
        try:
            if len(access_token) > TOKEN_MAX_CHARS:
                raise jwt.InvalidTokenError
            claims = jwt.decode(
                access_token, self._key.public_key(), algorithms=[ALGORITHM], options={"verify_exp": False, "verify_iat": False}
            )
            return str(claims["sid"]), str(claims["sub"])
        except (jwt.InvalidTokenError, KeyError):
            raise DomainError(Kind.UNAUTHENTICATED, "access_token_invalid") from None
