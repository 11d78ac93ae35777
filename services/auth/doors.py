"""Login, refresh and setting a password: the commands that carry a secret. The secret stops here; what goes on to the dispatcher does
not hold it."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from libs.bus.server import Request
from libs.contracts.auth.commands import (
    PASSWORD_MAX_CHARS,
    PASSWORD_MIN_CHARS,
    Instance,
    Keys,
    Login,
    Refresh,
    SetFirstPassword,
    SetPassword,
    Tokens,
)
from libs.contracts.auth.rights import permissions_of
from libs.domain.decider import Command, CommandType
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.domain.principal import Principal
from libs.runtime.dispatcher import decoded, principal_of
from libs.runtime.secrets import Secrets
from libs.runtime.service import Host
from services.auth import sessions
from services.auth.credentials import SET, SET_FIRST, CredentialKept, SetCredential
from services.auth.passwords import Passwords, is_common
from services.auth.queries import CREDENTIAL, LOGIN, USER, instances, roles_of
from services.auth.tokens import TokenMint, new_mac_key, new_signing_key

SIGNING_KEY: Final = "signing key"
MAC_KEY: Final = "refresh key"
_WRONG: Final = DomainError(Kind.UNAUTHENTICATED, "credentials_wrong")


class Doors:
    """``demo``: everybody knows the password, and may use it."""

    def __init__(self, host: Host, secrets: Secrets, mint: TokenMint, *, demo: bool) -> None:
        self._host = host
        self._secrets = secrets
        self._mint = mint
        self._passwords = Passwords()
        self._demo = demo

    @classmethod
    async def open(cls, host: Host, secrets: Secrets, *, demo: bool) -> Doors:
        """Every replica finds the same keys; the first one makes them."""
        signing = await secrets.keep(0, SIGNING_KEY, new_signing_key())
        mac = await secrets.keep(0, MAC_KEY, new_mac_key())
        return cls(host, secrets, TokenMint(signing, mac), demo=demo)

    async def keys(self, _: Request) -> bytes:
        return msgspec.msgpack.encode(Keys(public_key=self._mint.public_key))

    async def login(self, request: Request) -> bytes:
        """Name and password for a pair of tokens. One refusal for everything that is wrong, and it always takes as long."""
        asked: Login = decoded(request.body, Login)
        instance = await self._instance(asked.instance)
        row = await self._host.tables.fetch_one(LOGIN, instance.id, asked.username) if instance else None
        stored = await self._secrets.get(instance.id, row["secret"]) if instance and row and row["secret"] else None
        if not await self._passwords.matches(stored, asked.password[:PASSWORD_MAX_CHARS]) or instance is None or row is None:
            raise _WRONG
        if not row["is_active"]:
            raise _WRONG
        if not self._demo and is_common(asked.username, asked.password):
            raise DomainError(Kind.FORBIDDEN, "default_credentials")
        principal = Principal(instance=instance.id, user=row["key"])
        view: sessions.SessionView = await self._execute(sessions.OPEN, principal, request, sessions.OpenSession(user=row["key"]))
        return msgspec.msgpack.encode(self._mint.pair(instance.id, view.key, view.state, permissions_of(roles_of(row))))

    async def refresh(self, request: Request) -> bytes:
        asked: Refresh = decoded(request.body, Refresh)
        instance_id, session, generation = self._mint.read_refresh(asked.refresh_token)
        accessed, user = self._mint.session_of(asked.access_token)
        if accessed != session:
            raise DomainError(Kind.UNAUTHENTICATED, "tokens_of_two_sessions")
        if asked.instance:
            named = await self._instance(asked.instance)
            if named is None or named.id != instance_id:
                raise DomainError(Kind.UNAUTHENTICATED, "foreign_token")
        principal = Principal(instance=instance_id, user=f"session:{session}", session=session)
        body = sessions.RefreshSession(session=session, generation=generation, user=user)
        view: sessions.SessionView = await self._execute(sessions.REFRESH, principal, request, body)
        if view.reused or view.state.ended:
            raise DomainError(Kind.UNAUTHENTICATED, "refresh_token_reused")
        return msgspec.msgpack.encode(await self._pair(instance_id, session, view.state))

    async def _pair(self, instance: int, session: str, state: sessions.SessionState) -> Tokens:
        row = await self._host.tables.fetch_one(USER, instance, state.user)
        if row is None or not row["is_active"]:
            raise DomainError(Kind.UNAUTHENTICATED, "user_gone")
        return self._mint.pair(instance, session, state, permissions_of(roles_of(row)))

    async def set_password(self, request: Request) -> bytes:
        """A user's new password, set by whoever manages staff or by the user. Access tokens made before are dead."""
        asked: SetPassword = decoded(request.body, SetPassword)
        principal = principal_of(request)
        if not principal.may(SET.permission, write=True) and principal.user != asked.user:
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": SET.permission})
        return await self._keep_password(request, principal, asked.user, asked.password, SET)

    async def set_first_password(self, request: Request) -> bytes:
        """For Theke's own set-up: a user that has a password keeps it."""
        asked: SetFirstPassword = decoded(request.body, SetFirstPassword)
        principal = principal_of(request)
        if principal.level != "system":
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": SET.permission})
        if await self._host.tables.fetch_one(CREDENTIAL, principal.instance, asked.user) is not None:
            return msgspec.msgpack.encode(CredentialKept(user=asked.user))
        return await self._keep_password(request, principal, asked.user, asked.password, SET_FIRST)

    async def _keep_password(self, request: Request, principal: Principal, user: str, password: str, type_: CommandType) -> bytes:
        """Keeps the hash, then notes that it changed."""
        row = await self._host.tables.fetch_one(USER, principal.instance, user)
        self._check(password, row["username"] if row else "")
        id_ = request.command_id or uuid4()
        name = f"password {user} {id_}"
        kept = await self._secrets.keep(principal.instance, name, await self._passwords.hash(password))
        if not await self._passwords.matches(kept, password):  # the command's fingerprint cannot tell: it holds no password
            raise DomainError(Kind.UNPROCESSABLE, "key_misuse")
        actor = Principal(instance=principal.instance, user=principal.user, level="system")
        return msgspec.msgpack.encode(await self._execute(type_, actor, request, SetCredential(user=user, secret=name), id_))

    def _check(self, password: str, username: str) -> None:
        if len(password) > PASSWORD_MAX_CHARS:
            raise invalid(FieldError("password", "too_long", {"max": PASSWORD_MAX_CHARS}))
        if self._demo:
            return
        if len(password) < PASSWORD_MIN_CHARS:
            raise invalid(FieldError("password", "too_short", {"min": PASSWORD_MIN_CHARS}))
        if is_common(username, password):
            raise invalid(FieldError("password", "password_common"))

    async def _instance(self, name: str) -> Instance | None:
        known = await instances(self._host.tables)
        if not name and len(known) == 1:
            return known[0]
        return next((instance for instance in known if instance.name == name), None)

    async def _execute(self, type_: CommandType, principal: Principal, request: Request, body: Any, id_: UUID | None = None) -> Any:
        """Login and refresh take no key: the bus gives each its own id, and a repeat on the bus keeps it."""
        command = Command(id_ or request.command_id or uuid4(), request.at, principal, body)
        answer, _ = await self._host.dispatcher.execute(type_, command, timeout=request.left())
        return answer
