"""Section Auth."""

from __future__ import annotations

from typing import Any

import msgspec

from libs.contracts.auth.commands import Login, Logout, Me, NoBody, Refresh, Tokens
from services.gateway import limits
from services.gateway.dikas.call import Call, Route


class LoginBody(msgspec.Struct, rename="camel"):
    username: str
    password: str


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
    roles: tuple[str, ...]
    rights: dict[str, bool]


def _tokens(tokens: Tokens) -> TokensOut:
    return TokensOut(tokens.access_token, tokens.refresh_token, tokens.expires_in)


async def login(call: Call) -> TokensOut:
    """User name and password for a pair of tokens; the access token lives an hour."""
    asked = Login(username=call.body.username, password=call.body.password, instance=call.instance_name or call.identities.default_instance)
    return _tokens(await call.command("auth", "login", asked, Tokens, deadline=limits.LOGIN_DEADLINE_S))


async def refresh(call: Call) -> TokensOut:
    """A new pair for the old one. May be repeated until the new access token was used; a spent one ends the session."""
    asked = Refresh(access_token=call.body.access_token, refresh_token=call.body.refresh_token, instance=call.instance_name)
    return _tokens(await call.command("auth", "refresh", asked, Tokens))


async def logout(call: Call) -> None:
    """Ends the session: its tokens are dead everywhere within a second."""
    await call.command("auth", "session.end", Logout(session=call.principal.session), dict[str, Any])
    call.identities.revoke(call.principal.instance, call.principal.session, call.at.timestamp())


async def me(call: Call) -> MeOut:
    """Who the token belongs to, with roles and rights."""
    found = await call.query("auth", "me", NoBody(), Me)
    return MeOut(
        found.key, found.username, found.first_name, found.last_name, found.short_name, found.email, found.roles, found.permissions
    )


ROUTES = (
    Route("POST", "/api/v1/auth/login", "Auth", login, LoginBody, public=True),
    Route("POST", "/api/v1/auth/refresh", "Auth", refresh, RefreshBody, public=True),
    Route("POST", "/api/v1/auth/logout", "Auth", logout),
    Route("GET", "/api/v1/auth/me", "Auth", me),
)
