"""Knocking at auth as a gateway does."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import jwt

from libs.contracts.auth.commands import (
    ConfirmSession,
    CreateInstance,
    Instance,
    Keys,
    Login,
    Logout,
    NoBody,
    Refresh,
    Revocation,
    SetFirstPassword,
    SetPassword,
    Tokens,
)
from libs.contracts.auth.events import INSTALLATION
from libs.domain.principal import Principal, system
from libs.domain.records import RecordView
from libs.records.engine import Change, Create
from libs.runtime.asking import Services
from libs.runtime.service import Host

PASSWORD = "correct horse battery"


class Door:
    """``claims`` of a token are checked against auth's public key."""

    def __init__(self, host: Host, services: Services) -> None:
        self.host = host
        self.services = services
        self.instance = 1
        self.name = ""
        self.anna = ""

    async def begin(self, name: str = "inn") -> None:
        """A new instance with the waiter Anna."""
        self.name = name
        self.instance = (await self.create_instance(name)).id
        self.anna = (await self.user("Anna", roles=("Waiter",))).key
        await self.set_password(self.anna, PASSWORD)

    async def create_instance(self, name: str, id: UUID | None = None) -> Instance:
        body = CreateInstance(name=name)
        return (await self.services.command("auth", "instance.create", body, Instance, principal=system(INSTALLATION, "test"), id=id))[0]

    async def user(self, username: str, *, instance: int = 0, **values: Any) -> RecordView:
        body = Create(values={"username": username, "roles": ("Admin",), **values})
        who = system(instance or self.instance, "test")
        return (await self.services.command("auth", "user.create", body, RecordView, principal=who))[0]

    async def change_user(self, key: str, **values: Any) -> RecordView:
        body = Change(key=key, values=values)
        return (await self.services.command("auth", "user.change", body, RecordView, principal=system(self.instance, "test")))[0]

    async def set_password(self, user: str, password: str, *, by: Principal | None = None, id: UUID | None = None) -> None:
        body = SetPassword(user=user, password=password)
        await self.services.command("auth", "user_set_password", body, dict, principal=by or system(self.instance, "test"), id=id)

    async def set_first_password(self, user: str, password: str, id: UUID | None = None) -> None:
        body = SetFirstPassword(user=user, password=password)
        await self.services.command("auth", "user_set_first_password", body, dict, principal=system(self.instance, "test"), id=id)

    async def login(self, username: str = "Anna", password: str = PASSWORD, instance: str | None = None) -> Tokens:
        body = Login(username=username, password=password, instance=self.name if instance is None else instance)
        return (await self.services.command("auth", "login", body, Tokens, principal=system(INSTALLATION, "gateway")))[0]

    async def refresh(self, tokens: Tokens, access: str = "", instance: str = "") -> Tokens:
        body = Refresh(access_token=access or tokens.access_token, refresh_token=tokens.refresh_token, instance=instance)
        return (await self.services.command("auth", "refresh", body, Tokens, principal=system(INSTALLATION, "gateway")))[0]

    async def claims(self, tokens: Tokens) -> dict[str, Any]:
        keys = await self.services.query("auth", "keys", NoBody(), Keys, principal=system(INSTALLATION, "gateway"))
        claims: dict[str, Any] = jwt.decode(tokens.access_token, keys.public_key, algorithms=["EdDSA"])
        return claims

    async def holder(self, tokens: Tokens) -> Principal:
        """Who a token stands for, as the gateway makes it."""
        claims = await self.claims(tokens)
        return Principal(instance=claims["ins"], user=claims["sub"], session=claims["sid"], permissions=claims["per"])

    async def use(self, tokens: Tokens) -> None:
        """The first use of an access token."""
        claims = await self.claims(tokens)
        body = ConfirmSession(session=claims["sid"], generation=claims["gen"])
        await self.services.command("auth", "session.confirm", body, dict, principal=await self.holder(tokens))

    async def logout(self, tokens: Tokens, session: str = "") -> None:
        who = await self.holder(tokens)
        await self.services.command("auth", "session.end", Logout(session=session or who.session), dict, principal=who)

    async def revoked(self, tokens: Tokens) -> bool:
        """Whether a gateway would refuse this access token by what auth says is revoked."""
        claims = await self.claims(tokens)
        found: list[Revocation] = []
        async for piece in self.services.stream("auth", "revocations", NoBody(), Revocation, principal=system(INSTALLATION, "gateway")):
            found += piece
        subjects = {claims["sub"], claims["sid"]}
        issued = datetime.fromtimestamp(claims["iat"]).astimezone()
        return any(one.instance == claims["ins"] and one.subject in subjects and one.valid_from > issued for one in found)
