"""Logging in and out, and who one is: a token of 40 hex digits per user, identifier and application."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.auth.access_tokens import (
    IDENTIFIER,
    KEY_PREFIX,
    Done,
    RevokeToken,
    TokenGiven,
    TokenLogin,
    digest_of,
    new_token,
)
from libs.contracts.auth.commands import PASSWORD_MAX_CHARS, Logout, Me, MyAccess, NoBody
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.records.wanted import Wrong, integer_of
from services.gateway import limits
from services.gateway.dikas.call import Call, Route
from services.gateway.zeyos import bodies
from services.gateway.zeyos.serve import COOKIE, Json, token_of

SECRET: Final = re.compile(r"[0-9a-fA-F]{40}")
EXPIRES_MAX_S: Final = 253_402_300_799  # the end of the year 9999
COOKIE_MAX_S: Final = 400 * 24 * 3600  # longer than this no browser keeps one
NAME_MAX_CHARS: Final = 200


class LoggedIn(msgspec.Struct, frozen=True):
    """``expdate`` in seconds since 1970, None for never."""

    user: int
    application: int | None
    token: str
    identifier: str
    expdate: int | None


async def login(call: Call) -> Json:
    """Name or e-mail address and password for a token, by form or JSON; the cookie `ZEYOSID` carries it too."""
    body = await bodies.read(call.request)
    name, password, identifier = (_text(body, field) for field in ("name", "password", "identifier"))
    secret, expires = _checked(body, identifier, call)
    instance, token = call.params["instance"], new_token()
    if not await call.identities.instance_id(instance) or len(name) > NAME_MAX_CHARS or len(password) > PASSWORD_MAX_CHARS:
        raise DomainError(Kind.UNAUTHENTICATED, "credentials_wrong")
    asked = TokenLogin(
        username=name,
        password=password,
        instance=instance,
        identifier=identifier,
        token=token,
        app_secret=secret,
        expires=expires,
        origin=call.request.remote or "",
    )
    given = await call.command("auth", "token.login", asked, TokenGiven, deadline=limits.LOGIN_DEADLINE_S)
    end = int(given.expires.timestamp()) if given.expires else None
    left = None if end is None else min(COOKIE_MAX_S, end - int(call.at.timestamp()))
    _set_cookie(call, token, left)
    return Json(msgspec.json.encode(LoggedIn(given.user, given.application, token, identifier, end)))


async def logout(call: Call) -> Json:
    """The token is dead everywhere within a second."""
    session = call.principal.session
    if session.startswith(KEY_PREFIX):
        token = token_of(call.request)
        await call.command("auth", "token.revoke", RevokeToken(key=session, digest=digest_of(token)), Done)
        call.identities.ended(call.principal.instance, token)
    else:
        await call.command("auth", "session.end", Logout(session=session), dict[str, Any])
        call.identities.revoke(call.principal.instance, session, call.at.timestamp())
    _set_cookie(call, "", 0)
    return Json()


async def identity(call: Call) -> Json:
    """Who the token belongs to; with `access=1` also what that person may do, with `settings=1` the settings kept for that person."""
    me = await call.query("auth", "me", NoBody(), Me)
    full = " ".join(filter(None, (me.first_name, me.last_name)))
    shown: dict[str, Any] = {
        "auth": {"user": me.id, "application": me.application, "lang": str(call.language)},
        "user": me.id,
        "contact": me.contact,
        "name": me.username,
        "fullname": full or me.username,
        "email": me.email or "",
    }
    if call.request.query.get("access") == "1":
        access = await call.query("auth", "access", NoBody(), MyAccess)
        shown |= {
            "admin": int(access.admin),
            "nopublic": int(access.nopublic),
            "apionly": int(me.apionly),
            "groups": {str(group.id): int(group.writable) for group in access.groups},
            "permissions": {name: int(write) for name, write in sorted(access.permissions.items())},
        }
    if call.request.query.get("settings") == "1":
        shown["settings"] = {}
    return Json(msgspec.json.encode(shown))


def _set_cookie(call: Call, token: str, max_age: int | None) -> None:
    """Without ``max_age`` it ends with the browser."""
    age = "" if max_age is None else f"; Max-Age={max_age}"
    secure = "; Secure" if call.request.secure else ""
    call.headers["Set-Cookie"] = f"{COOKIE}={token}; Path=/{call.params['instance']}/{age}; HttpOnly; SameSite=Strict{secure}"


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field)
    if value is None or value == "":
        raise invalid(FieldError(field, "required"))
    if not isinstance(value, str):
        raise invalid(FieldError(field, "expected_text"))
    return value


def _checked(body: Mapping[str, Any], identifier: str, call: Call) -> tuple[str | None, datetime | UnsetType | None]:
    """The application's secret and the end asked for. Raises ``invalid`` naming every field at fault."""
    faults = []
    if not IDENTIFIER.fullmatch(identifier):
        faults.append(FieldError("identifier", "malformed", {"detail": IDENTIFIER.pattern}))
    secret = body.get("appsecret")
    if secret not in (None, "") and not (isinstance(secret, str) and SECRET.fullmatch(secret)):
        faults.append(FieldError("appsecret", "malformed", {"detail": SECRET.pattern}))
    if body.get("otp") not in (None, ""):
        faults.append(FieldError("otp", "not_offered"))
    expires: datetime | UnsetType | None = UNSET
    try:
        expires = _end(body.get("expdate", ""), call.at)
    except Wrong as wrong:
        faults.append(FieldError("expdate", wrong.reason, wrong.params))
    if faults:
        raise invalid(*faults)
    return secret or None, expires


def _end(asked: Any, now: datetime) -> datetime | UnsetType | None:
    """A form has no null, so it writes the word. Raises Wrong."""
    if asked is None or asked == "null":
        return None
    if asked == "":
        return UNSET
    if isinstance(asked, bool | float) or not isinstance(asked, int | str):
        raise Wrong("expected_integer")
    least = int(now.timestamp()) + 1
    end = integer_of(str(asked), EXPIRES_MAX_S)
    if end < least:
        raise Wrong("out_of_range", min=least, max=EXPIRES_MAX_S)
    return datetime.fromtimestamp(end, UTC)


_WHO: Final = "/{instance}/auth/v1"
ROUTES: Final = (
    Route("POST", f"{_WHO}/login", "auth", login, public=True, asks=("auth.token.login",)),
    Route("GET", f"{_WHO}/logout", "auth", logout, status=204, asks=("auth.token.revoke", "auth.session.end")),
    Route("GET", f"{_WHO}/", "auth", identity, asks=("auth.me", "auth.access")),
    Route("GET", _WHO, "auth", identity, asks=("auth.me", "auth.access")),
)
