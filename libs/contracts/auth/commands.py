"""What can be asked of auth, and what it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

ACCESS_TOKEN_LIFE_S: Final = 3600
SESSION_LIFE_S: Final = 30 * 24 * 3600
PASSWORD_MAX_CHARS: Final = 256
PASSWORD_MIN_CHARS: Final = 8
TOKEN_MAX_CHARS: Final = 4096


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """``instance`` is a name; empty means the only one there is."""

    username: str
    password: str
    instance: str = ""


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    access_token: str
    refresh_token: str
    instance: str = ""


class Logout(msgspec.Struct, frozen=True, kw_only=True):
    session: str


class ConfirmSession(msgspec.Struct, frozen=True, kw_only=True):
    session: str
    generation: int


class SetPassword(msgspec.Struct, frozen=True, kw_only=True):
    user: str
    password: str


class SetFirstPassword(msgspec.Struct, frozen=True, kw_only=True):
    """Only for a user that has none yet."""

    user: str
    password: str


class CreateInstance(msgspec.Struct, frozen=True, kw_only=True):
    name: str


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """``expires_in`` seconds."""

    access_token: str
    refresh_token: str
    expires_in: int = ACCESS_TOKEN_LIFE_S


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The public key that access tokens are verified with (PEM)."""

    public_key: bytes


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of ``subject`` (a user's or a session's key) issued before ``valid_from`` are dead."""

    instance: int
    subject: str
    valid_from: datetime


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who a token belongs to."""

    key: str
    username: str
    first_name: str | None
    last_name: str | None
    short_name: str | None
    email: str | None
    roles: tuple[str, ...]
    permissions: dict[str, bool]


class NoBody(msgspec.Struct, frozen=True):
    pass
