"""Changing the settings of the house when the change brings a password. The password stops here and is kept sealed; what goes on to the
dispatcher names it and does not hold it."""

from __future__ import annotations

from typing import Final

import msgspec

from libs.bus.client import Reply
from libs.bus.server import Request
from libs.bus.subjects import Call, subject_name
from libs.contracts.pos.house import ChangeSettings, Configure
from libs.contracts.pos.permissions import SETTINGS
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.runtime.dispatcher import command_of, decoded, principal_of
from libs.runtime.sealed import Sealed
from libs.runtime.service import Host
from services.pos.house import CHANGE_SETTINGS

PASSWORD_MAX_CHARS: Final = 200


class Configuring:
    def __init__(self, host: Host, sealed: Sealed) -> None:
        self._host = host
        self._sealed = sealed

    def register(self) -> None:
        self._host.server.register(Call.COMMAND, subject_name("house.configure"), self.configure)

    async def configure(self, request: Request) -> Reply:
        """The settings after the change. Raises ``key_misuse`` if the same request comes again with another password."""
        asked: Configure = decoded(request.body, Configure)
        principal = principal_of(request)
        if not principal.may(SETTINGS, write=True):
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": SETTINGS})
        if request.command_id is None:
            raise invalid(FieldError("command_id", "required"))
        change = msgspec.structs.replace(asked.change, mail=msgspec.structs.replace(asked.change.mail, secret=msgspec.UNSET))
        if password := asked.mail_password:
            _check(password)
            name = f"mail password {request.command_id}"
            if await self._sealed.keep(principal.instance, name, password) != password:
                raise DomainError(Kind.UNPROCESSABLE, "key_misuse")
            change = msgspec.structs.replace(change, mail=msgspec.structs.replace(change.mail, secret=name))
        command = command_of(request, principal, ChangeSettings(change=change, if_match=asked.if_match))
        settings, behind = await self._host.dispatcher.execute(CHANGE_SETTINGS, command, timeout=request.left())
        return Reply(msgspec.msgpack.encode(settings), behind)


def _check(password: str) -> None:
    if len(password) > PASSWORD_MAX_CHARS:
        raise invalid(FieldError("mail.password", "too_long", {"max": PASSWORD_MAX_CHARS}))
    if not password.isprintable():
        raise invalid(FieldError("mail.password", "unprintable"))
