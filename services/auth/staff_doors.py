"""Employees as they are hired and changed, with the secrets of their logins: checked and put away first, then decided."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec

from libs.bus.client import Reply
from libs.bus.server import Request
from libs.contracts.auth.commands import KeepStaff, StaffView
from libs.contracts.auth.records import USER
from libs.contracts.auth.rights import STAFF
from libs.domain.decider import Command, CommandType
from libs.domain.errors import DomainError, Kind, conflict, not_found
from libs.domain.ids import key_of
from libs.domain.principal import Principal
from libs.records.validate import KEY_MAX_CHARS, accept, is_key
from libs.runtime.dispatcher import command_of, decoded, principal_of
from libs.runtime.service import Host
from services.auth.credentials import CARD_CLAIM
from services.auth.queries import LAST_LOGIN
from services.auth.queries import USER as USER_BY_KEY
from services.auth.safekeeping import Safekeeping
from services.auth.staff import CHANGE, CREATE, ChangeUser, CreateUser


class StaffDoors:
    def __init__(self, host: Host, safe: Safekeeping) -> None:
        self._host = host
        self._safe = safe

    async def create(self, request: Request) -> Reply:
        asked, principal = self._asked(request)
        id_ = request.command_id or uuid4()
        self._check(asked, str(asked.values.get("username") or ""), create=True)
        credentials = await self._safe.keep(principal.instance, key_of(USER.prefix, id_), asked, id_)
        body = CreateUser(values=asked.values, credentials=credentials)
        return await self._execute(CREATE, command_of(request, principal, body, id_), request)

    async def change(self, request: Request) -> Reply:
        asked, principal = self._asked(request)
        row = await self._host.tables.fetch_one(USER_BY_KEY, principal.instance, asked.key) if is_key(asked.key) else None
        if row is None:
            raise not_found("user_not_found", id=asked.key[:KEY_MAX_CHARS])
        id_ = request.command_id or uuid4()
        self._check(asked, str(asked.values.get("username") or row["username"]), create=False)
        credentials = await self._safe.keep(principal.instance, asked.key, asked, id_)
        body = ChangeUser(key=asked.key, values=asked.values, if_match=asked.if_match, credentials=credentials)
        return await self._execute(CHANGE, command_of(request, principal, body, id_), request)

    def _asked(self, request: Request) -> tuple[KeepStaff, Principal]:
        """Refused before anything is hashed."""
        principal = principal_of(request)
        if not principal.may(STAFF, write=True):
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": STAFF})
        return decoded(request.body, KeepStaff), principal

    def _check(self, asked: KeepStaff, username: str, *, create: bool) -> None:
        """Names every field at fault, secret or not."""
        accept(USER, asked.values, create=create, also=tuple(self._safe.faults(asked, username)))

    async def _execute(self, type_: CommandType, command: Command[Any], request: Request) -> Reply:
        try:
            view, behind = await self._host.dispatcher.execute(type_, command, timeout=request.left())
        except DomainError as refusal:
            if refusal.params.get("scope") == CARD_CLAIM:
                raise conflict("card_taken") from None  # the value in the refusal is the card's digest
            raise
        row = await self._host.tables.fetch_one(LAST_LOGIN, command.instance, view.key)
        shown: StaffView = msgspec.structs.replace(view, last_login=row["at"]) if row else view
        return Reply(msgspec.msgpack.encode(shown), behind)
