"""Logging in and out, and who one is: the sessions are those of the till's dialect, so is the token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from libs.contracts.auth.commands import ACCESS_TOKEN_LIFE_S, PASSWORD_MAX_CHARS, Login, Logout, Me, NoBody, Tokens
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.records.wanted import Wrong, integer_of
from services.gateway import limits
from services.gateway.dikas.call import Call, Route
from services.gateway.zeyos import bodies
from services.gateway.zeyos.serve import COOKIE, Json

IDENTIFIER: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,100}")
SECRET: Final = re.compile(r"[0-9a-fA-F]{40}")
SECONDS_MAX: Final = 2**53
NAME_MAX_CHARS: Final = 200
ADMINISTRATORS: Final = "Admin"


class LoggedIn(msgspec.Struct, frozen=True):
    """``expdate`` in seconds since 1970."""

    user: int
    application: None
    token: str
    identifier: str
    expdate: int


async def login(call: Call) -> Json:
    """Name or e-mail address and password for a token, by form or JSON; the cookie `ZEYOSID` carries it too."""
    body = await bodies.read(call.request)
    name, password, identifier = (_text(body, field) for field in ("name", "password", "identifier"))
    _check(body, identifier, call)
    instance = call.params["instance"]
    if not _exists(await call.identities.instance_id(instance)) or len(name) > NAME_MAX_CHARS or len(password) > PASSWORD_MAX_CHARS:
        raise DomainError(Kind.UNAUTHENTICATED, "credentials_wrong")
    asked = Login(username=name, password=password, instance=instance)
    tokens = await call.command("auth", "login", asked, Tokens, deadline=limits.LOGIN_DEADLINE_S)
    identity = await call.identities.identify(tokens.access_token, write=False)
    call.principal = identity.principal
    me = await call.query("auth", "me", NoBody(), Me)
    secure = "; Secure" if call.request.secure else ""
    call.headers["Set-Cookie"] = (
        f"{COOKIE}={tokens.access_token}; Path=/{instance}/; Max-Age={tokens.expires_in}; HttpOnly; SameSite=Strict{secure}"
    )
    return Json(msgspec.json.encode(LoggedIn(me.id, None, tokens.access_token, identifier, int(identity.expires_at))))


async def logout(call: Call) -> Json:
    """Ends the session: its token is dead everywhere within a second."""
    await call.command("auth", "session.end", Logout(session=call.principal.session), dict[str, Any])
    call.identities.revoke(call.principal.instance, call.principal.session, call.at.timestamp())
    call.headers["Set-Cookie"] = f"{COOKIE}=; Path=/{call.params['instance']}/; Max-Age=0; HttpOnly; SameSite=Strict"
    return Json()


async def identity(call: Call) -> Json:
    """Who the token belongs to; with `access=1` also what that person may do."""
    me = await call.query("auth", "me", NoBody(), Me)
    full = " ".join(filter(None, (me.first_name, me.last_name)))
    shown: dict[str, Any] = {
        "auth": {"user": me.id, "application": None, "lang": str(call.language)},
        "user": me.id,
        "contact": None,
        "name": me.username,
        "fullname": full or me.username,
        "email": me.email or "",
    }
    if call.request.query.get("access") == "1":
        permissions = {name: int(write) for name, write in sorted(me.permissions.items())}
        shown |= {"admin": int(ADMINISTRATORS in me.roles), "nopublic": 0, "apionly": 0, "groups": {}, "permissions": permissions}
    return Json(msgspec.json.encode(shown))


def _exists(instance: int | None) -> bool:
    return instance is not None and instance > 0


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field)
    if value is None or value == "":
        raise invalid(FieldError(field, "required"))
    if not isinstance(value, str):
        raise invalid(FieldError(field, "expected_text"))
    return value


def _check(body: Mapping[str, Any], identifier: str, call: Call) -> None:
    """Tokens live an hour: a later end is not refused, the answer tells the real one; an earlier one cannot be kept."""
    faults = []
    if not IDENTIFIER.fullmatch(identifier):
        faults.append(FieldError("identifier", "malformed", {"detail": IDENTIFIER.pattern}))
    secret = body.get("appsecret")
    if secret not in (None, "") and not (isinstance(secret, str) and SECRET.fullmatch(secret)):
        faults.append(FieldError("appsecret", "malformed", {"detail": SECRET.pattern}))
    if body.get("otp") not in (None, ""):
        faults.append(FieldError("otp", "not_offered"))
    expdate = body.get("expdate")
    if expdate not in (None, ""):
        least = int(call.at.timestamp()) + ACCESS_TOKEN_LIFE_S
        try:
            if isinstance(expdate, bool | dict | list | float) or integer_of(str(expdate), SECONDS_MAX) < least:
                faults.append(FieldError("expdate", "out_of_range", {"min": least, "max": SECONDS_MAX}))
        except Wrong as wrong:
            faults.append(FieldError("expdate", wrong.reason, wrong.params))
    if faults:
        raise invalid(*faults)


_WHO: Final = "/{instance}/auth/v1/"
ROUTES: Final = (
    Route("POST", f"{_WHO}login", "auth", login, public=True, asks=("auth.login", "auth.me")),
    Route("GET", f"{_WHO}logout", "auth", logout, status=204, asks=("auth.session.end",)),
    Route("GET", _WHO, "auth", identity, asks=("auth.me",)),
)
