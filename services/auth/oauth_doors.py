"""OAuth2 at the door: grants by password, refresh token and code; what a token is worth; the login page's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from libs.bus.server import Handler, Request
from libs.contracts.auth.access_tokens import KEY_PREFIX, Done, digest_of
from libs.contracts.auth.commands import Instance
from libs.contracts.auth.oauth import (
    CODE_LIFE_S,
    AskForCode,
    Asking,
    ClientCredentials,
    Code,
    GiveCode,
    GrantByCode,
    GrantByPassword,
    GrantByRefresh,
    Granted,
    Introspected,
    OfClient,
)
from libs.contracts.auth.records import ACTIVE
from libs.domain.errors import DomainError, Kind
from libs.domain.ids import key_of
from libs.domain.principal import Principal
from libs.runtime.dispatcher import decoded
from libs.runtime.service import Host
from services.auth.access_tokens import END, ISSUE, REFRESH, EndToken, IssueToken, RefreshToken, TokenView
from services.auth.client_check import UNKNOWN, ClientCheck
from services.auth.codes import INVALID, Agreed, Codes
from services.auth.password_check import PasswordCheck
from services.auth.token_doors import execute
from services.auth.token_tables import CLIENT_BY_IDENTIFIER, HOLDER, HOLDER_BY_KEY, callbacks_of, stands
from services.auth.tokens import TokenMint

_SPENT: Final = DomainError(Kind.UNAUTHENTICATED, "refresh_token_reused")
_NO_REFRESH: Final = DomainError(Kind.UNAUTHENTICATED, "refresh_token_invalid")


class OAuthDoors:
    def __init__(self, host: Host, passwords: PasswordCheck, clients: ClientCheck, mint: TokenMint, codes: Codes) -> None:
        self._host = host
        self._passwords = passwords
        self._clients = clients
        self._mint = mint
        self._codes = codes

    # grants

    async def by_password(self, request: Request) -> bytes:
        asked: GrantByPassword = decoded(request.body, GrantByPassword)
        instance, client = await self._client(asked.client)
        row = await self._passwords.login(instance, asked.username, asked.password, asked.origin, request.at)
        id_ = request.command_id or uuid4()
        return await self._grant(request, instance.id, client["key"], row["key"], row["secret"], asked.token, id_)

    async def by_code(self, request: Request) -> bytes:
        """A code that comes back ends what came of it: one of two has stolen it."""
        asked: GrantByCode = decoded(request.body, GrantByCode)
        instance, client = await self._client(asked.client)
        agreed = self._codes.open(asked.code)
        redeemed = agreed.is_redeemed_by(client["key"], asked.redirect_uri, asked.verifier, request.at.timestamp())
        if agreed.instance != instance.id or not redeemed:
            raise INVALID
        try:
            return await self._grant(request, instance.id, client["key"], agreed.user, agreed.credential, asked.token, agreed.number)
        except DomainError as refusal:
            if refusal.kind is Kind.UNAUTHENTICATED:
                raise INVALID from None
            raise

    async def _grant(self, request: Request, instance: int, client: str, user: str, credential: str, token: str, number: UUID) -> bytes:
        body = IssueToken(
            key=key_of(KEY_PREFIX, number),
            user=user,
            credential=credential,
            digest=digest_of(token),
            application=client,
            refreshable=True,
        )
        view: TokenView = await execute(self._host, ISSUE, Principal(instance, user), request, body)
        if view.refused:
            raise INVALID
        return self._granted(instance, view)

    async def by_refresh(self, request: Request) -> bytes:
        """A refresh token is good once: shown again, the whole grant ends."""
        asked: GrantByRefresh = decoded(request.body, GrantByRefresh)
        instance, client = await self._client(asked.client)
        key, generation = self._read(asked.refresh_token, instance.id)
        row = await self._host.tables.fetch_one(HOLDER_BY_KEY, instance.id, key)
        if row is None or row["application"] != client["key"] or not stands(row, request.at):
            raise _NO_REFRESH
        body = RefreshToken(key=key, user=row["user_key"], generation=generation, digest=digest_of(asked.token))
        view: TokenView = await execute(self._host, REFRESH, Principal(instance.id, row["user_key"]), request, body)
        if view.refused:
            raise _SPENT
        return self._granted(instance.id, view)

    def _granted(self, instance: int, view: TokenView) -> bytes:
        return msgspec.msgpack.encode(Granted(refresh_token=self._mint.refresh_token(instance, view.key, view.state.generation)))

    def _read(self, refresh_token: str, instance: int) -> tuple[str, int]:
        """(key, generation). Raises ``refresh_token_invalid``."""
        of, key, generation = self._mint.read_refresh(refresh_token)
        if of != instance or not key.startswith(f"{KEY_PREFIX}_"):
            raise _NO_REFRESH
        return key, generation

    # what a client may know and end: its own tokens

    async def revoke(self, request: Request) -> bytes:
        """A token that is no good, or not this client's, is left as it is, and nothing is said."""
        asked: OfClient = decoded(request.body, OfClient)
        instance, client = await self._client(asked.client)
        row, _ = await self._shown(instance.id, client, asked.token)
        if row is None:
            return msgspec.msgpack.encode(Done(key=""))
        body = EndToken(key=row["key"], reason="revoked")
        return msgspec.msgpack.encode(await execute(self._host, END, Principal(instance.id, row["user_key"]), request, body))

    async def introspect(self, request: Request) -> bytes:
        asked: OfClient = decoded(request.body, OfClient)
        instance, client = await self._client(asked.client)
        row, end = await self._shown(instance.id, client, asked.token)
        if row is None or not stands(row, request.at) or (end is not None and request.at >= end):
            return msgspec.msgpack.encode(Introspected(active=False))
        exp = int(end.timestamp()) if end else None
        told = Introspected(active=True, client_id=row["client"], username=row["username"], sub=str(row["user_id"]), exp=exp)
        return msgspec.msgpack.encode(told)

    async def _shown(self, instance: int, client: Any, token: str) -> tuple[Any, datetime | None]:
        """The row of a token of this client, by access or refresh token, and until when it is good. None if there is none."""
        row = await self._host.tables.fetch_one(HOLDER, instance, digest_of(token))
        end = row and row["expires"]
        if row is None:
            try:
                key, generation = self._read(token, instance)
            except DomainError:
                return None, None
            row = await self._host.tables.fetch_one(HOLDER_BY_KEY, instance, key)
            end = row and row["refreshable_until"]
            if row is not None and row["generation"] != generation:
                return None, None
        if row is None or row["application"] != client["key"]:
            return None, None
        return row, end

    # the login page

    async def asking(self, request: Request) -> bytes:
        """Who asks for a code. Raises ``client_unknown``, also if a browser must not be sent there."""
        asked: AskForCode = decoded(request.body, AskForCode)
        _, client = await self._asking(asked)
        return msgspec.msgpack.encode(Asking(name=client["name"]))

    async def give_code(self, request: Request) -> bytes:
        asked: GiveCode = decoded(request.body, GiveCode)
        instance, client = await self._asking(asked.asked)
        row = await self._passwords.login(instance, asked.username, asked.password, asked.origin, request.at)
        agreed = Agreed(
            number=uuid4(),
            instance=instance.id,
            user=row["key"],
            credential=row["secret"],
            application=client["key"],
            redirect_uri=asked.asked.redirect_uri,
            challenge=asked.challenge,
            until=request.at.timestamp() + CODE_LIFE_S,
        )
        return msgspec.msgpack.encode(Code(code=self._codes.seal(agreed)))

    async def _asking(self, asked: AskForCode) -> tuple[Instance, Any]:
        instance = await self._passwords.instance(asked.instance) if asked.instance else None
        row = await self._host.tables.fetch_one(CLIENT_BY_IDENTIFIER, instance.id, asked.client_id) if instance else None
        if instance is None or row is None or row["activity"] != ACTIVE or asked.redirect_uri not in callbacks_of(row):
            raise UNKNOWN
        return instance, row

    async def _client(self, credentials: ClientCredentials) -> tuple[Instance, Any]:
        instance = await self._passwords.instance(credentials.instance) if credentials.instance else None
        if instance is None:
            raise UNKNOWN
        return instance, await self._clients.by_credentials(instance.id, credentials.id, credentials.secret)


_DOORS: Final[Mapping[str, Callable[[OAuthDoors], Handler]]] = {
    "oauth.password": lambda oauth: oauth.by_password,
    "oauth.refresh": lambda oauth: oauth.by_refresh,
    "oauth.code": lambda oauth: oauth.by_code,
    "oauth.revoke": lambda oauth: oauth.revoke,
    "oauth.introspect": lambda oauth: oauth.introspect,
    "oauth.asking": lambda oauth: oauth.asking,
    "oauth.give_code": lambda oauth: oauth.give_code,
}
NAMES: Final = tuple(_DOORS)


def doors(oauth: OAuthDoors) -> dict[str, Handler]:
    """Commands by name."""
    return {name: door(oauth) for name, door in _DOORS.items()}
