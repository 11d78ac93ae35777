"""Section Auth."""

from __future__ import annotations

from typing import Any

import msgspec

from libs.contracts.auth.commands import CardLogin, Employee, Login, Logout, Me, NoBody, PinLogin, Refresh, Tokens
from libs.domain.errors import FieldError, invalid
from services.gateway import limits
from services.gateway.bodies import Whole
from services.gateway.dikas.call import Call, Route


class LoginBody(msgspec.Struct, rename="camel"):
    username: str
    password: str


class PinBody(msgspec.Struct, rename="camel"):
    """The employee by ``username``, ``staffNumber`` or ``staffId``."""

    pin: str
    username: str | None = None
    staff_number: Whole | None = None
    staff_id: str | None = None


class CardBody(msgspec.Struct, rename="camel"):
    card_id: str


class RefreshBody(msgspec.Struct, rename="camel"):
    access_token: str
    refresh_token: str


class TokensOut(msgspec.Struct, rename="camel"):
    access_token: str
    refresh_token: str
    expires_in: int


class MeOut(msgspec.Struct, rename="camel"):
    id: str
    username: str
    first_name: str | None
    last_name: str | None
    short_name: str | None
    email: str | None
    staff_number: int | None
    roles: tuple[str, ...]
    cash_point_rights: tuple[str, ...]
    rights: dict[str, bool]


def tokens_out(tokens: Tokens) -> TokensOut:
    return TokensOut(tokens.access_token, tokens.refresh_token, tokens.expires_in)


def _instance(call: Call) -> str:
    return call.instance_name or call.identities.default_instance


async def login(call: Call) -> TokensOut:
    """User name and password for a pair of tokens; the access token lives an hour. After some wrong ones there is a pause."""
    origin = call.request.remote or ""
    asked = Login(username=call.body.username, password=call.body.password, instance=_instance(call), origin=origin)
    return tokens_out(await call.command("auth", "login", asked, Tokens, deadline=limits.LOGIN_DEADLINE_S))


async def pin(call: Call) -> TokensOut:
    """An employee and four digits for a pair of tokens. After five wrong ones there is a pause, which doubles with every further one."""
    body: PinBody = call.body
    if body.username is None and body.staff_number is None and body.staff_id is None:
        raise invalid(FieldError("username", "required"))
    employee = Employee(key=body.staff_id, username=body.username, staff_number=body.staff_number)
    asked = PinLogin(employee=employee, pin=body.pin, instance=_instance(call))
    return tokens_out(await call.command("auth", "pin", asked, Tokens, deadline=limits.LOGIN_DEADLINE_S))


async def card(call: Call) -> TokensOut:
    """The id of an employee's NFC card for a pair of tokens."""
    asked = CardLogin(card_id=call.body.card_id, instance=_instance(call))
    return tokens_out(await call.command("auth", "card", asked, Tokens, deadline=limits.LOGIN_DEADLINE_S))


async def refresh(call: Call) -> TokensOut:
    """A new pair for the old one. May be repeated until the new access token was used; a spent one ends the session."""
    asked = Refresh(access_token=call.body.access_token, refresh_token=call.body.refresh_token, instance=call.instance_name)
    return tokens_out(await call.command("auth", "refresh", asked, Tokens))


async def logout(call: Call) -> None:
    """Ends the session: its tokens are dead everywhere within a second."""
    await call.command("auth", "session.end", Logout(session=call.principal.session), dict[str, Any])
    call.identities.revoke(call.principal.instance, call.principal.session, call.at.timestamp())


async def me(call: Call) -> MeOut:
    """Who the token belongs to, with roles and the rights that come of them and of those given besides."""
    found = await call.query("auth", "me", NoBody(), Me)
    return MeOut(
        id=found.key,
        username=found.username,
        first_name=found.first_name,
        last_name=found.last_name,
        short_name=found.short_name,
        email=found.email,
        staff_number=found.staff_number,
        roles=found.roles,
        cash_point_rights=found.rights,
        rights=found.permissions,
    )


ROUTES = (
    Route("POST", "/api/v1/auth/login", "Auth", login, LoginBody, public=True, asks=("auth.login",), refuses=(429,)),
    Route("POST", "/api/v1/auth/refresh", "Auth", refresh, RefreshBody, public=True, asks=("auth.refresh",)),
    Route("POST", "/api/v1/auth/pin", "Auth", pin, PinBody, public=True, asks=("auth.pin",), refuses=(429,)),
    Route("POST", "/api/v1/auth/card", "Auth", card, CardBody, public=True, asks=("auth.card",), refuses=(429,)),
    Route("POST", "/api/v1/auth/logout", "Auth", logout, asks=("auth.session.end",)),
    Route("GET", "/api/v1/auth/me", "Auth", me, asks=("auth.me",)),
)
