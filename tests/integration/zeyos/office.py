"""An office that asks the ERP for its customers."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from libs.contracts.erp import RECORDS
from libs.domain.records import RecordType
from libs.records.numbered import Create, Written
from tests.house import Inn
from tests.integration.dikas.erp import Erp, Reply


class Office:
    """An inn with a few accounts and contacts, its administrator, and a clerk who may read accounts and sees what their group owns."""

    def __init__(self, inn: Inn) -> None:
        self.inn = inn
        self.admin = Erp(inn.theke.url, inn.name)
        self.clerk = Erp(inn.theke.url, inn.name)
        self.ids: dict[str, int] = {}

    async def open(self) -> None:
        await self.admin.login()
        user = await self.inn.provisioning.user("clerk", "clerk-password", ("Waiter",))
        group, hidden = await self.put("groups", name="Verkauf"), await self.put("groups", name="Leitung")
        await self.put("groups2users", group=group, user=user.id, writable=1)
        for module in ("accounts", "contacts", "tickets"):
            await self.put("permissions", group=group, identifier=module, writable=1)
        await self.clerk.login("clerk", "clerk-password")
        for ix, (name, owner) in enumerate({"Ärger & Söhne": group, "Beta 100%": None, "beta_x": hidden, 'Quo"te; Ltd': None}.items()):
            contact = await self.put("contacts", lastname=f"Kontakt {name}", city=f"Ort {ix}", ownergroup=owner, extdata={"rank": ix})
            self.ids[name] = await self.put(
                "accounts", lastname=name, currency="EUR", ownergroup=owner, contact=contact, customernum=f"K-{ix}",
                type=1, description=f"Zeile eins\nZeile {ix}",
                extdata={"rank": 10 - ix, "colour": "red" if ix % 2 else "7"}, tags=[f"t{ix}", "all"],
            )  # fmt: skip

    async def put(self, resource: str, **values: Any) -> int:
        record: RecordType = RECORDS[resource]
        principal, services = self.inn.provisioning.principal, self.inn.theke.services
        body = Create(values=values)
        written, _ = await services.command(record.service, f"{record.name}.create", body, Written, principal=principal, id=uuid4())
        return written.id

    async def drop(self, resource: str, **filters: Any) -> None:
        for row in await self.rows(resource, filters=filters, fields=["ID"]):
            await self.admin.ask("DELETE", f"api/v1/{resource}/{row['ID']}")

    async def close(self) -> None:
        await asyncio.gather(self.admin.close(), self.clerk.close())

    async def rows(self, resource: str = "accounts", *, by: Erp | None = None, **asked: Any) -> Any:
        reply = await self.reply(resource, by=by, **asked)
        assert reply.status == 200, reply.raw
        return reply.json

    async def reply(self, resource: str = "accounts", *, by: Erp | None = None, **asked: Any) -> Reply:
        return await (by or self.admin).ask("POST", f"api/v1/{resource}", asked)

    async def names(self, *, by: Erp | None = None, **asked: Any) -> list[str]:
        return [row["lastname"] for row in await self.rows(by=by, fields=["lastname"], **asked)]

    async def refused(self, resource: str = "accounts", **asked: Any) -> str:
        reply = await self.reply(resource, **asked)
        assert reply.status == 400, (reply.status, reply.raw)
        return reply.text

    async def form(self, body: str, query: str = "") -> Any:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = await self.admin.ask("POST", f"api/v1/accounts{query}", raw=body.encode(), headers=headers)
        assert reply.status == 200, reply.raw
        return reply.json
