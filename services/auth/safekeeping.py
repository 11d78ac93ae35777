"""Secrets that people carry: checked, hashed and put away. What leaves this module names a secret and cannot be turned back into it."""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from typing import Final
from uuid import UUID

from msgspec import UNSET

from libs.contracts.auth.commands import (
    CARD_ID_MAX_CHARS,
    CARD_ID_MIN_CHARS,
    PASSWORD_MAX_CHARS,
    PASSWORD_MIN_CHARS,
    PIN_DIGITS,
    KeepStaff,
)
from libs.domain.errors import DomainError, FieldError, Kind
from libs.runtime.secrets import Secrets
from services.auth.credentials import Credential
from services.auth.passwords import Passwords, is_common

_PIN: Final = re.compile(rf"[0-9]{{{PIN_DIGITS}}}")
_CARD: Final = re.compile(rf"[0-9A-Z]{{{CARD_ID_MIN_CHARS},{CARD_ID_MAX_CHARS}}}")
_SEPARATORS: Final = str.maketrans("", "", " :-")


class Safekeeping:
    """``demo``: everybody knows the password, and may use it."""

    def __init__(self, secrets: Secrets, card_key: bytes, *, demo: bool) -> None:
        self._secrets = secrets
        self._card_key = card_key
        self._passwords = Passwords()
        self._demo = demo

    def is_too_common(self, username: str, password: str) -> bool:
        return not self._demo and is_common(username, password)

    def password_faults(self, password: str, username: str) -> list[FieldError]:
        if len(password) > PASSWORD_MAX_CHARS:
            return [FieldError("password", "too_long", {"max": PASSWORD_MAX_CHARS})]
        if self._demo:
            return []
        if len(password) < PASSWORD_MIN_CHARS:
            return [FieldError("password", "too_short", {"min": PASSWORD_MIN_CHARS})]
        return [FieldError("password", "password_common")] if is_common(username, password) else []

    def faults(self, asked: KeepStaff, username: str) -> list[FieldError]:
        """What is wrong with the secrets of a request."""
        faults = self.password_faults(asked.password, username) if isinstance(asked.password, str) else []
        if isinstance(asked.pin, str) and not _PIN.fullmatch(asked.pin):
            faults.append(FieldError("pin", "not_a_pin", {"digits": PIN_DIGITS}))
        if isinstance(asked.card_id, str) and self.digest_of_card(0, asked.card_id) is None:
            faults.append(FieldError("card_id", "not_a_card_id", {"min": CARD_ID_MIN_CHARS, "max": CARD_ID_MAX_CHARS}))
        return faults

    async def keep(self, instance: int, user: str, asked: KeepStaff, id_: UUID) -> tuple[Credential, ...]:
        """Puts away what a request brings; what it does not name is not touched."""
        kept: list[Credential] = []
        if isinstance(asked.password, str):
            kept.append(Credential(kind="password", secret=await self.keep_hash(instance, f"password {user} {id_}", asked.password)))
        if asked.pin is not UNSET:
            name = None if asked.pin is None else await self.keep_hash(instance, f"pin {user} {id_}", asked.pin)
            kept.append(Credential(kind="pin", secret=name))
        if asked.card_id is not UNSET:
            kept.append(Credential(kind="card", secret=None if asked.card_id is None else self.digest_of_card(instance, asked.card_id)))
        return tuple(kept)

    async def keep_hash(self, instance: int, name: str, secret: str) -> str:
        """Puts a hash away under this name, and returns the name. Raises ``key_misuse`` if the name is that of another secret: a command's
        fingerprint cannot tell, since it holds none."""
        hashed = await self._passwords.hash(secret)
        kept = await self._secrets.keep(instance, name, hashed)
        if kept != hashed and not await self._passwords.matches(kept, secret):
            raise DomainError(Kind.UNPROCESSABLE, "key_misuse")
        return name

    async def matches(self, instance: int, name: str | None, secret: str) -> bool:
        """Whether this is the secret behind a name. Takes as long if there is no name."""
        stored = await self._secrets.get(instance, name) if name else None
        return await self._passwords.matches(stored, secret[:PASSWORD_MAX_CHARS])

    def digest_of_card(self, instance: int, card_id: str) -> str | None:
        """What a card is known by: a keyed digest, another one in every instance. None if this cannot be a card's id."""
        plain = card_id[: 4 * CARD_ID_MAX_CHARS].translate(_SEPARATORS).upper()
        if not _CARD.fullmatch(plain):
            return None
        return hmac.new(self._card_key, f"{instance} {plain}".encode(), sha256).hexdigest()
