"""Secrets and signatures, as the open convention for webhooks has them (standardwebhooks.com): whoever has a library for it needs no code.

``webhook-signature`` is ``v1,`` and the Base64 of HMAC-SHA256 over ``<webhook-id>.<webhook-timestamp>.<body>``; while a secret is being
replaced there are two, with a space between them.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from hashlib import sha256
from secrets import token_bytes
from typing import Final

from libs.contracts.auth.webhooks import SECRET_BYTES, SECRET_MAX_BYTES, SECRET_MIN_BYTES, SECRET_PREFIX

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"


def new_secret() -> str:
    return SECRET_PREFIX + b64encode(token_bytes(SECRET_BYTES)).decode()


def is_secret(text: str) -> bool:
    return key_of(text) is not None


def key_of(secret: str) -> bytes | None:
    """The bytes that sign; None for what is no secret."""
    if not secret.startswith(SECRET_PREFIX):
        return None
    try:
        key = b64decode(secret[len(SECRET_PREFIX) :], validate=True)
    except (NotBase64, ValueError):
        return None
    return key if SECRET_MIN_BYTES <= len(key) <= SECRET_MAX_BYTES else None


def signed(secrets: Sequence[str], id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery, signed with each of the secrets."""
    content = f"{id_}.{timestamp}.".encode() + body
    signatures = (b64encode(hmac.digest(key, content, sha256)).decode() for secret in secrets if (key := key_of(secret)) is not None)
    return {ID: id_, TIMESTAMP: str(timestamp), SIGNATURE: " ".join(f"v1,{one}" for one in signatures)}
