"""Login by password, PIN and card, staff switch, refresh and setting a password: the commands that carry a secret. The secret stops here;
what goes on to the dispatcher does not hold it."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from libs.bus.server import Request
from libs.contracts.auth.commands import (
    CardLogin,
    Employee,
    Instance,
    Keys,
    Login,
    PinLogin,
    Refresh,
    SetFirstPassword,
    SetPassword,
    SwitchStaff,
    Tokens,
)
from libs.contracts.auth.rights import permissions_of
from libs.domain.decider import CommandType
from libs.domain.errors import DomainError, Kind, invalid
from libs.domain.principal import Principal
from libs.runtime.dispatcher import command_of, decoded, principal_of
from libs.runtime.service import Host
from services.auth import sessions
from services.auth.admission import may_log_in, rights_given, roles_of
from services.auth.attempts import CARD_TRIES, Attempts, nobody
from services.auth.credentials import SET, SET_FIRST, CredentialKept, SetCredential
from services.auth.password_check import WRONG, PasswordCheck
from services.auth.queries import CREDENTIAL, LOGIN_BY_CARD, LOGIN_OF_EMPLOYEE, USER
from services.auth.safekeeping import Safekeeping
from services.auth.tokens import TokenMint

CARDS: Final = "cards"  # what is counted for cards that nobody has


def _unknown(employee: Employee) -> str:
    return nobody(f"{employee.key} {employee.username} {employee.staff_number}".casefold())


class Doors:
    def __init__(self, host: Host, safe: Safekeeping, check: PasswordCheck, attempts: Attempts, mint: TokenMint) -> None:
        self._host = host
        self._safe = safe
        self._check = check
        self._attempts = attempts
        self._mint = mint

    async def keys(self, _: Request) -> bytes:
        return msgspec.msgpack.encode(Keys(public_key=self._mint.public_key))

    # coming in: one refusal for everything that is wrong, and it always takes as long

    async def login(self, request: Request) -> bytes:
        """Name and password for a pair of tokens. An e-mail address does for a name if only one employee has it."""
        asked: Login = decoded(request.body, Login)
        instance = await self._check.instance(asked.instance)
        row = await self._check.login(instance, asked.username, asked.password, asked.origin, request.at)
        assert instance is not None
        return await self._enter(request, instance.id, row)

    async def pin(self, request: Request) -> bytes:
        """An employee and four digits."""
        asked: PinLogin = decoded(request.body, PinLogin)
        instance = await self._check.instance(asked.instance)
        row = await self._employee(instance.id, asked.employee) if instance else None
        await self._require_pin(request, instance, row, asked.employee, asked.pin)
        assert instance is not None
        return await self._enter(request, instance.id, row)

    async def card(self, request: Request) -> bytes:
        """A card that was given to an employee."""
        asked: CardLogin = decoded(request.body, CardLogin)
        instance = await self._check.instance(asked.instance)
        if instance is None:
            raise WRONG
        await self._attempts.count(instance.id, CARDS, CARD_TRIES)
        digest = self._safe.digest_of_card(instance.id, asked.card_id)
        row = await self._host.tables.fetch_one(LOGIN_BY_CARD, instance.id, digest) if digest else None
        if row is None or not may_log_in(row, request.at):
            raise WRONG
        await self._attempts.forget(instance.id, CARDS)
        return await self._enter(request, instance.id, row)

    async def switch(self, request: Request) -> bytes:
        """Somebody else at a device that is logged in; the session that was there goes on until it is ended."""
        asked: SwitchStaff = decoded(request.body, SwitchStaff)
        principal = principal_of(request)
        here = principal.instance
        instance = Instance(id=here, name="")
        row = await self._employee(here, asked.employee)
        if asked.pin is not None:
            await self._require_pin(request, instance, row, asked.employee, asked.pin)
        else:  # whoever is logged in there stands for the place
            subject = row["key"] if row else _unknown(asked.employee)
            await self._check.require(instance, row, asked.password or "", subject, principal.user, request.at)
        return await self._enter(request, here, row)

    async def _require_pin(self, request: Request, instance: Instance | None, row: Any, employee: Employee, pin: str) -> None:
        known = instance.id if instance else 0
        subject = row["key"] if row else _unknown(employee)
        await self._attempts.count(known, subject)
        right = await self._safe.matches(known, row["pin"] if row else None, pin)
        if not right or row is None or not may_log_in(row, request.at):
            raise WRONG
        await self._attempts.forget(known, subject)

    async def _employee(self, instance: int, employee: Employee) -> Any:
        key, username, number = employee.key, employee.username, employee.staff_number
        if key is not None:
            username = number = None
        elif username is not None:
            number = None
        return await self._host.tables.fetch_one(LOGIN_OF_EMPLOYEE, instance, key, username, number)

    async def _enter(self, request: Request, instance: int, row: Any) -> bytes:
        if row["apionly"]:
            raise WRONG  # programs have no place at a till
        principal = Principal(instance=instance, user=row["key"])
        view: sessions.SessionView = await self._execute(sessions.OPEN, principal, request, sessions.OpenSession(user=row["key"]))
        return msgspec.msgpack.encode(self._tokens(instance, view.key, view.state, row))

    def _tokens(self, instance: int, session: str, state: sessions.SessionState, row: Any) -> Tokens:
        return self._mint.pair(instance, session, state, permissions_of(roles_of(row), rights_given(row)))

    # staying in

    async def refresh(self, request: Request) -> bytes:
        asked: Refresh = decoded(request.body, Refresh)
        instance_id, session, generation = self._mint.read_refresh(asked.refresh_token)
        accessed, user = self._mint.session_of(asked.access_token)
        if accessed != session:
            raise DomainError(Kind.UNAUTHENTICATED, "tokens_of_two_sessions")
        if asked.instance:
            named = await self._check.instance(asked.instance)
            if named is None or named.id != instance_id:
                raise DomainError(Kind.UNAUTHENTICATED, "foreign_token")
        principal = Principal(instance=instance_id, user=f"session:{session}", session=session)
        body = sessions.RefreshSession(session=session, generation=generation, user=user)
        view: sessions.SessionView = await self._execute(sessions.REFRESH, principal, request, body)
        if view.reused or view.state.ended:
            raise DomainError(Kind.UNAUTHENTICATED, "refresh_token_reused")
        row = await self._host.tables.fetch_one(USER, instance_id, view.state.user)
        if row is None or not may_log_in(row, request.at):
            raise DomainError(Kind.UNAUTHENTICATED, "user_gone")
        return msgspec.msgpack.encode(self._tokens(instance_id, session, view.state, row))

    # passwords

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
        row = await self._host.tables.fetch_one(CREDENTIAL, principal.instance, asked.user)
        if row is not None and row["secret"] is not None:
            return msgspec.msgpack.encode(CredentialKept(user=asked.user))
        return await self._keep_password(request, principal, asked.user, asked.password, SET_FIRST)

    async def _keep_password(self, request: Request, principal: Principal, user: str, password: str, type_: CommandType) -> bytes:
        """Keeps the hash, then notes that it changed."""
        row = await self._host.tables.fetch_one(USER, principal.instance, user)
        if faults := self._safe.password_faults(password, row["username"] if row else ""):
            raise invalid(*faults)
        id_ = request.command_id or uuid4()
        name = await self._safe.keep_hash(principal.instance, f"password {user} {id_}", password)
        actor = Principal(instance=principal.instance, user=principal.user, level="system")
        return msgspec.msgpack.encode(await self._execute(type_, actor, request, SetCredential(user=user, secret=name), id_))

    async def _execute(self, type_: CommandType, principal: Principal, request: Request, body: Any, id_: UUID | None = None) -> Any:
        """Login and refresh take no key: the bus gives each its own id, and a repeat on the bus keeps it."""
        answer, _ = await self._host.dispatcher.execute(type_, command_of(request, principal, body, id_), timeout=request.left())
        return answer
