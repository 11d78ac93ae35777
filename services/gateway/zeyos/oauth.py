"""OAuth2: tokens for applications. Parameters come as a form, as JSON or, from one published client, in the query string."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from libs.contracts.auth.access_tokens import Done, new_token
from libs.contracts.auth.commands import PASSWORD_MAX_CHARS, TOKEN_MAX_CHARS, Me, MyAccess, NoBody
from libs.contracts.auth.oauth import (
    GRANT_LIFE_S,
    REFRESHABLE_S,
    ClientCredentials,
    GrantByCode,
    GrantByPassword,
    GrantByRefresh,
    Granted,
    Introspected,
    OfClient,
)
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from services.gateway import limits
from services.gateway.dikas.call import Call, Route
from services.gateway.zeyos import bodies
from services.gateway.zeyos.auth import NAME_MAX_CHARS
from services.gateway.zeyos.oauth_errors import NO_STORE
from services.gateway.zeyos.serve import OAUTH, Json

PARAMETER_MAX_CHARS: Final = 4_096
IDENTIFIER_MAX_CHARS: Final = 200
ZONE: Final = "Europe/Berlin"
Parameters = Mapping[str, str]


class TokensOut(msgspec.Struct, frozen=True):
    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105  # a word
    expires_in: int = GRANT_LIFE_S
    refresh_token_expires_in: int = REFRESHABLE_S


async def token(call: Call) -> Json:
    """An access token of an hour and a refresh token that is good once, for a password, a code or a refresh token."""
    given = await _parameters(call)
    client = _client(call, given)
    grant = _needed(given, "grant_type")
    access = new_token()
    body: Any
    if grant == "password":
        name, password = _needed(given, "username"), _needed(given, "password")
        if given.get("otp"):
            raise invalid(FieldError("otp", "not_offered"))
        if len(name) > NAME_MAX_CHARS or len(password) > PASSWORD_MAX_CHARS:
            raise DomainError(Kind.UNAUTHENTICATED, "credentials_wrong")
        body = GrantByPassword(client=client, username=name, password=password, token=access, origin=call.request.remote or "")
    elif grant == "refresh_token":
        body = GrantByRefresh(client=client, refresh_token=_needed(given, "refresh_token"), token=access)
        grant = "refresh"
    elif grant == "authorization_code":
        code, verifier, url = (_needed(given, name) for name in ("code", "code_verifier", "redirect_uri"))
        body = GrantByCode(client=client, code=code, verifier=verifier, redirect_uri=url, token=access)
        grant = "code"
    else:
        raise DomainError(Kind.INVALID, "grant_type_unknown")
    granted = await call.command("auth", f"oauth.{grant}", body, Granted, deadline=limits.LOGIN_DEADLINE_S)
    call.headers.update(NO_STORE)
    return Json(msgspec.json.encode(TokensOut(access, granted.refresh_token)))


async def revoke(call: Call) -> Json:
    """Ends an access or refresh token of the client with everything that came of the same grant; 200 whatever it was."""
    given = await _parameters(call)
    body = OfClient(client=_client(call, given), token=_needed(given, "token"))
    await call.command("auth", "oauth.revoke", body, Done)
    call.headers.update(NO_STORE)
    return Json(b"{}")


async def introspect(call: Call) -> Json:
    """What a token of the client is worth."""
    given = await _parameters(call)
    body = OfClient(client=_client(call, given), token=_needed(given, "token"))
    found = await call.command("auth", "oauth.introspect", body, Introspected)
    call.headers.update(NO_STORE)
    shown = {name: value for name, value in msgspec.to_builtins(found).items() if value is not None}
    return Json(msgspec.json.encode(shown))


async def userinfo(call: Call) -> Json:
    """Who a token belongs to, as OpenID Connect names it, and what that person may do. Any access token does."""
    me = await call.query("auth", "me", NoBody(), Me)
    access = await call.query("auth", "access", NoBody(), MyAccess)
    full = " ".join(filter(None, (me.first_name, me.last_name)))
    shown: dict[str, Any] = {
        "sub": str(me.id),
        "name": full or me.username,
        "given_name": me.first_name or "",
        "family_name": me.last_name or "",
        "preferred_username": me.username,
        "email": me.email or "",
        "zoneinfo": ZONE,
        "locale": str(call.language),
        "updated_at": int(me.changed_at.timestamp()),
        "nopublic": int(access.nopublic),
        "apionly": int(me.apionly),
        "groups": [{"id": group.id, "name": group.name, "writable": int(group.writable)} for group in access.groups],
        "permissions": [{"identifier": name, "writable": int(write)} for name, write in sorted(access.permissions.items())],
    }
    return Json(msgspec.json.encode(shown))


async def _parameters(call: Call) -> Parameters:
    """The body's count before those of the query string. Raises ``invalid``."""
    body = await bodies.read(call.request)
    given: dict[str, str] = {}
    for name, value in (*call.request.query.items(), *body.items()):
        if value is None:
            continue
        shown = name[:50] if name.isprintable() else ""
        if not isinstance(value, str):
            raise invalid(FieldError(shown, "expected_text"))
        if len(value) > PARAMETER_MAX_CHARS:
            raise invalid(FieldError(shown, "too_long", {"max": PARAMETER_MAX_CHARS}))
        given[name] = value
    return given


def _needed(given: Parameters, name: str) -> str:
    value = given.get(name, "")
    if not value:
        raise invalid(FieldError(name, "required"))
    return value


def _client(call: Call, given: Parameters) -> ClientCredentials:
    """By Basic, or among the parameters; the header counts. Raises ``no_client``."""
    header = call.request.headers.get("Authorization", "")
    if header[:6].lower() == "basic ":
        identifier, secret = _basic(header[6:])
    else:
        identifier, secret = given.get("client_id", ""), given.get("client_secret", "")
    if not identifier or not secret:
        raise DomainError(Kind.UNAUTHENTICATED, "no_client")
    if len(identifier) > IDENTIFIER_MAX_CHARS or len(secret) > TOKEN_MAX_CHARS:
        raise DomainError(Kind.UNAUTHENTICATED, "client_unknown")
    return ClientCredentials(instance=call.params["instance"], id=identifier, secret=secret)


def _basic(encoded: str) -> tuple[str, str]:
    """Both halves are escaped as in forms (RFC 6749, 2.3.1)."""
    try:
        identifier, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return unquote_plus(identifier), unquote_plus(secret)


_OAUTH: Final = "/{instance}/oauth2/v1"
ROUTES: Final = (
    Route("POST", f"{_OAUTH}/token", OAUTH, token, public=True, asks=("auth.oauth.password", "auth.oauth.refresh", "auth.oauth.code")),
    Route("POST", f"{_OAUTH}/revoke", OAUTH, revoke, public=True, asks=("auth.oauth.revoke",)),
    Route("POST", f"{_OAUTH}/introspect", OAUTH, introspect, public=True, asks=("auth.oauth.introspect",)),
    Route("GET", f"{_OAUTH}/userinfo", OAUTH, userinfo, asks=("auth.me", "auth.access")),
)
