"""The query language as clients of the ERP speak it: decision by decision, and what administrators take away as CSV."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest

from libs.contracts.erp import RECORDS
from libs.domain.records import RecordType
from libs.projections import tables
from libs.records.numbered import Create, Written
from libs.records.query import answers
from tests.house import Inn
from tests.integration.dikas.erp import Erp, Reply

LANGUAGES = {"de": 'Konto; mit ; und "Zeichen"', "n": [1, 2]}


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


@pytest.fixture(scope="module")
async def office(shared_inn: Inn) -> AsyncIterator[Office]:
    office = Office(shared_inn)
    await office.open()
    yield office
    await office.close()


# --- export -------------------------------------------------------------------------------------------------------------------


def table(reply: Reply) -> list[list[str]]:
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/csv; charset=utf-8"), reply.raw
    text = reply.raw.decode()
    assert text.endswith("\r\n")
    return list(csv.reader(StringIO(text, newline=""), delimiter=";"))


async def test_an_export_is_a_csv_file_of_every_row(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "EXPORT_PIECE_ROWS", 2)
    monkeypatch.setattr(answers, "PIECE_MAX_BYTES", 50)
    fields = {"Name": "lastname", "0": "customernum", "Ort; klein": "contact.city", "Text": "description", "x": "extdata.colour"}
    reply = await office.reply(export=True, fields=fields, sort=["-lastname"], expand=["nonsense"])
    assert reply.headers["Content-Disposition"] == 'attachment; filename="accounts.csv"'
    assert b'"Quo""te; Ltd";' in reply.raw
    assert b'"Zeile eins\nZeile 3"' in reply.raw
    head, *rows = table(reply)
    assert head == ["Name", "customernum", "Ort; klein", "Text", "x"]
    listed = await office.rows(fields=fields, sort=["-lastname"])
    assert rows == [[row[name] for name in head] for row in listed]
    assert len(rows) == 4


async def test_an_export_of_whole_rows_shows_what_lists_show(office: Office) -> None:
    head, *rows = table(await office.reply(export="1", extdata=1, tags=1))
    listed = await office.rows(extdata=1, tags=1)
    assert head == list(listed[0])
    for cells, row in zip(rows, listed, strict=True):
        for name, cell in zip(head, cells, strict=True):
            value = row[name]
            if isinstance(value, dict | list):
                assert json.loads(cell) == value
            else:
                assert cell == ("" if value is None else str(value))


async def test_an_export_is_bounded_only_by_its_limit(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(table(await office.reply(export=True, fields=["ID"], limit=2, offset=1))) == 3
    monkeypatch.setattr("libs.records.query.compile.LIMIT", 1)
    monkeypatch.setattr("libs.records.query.compile.LIMIT_MAX", 1)
    assert len(table(await office.reply(export=True, fields=["ID"]))) == 5
    assert len(table(await office.reply(export=True, fields=["ID"], limit=3))) == 4
    assert table(await office.reply(export=True, fields=["ID"], filters={"ID": 0})) == [["ID"]]
    distinct = await office.reply(export=True, fields=["currency", "assigneduser"], distinct=True)
    assert table(distinct) == [["currency", "assigneduser"], ["EUR", ""]]


async def test_exports_are_for_administrators(office: Office) -> None:
    reply = await office.reply(by=office.clerk, export=True)
    assert (reply.status, reply.text) == (403, "Forbidden: Lacking access permission")
    counted = await office.reply(by=office.clerk, export=True, count=True)
    assert (counted.status, counted.json) == (200, {"count": 3})


async def test_what_is_wrong_with_an_export_is_told_before_it_begins(office: Office) -> None:
    assert await office.refused(export=True, fields=["nonsense"]) == "Bad Request: Invalid selection field: 'nonsense'"
    assert "lastname" in await office.refused(export=True, filters={"ID": 0, "lastname": {"~": "("}})


async def test_items_and_users_are_exported_too(office: Office) -> None:
    items = table(await office.reply("items", export=True, fields=["name", "sellingprice", "taxrate"], sort=["name"]))
    assert items[:2] == [["name", "sellingprice", "taxrate"], ["Cola", "3.50", "19"]]
    assert ["clerk"] in table(await office.reply("users", export=True, fields=["name"]))
