"""Access tokens of ERP clients at the door: a login for one, whom one stands for, and secrets of applications."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET

from libs.bus.server import Request
from libs.contracts.auth.access_tokens import (
    LIFE_S,
    TOKEN,
    ResolveToken,
    SetClientSecret,
    TokenGiven,
    TokenHolder,
    TokenLogin,
    digest_of,
)
from libs.contracts.auth.rights import OPERATE, permissions_of
from libs.domain.decider import CommandType
from libs.domain.errors import DomainError, FieldError, Kind, invalid, unavailable
from libs.domain.principal import Principal
from libs.runtime.dispatcher import command_of, decoded, principal_of
from libs.runtime.service import Host
from services.auth import applications
from services.auth.access_tokens import ISSUE, IssueToken, TokenView, login_key
from services.auth.admission import rights_given, roles_of
from services.auth.applications import KeepClientSecret
from services.auth.client_check import ClientCheck
from services.auth.password_check import WRONG, PasswordCheck
from services.auth.token_tables import HOLDER, RESTS_ON, is_good

CATCH_UP_S: Final = 2.0


class TokenDoors:
    def __init__(self, host: Host, passwords: PasswordCheck, clients: ClientCheck) -> None:
        self._host = host
        self._passwords = passwords
        self._clients = clients

    async def login(self, request: Request) -> bytes:
        """Name and password for a token of the caller's making, instead of the one that the same identifier had before."""
        asked: TokenLogin = decoded(request.body, TokenLogin)
        if not TOKEN.fullmatch(asked.token):
            raise invalid(FieldError("token", "malformed", {"detail": TOKEN.pattern}))
        instance = await self._passwords.instance(asked.instance)
        row = await self._passwords.login(instance, asked.username, asked.password, asked.origin, request.at)
        assert instance is not None
        client = await self._client(instance.id, asked.app_secret)
        application = client["key"] if client else None
        body = IssueToken(
            key=login_key(instance.id, row["key"], asked.identifier, application),
            user=row["key"],
            credential=row["secret"],
            digest=digest_of(asked.token),
            identifier=asked.identifier,
            application=application,
            expires=_end(asked, request.at),
        )
        view: TokenView = await execute(self._host, ISSUE, Principal(instance.id, row["key"]), request, body)
        return msgspec.msgpack.encode(TokenGiven(user=row["id"], application=client["id"] if client else None, expires=view.state.expires))

    async def _client(self, instance: int, secret: str | None) -> Any:
        try:
            return await self._clients.by_secret(instance, secret) if secret else None
        except DomainError as refusal:
            if refusal.kind is Kind.UNAUTHENTICATED:
                raise WRONG from None
            raise

    async def resolve(self, request: Request) -> bytes:
        """Whom a token stands for, and what they may do now. Raises ``access_token_invalid`` whatever is wrong with it."""
        if principal_of(request).level != "system":
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": OPERATE})
        asked: ResolveToken = decoded(request.body, ResolveToken)
        if asked.position and not await self._host.projector.wait(asked.instance, asked.position, CATCH_UP_S):
            raise unavailable("tables_not_ready")
        position = await self._host.tables.position("auth", RESTS_ON, asked.instance)
        row = await self._host.tables.fetch_one(HOLDER, asked.instance, asked.digest)
        if row is None or not is_good(row, request.at):
            raise DomainError(Kind.UNAUTHENTICATED, "access_token_invalid")
        return msgspec.msgpack.encode(
            TokenHolder(
                key=row["key"],
                user=row["user_key"],
                application=row["application"],
                permissions=permissions_of(roles_of(row), rights_given(row)),
                expires=row["expires"],
                position=position,
            )
        )

    async def set_client_secret(self, request: Request) -> bytes:
        """For the operator: tokens that were given for the secret before stay."""
        principal = principal_of(request)
        if not principal.may(OPERATE, write=True):
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": OPERATE})
        asked: SetClientSecret = decoded(request.body, SetClientSecret)
        id_ = request.command_id or uuid4()
        name = f"client secret {asked.application} {id_}"
        await self._clients.keep(principal.instance, asked.application, asked.secret, name)
        body = KeepClientSecret(application=asked.application, secret=name)
        return msgspec.msgpack.encode(await execute(self._host, applications.SET, principal, request, body, id_))


def _end(asked: TokenLogin, at: datetime) -> datetime | None:
    return at + timedelta(seconds=LIFE_S) if asked.expires is UNSET else asked.expires


async def execute(host: Host, type_: CommandType, principal: Principal, request: Request, body: Any, id_: UUID | None = None) -> Any:
    """A repeat on the bus keeps its id, and so gets the answer of the first."""
    answer, _ = await host.dispatcher.execute(type_, command_of(request, principal, body, id_), timeout=request.left())
    return answer
