"""Secrets that must be read again, like the password of a mail server: kept encrypted in a service's store of secrets."""

from __future__ import annotations

from secrets import token_bytes
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.domain.errors import unavailable
from libs.runtime.secrets import Secrets

SEALING_KEY: Final = "sealing key"
KEY_BITS: Final = 256
NONCE_BYTES: Final = 12


class Sealed:
    """Texts that are kept encrypted (AES-256-GCM) and bound to their instance and name. The key is made once per service and lies in the
    same store under instance 0, so a copy of one instance's rows tells nothing."""

    def __init__(self, secrets: Secrets, key: bytes) -> None:
        self._secrets = secrets
        self._cipher = AESGCM(key)

    @classmethod
    async def open(cls, secrets: Secrets) -> Sealed:
        """Every replica finds the same key; the first one makes it."""
        return cls(secrets, await secrets.keep(0, SEALING_KEY, AESGCM.generate_key(KEY_BITS)))

    async def keep(self, instance: int, name: str, text: str) -> str:
        """Keeps a text unless the name is taken; returns what is there now."""
        nonce = token_bytes(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), _bound_to(instance, name))
        return self._opened(instance, name, await self._secrets.keep(instance, name, sealed))

    async def get(self, instance: int, name: str) -> str | None:
        """Raises ``unavailable`` if it cannot be opened: it was moved, or the key is another one."""
        sealed = await self._secrets.get(instance, name)
        return None if sealed is None else self._opened(instance, name, sealed)

    def _opened(self, instance: int, name: str, sealed: bytes) -> str:
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(instance, name)).decode()
        except InvalidTag:
            raise unavailable("secret_unreadable") from None


def _bound_to(instance: int, name: str) -> bytes:
    return f"{instance} {name}".encode()
