"""Keys of programs that read an instance without anybody logging in. A key is shown once; a digest of it is kept."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from libs.contracts.auth.rights import ROLES
from libs.domain.events import Event, event
from libs.domain.ids import instance_token

KEY: Final = re.compile(r"thk_i([0-9]{1,9})_[0-9a-f]{8}_[0-9a-f]{40}")
KEY_PREFIX: Final = "key"
SHOWN_BYTES: Final = 4
SECRET_BYTES: Final = 20
NAME_MAX_CHARS: Final = 100
LIFE_MAX_DAYS: Final = 3650
LISTED_MAX: Final = 1_000
SCOPES: Final = tuple(sorted(ROLES["Admin"]))  # what may be read


@event("api_key.created")
class ApiKeyCreated(Event, frozen=True, kw_only=True):
    """A program may read what the ``scopes`` name. ``prefix``: how the key begins, for people; ``digest``: what it is known by, which
    cannot be turned back into it."""

    name: str
    prefix: str
    digest: str
    scopes: tuple[str, ...]
    expires: datetime


@event("api_key.revoked")
class ApiKeyRevoked(Event, frozen=True, kw_only=True):
    """The key opens nothing any more."""

    prefix: str


class CreateApiKey(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    prefix: str
    digest: str
    scopes: tuple[str, ...]
    expires: datetime


class RevokeApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """``key``: as the list shows it."""

    key: str


class ResolveApiKey(msgspec.Struct, frozen=True, kw_only=True):
    digest: str


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    expires: datetime
    revoked_at: datetime | None = None


def new_key(instance: int) -> str:
    """``thk_i17_<8 hex digits that are shown>_<40 that are not>``."""
    return f"thk_{instance_token(instance)}_{secrets.token_hex(SHOWN_BYTES)}_{secrets.token_hex(SECRET_BYTES)}"


def prefix_of(key: str) -> str:
    return key.rpartition("_")[0]


def digest_of(key: str) -> str:
    """160 random bits need no salt."""
    return sha256(key.encode()).hexdigest()
