"""Access tokens of programs that speak the ERP's dialect: 40 lower-case hex digits, of which only a digest is kept anywhere.

The gateway draws a token and sends it along with the request for it. So a request that is repeated on the bus brings the same token, and
nothing has to be stored that a token could be made from again.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

TOKEN_BYTES: Final = 20
TOKEN: Final = re.compile(r"[0-9a-f]{40}")
KEY_PREFIX: Final = "tok"
LIFE_S: Final = 100 * 24 * 3600  # unless a client asks for another one
IDENTIFIER: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,100}")


def new_token() -> str:
    return secrets.token_hex(TOKEN_BYTES)


def digest_of(token: str) -> str:
    """What a token is known by; 160 random bits need no salt."""
    return sha256(token.encode()).hexdigest()


class TokenLogin(msgspec.Struct, frozen=True, kw_only=True):
    """``token``: the one that is to open the door from now on, instead of the one that the same user, identifier and application had;
    ``app_secret`` binds it to an application; ``expires``: None for never. ``origin``: the address it was asked from."""

    username: str
    password: str
    instance: str
    identifier: str
    token: str
    app_secret: str | None = None
    expires: datetime | UnsetType | None = UNSET
    origin: str = ""


class TokenGiven(msgspec.Struct, frozen=True, kw_only=True):
    """``user`` and ``application`` are numbers."""

    user: int
    application: int | None
    expires: datetime | None


class ResolveToken(msgspec.Struct, frozen=True, kw_only=True):
    """``position``: the answer must know auth's log of the instance that far."""

    instance: int
    digest: str
    position: int = 0


class TokenHolder(msgspec.Struct, frozen=True, kw_only=True):
    """Who a token stands for and what they may do now. ``key``: the token's own; ``application``: a record's key. ``position``: how much
    of auth's log this rests on."""

    key: str
    user: str
    application: str | None
    permissions: dict[str, bool]
    expires: datetime | None
    position: int


class RevokeToken(msgspec.Struct, frozen=True, kw_only=True):
    """Only the token of this digest: one that came in its place is left alone."""

    key: str
    digest: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    key: str


class SetClientSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret of 40 lower-case hex digits for an application, instead of the one it had."""

    application: str
    secret: str
