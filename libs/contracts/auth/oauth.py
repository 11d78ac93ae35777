"""OAuth2 as auth grants it: what a client sends, and what it gets. ``token`` is always one that the gateway has just drawn."""

from __future__ import annotations

from typing import Final

import msgspec

GRANT_LIFE_S: Final = 3600  # of an access token
REFRESHABLE_S: Final = 100 * 24 * 3600  # of a refresh token
CODE_LIFE_S: Final = 60


class ClientCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """``instance`` is a name; ``id`` the application's identifier."""

    instance: str
    id: str
    secret: str


class GrantByPassword(msgspec.Struct, frozen=True, kw_only=True):
    """``origin``: the address it was asked from."""

    client: ClientCredentials
    username: str
    password: str
    token: str
    origin: str = ""


class GrantByRefresh(msgspec.Struct, frozen=True, kw_only=True):
    client: ClientCredentials
    refresh_token: str
    token: str


class GrantByCode(msgspec.Struct, frozen=True, kw_only=True):
    """``verifier``: whose SHA-256 the code was asked for with."""

    client: ClientCredentials
    code: str
    verifier: str
    redirect_uri: str
    token: str


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    refresh_token: str


class OfClient(msgspec.Struct, frozen=True, kw_only=True):
    """An access or refresh token that a client shows."""

    client: ClientCredentials
    token: str


class Introspected(msgspec.Struct, frozen=True, kw_only=True):
    """``sub``: the user's number; ``exp`` in seconds since 1970. Of a token that is no good, or is another client's, nothing is told."""

    active: bool
    client_id: str | None = None
    username: str | None = None
    sub: str | None = None
    exp: int | None = None


class AskForCode(msgspec.Struct, frozen=True, kw_only=True):
    """Where a browser is to be sent with a code; ``instance`` is a name."""

    instance: str
    client_id: str
    redirect_uri: str


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """The application that asks for a code, as people know it."""

    name: str


class GiveCode(msgspec.Struct, frozen=True, kw_only=True):
    """``challenge``: the base64url of a SHA-256, without padding."""

    asked: AskForCode
    challenge: str
    username: str
    password: str
    origin: str = ""


class Code(msgspec.Struct, frozen=True, kw_only=True):
    code: str
