"""Who follows a row is told what others do with it: once, in a feed of their own, and only what they may see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from libs.domain.clock import SystemClock
from libs.domain.decider import Command
from libs.domain.principal import system
from libs.runtime.hearing import Heard, Hearing
from libs.runtime.publishing import CloudEvent
from services.crm.monitor import MONITOR, Monitor, Note
from services.crm.records import NOTE
from tests.house import Inn
from tests.integration.zeyos.conftest import Hire
from tests.integration.zeyos.desk import Desk

TOLD_WITHIN_S = 20.0


@pytest.fixture(scope="module")
async def erp(shared_inn: Inn) -> AsyncIterator[Desk]:
    client = Desk(shared_inn.theke.url, shared_inn.name)
    await client.login()
    yield client
    await client.close()


@pytest.fixture
async def follower(shared_inn: Inn, hire: Hire) -> AsyncIterator[Desk]:
    """Another administrator."""
    employee = await hire("Admin", first_name="Frieda", last_name="Folger")
    client = Desk(shared_inn.theke.url, shared_inn.name)
    await client.login(employee.name, employee.password)
    yield client
    await client.close()


async def told(client: Desk, count: int, index: int) -> list[Any]:
    """The feed about a row, once there is that much in it."""
    async with asyncio.timeout(TOLD_WITHIN_S):
        while True:
            mine = (await client.ask("GET", "auth/v1/")).json["user"]
            filters = {"flag": MONITOR, "index": index, "owneruser": mine}
            rows: list[Any] = await client.rows("records", filters=filters, sort=["ID"])
            if len(rows) >= count:
                return rows
            await asyncio.sleep(0.05)


async def test_a_follower_is_told_of_every_change_by_somebody_else(erp: Desk, follower: Desk) -> None:
    project = (await erp.create("projects", name="Umbau"))["ID"]
    await erp.change("projects", project, name="Umbau Küche")  # nobody follows yet
    await follower.create("follows", entity="projects", index=project)
    await follower.change("projects", project, status=1)  # one's own change is no news
    for values in ({"status": 2}, {"visibility": 1}, {"visibility": 0, "name": "Umbau Bar"}, {"visibility": 2}):
        await erp.change("projects", project, **values)
    rows = await told(follower, 4, project)
    assert [row["text"].split(" ", 3)[:3] for row in rows] == [
        [action, "projects", str(project)] for action in ("MODIFY", "ARCHIVE", "RESTORE", "DELETE")
    ]
    assert rows[-1]["text"].endswith("Umbau Bar")
    assert {(row["entity"], row["flag"], row["creator"], row["sender"]) for row in rows} == {("projects", MONITOR, None, "Ada Wirt")}


async def test_what_other_services_keep_is_heard_too(erp: Desk, follower: Desk) -> None:
    item = (await erp.create("items", name="Kanne", sellingprice=9))["ID"]
    invoice = (await erp.create("transactions", transactionnum="M-1", type=3, status=1, currency="EUR", netamount=9))["ID"]
    for entity, index in (("items", item), ("transactions", invoice)):
        await follower.create("follows", entity=entity, index=index)
    await erp.change("items", item, sellingprice=10)
    await erp.create("payments", transaction=invoice, amount=9, status=1)
    assert [row["text"] for row in await told(follower, 1, item)][:1] == [f"MODIFY items {item} Kanne"]
    assert f"MODIFY transactions {invoice} M-1" in [row["text"] for row in await told(follower, 1, invoice)]


async def test_nothing_is_told_twice_and_nothing_is_lost(erp: Desk, follower: Desk, shared_inn: Inn) -> None:
    """A process that starts anew goes on behind what is in the log; one that was slower finds everything noted."""
    task = (await erp.create("tasks", name="Fegen"))["ID"]
    await follower.create("follows", entity="tasks", index=task)
    for priority in (0, 1, 3):
        await erp.change("tasks", task, priority=priority)
    first = await told(follower, 3, task)
    host = shared_inn.theke.hosts["crm"]
    again = Monitor(host, NOTE)
    place = await again.place(shared_inn.instance, "crm")
    assert place.position > 0
    seen = (first[0]["owneruser"],)
    late = Note(source="crm", position=place.position, entity="tasks", index=task, text="MODIFY tasks 1", followers=seen)
    command = Command(uuid4(), SystemClock().now(), system(shared_inn.instance, "crm"), late)
    answer, _ = await host.dispatcher.execute(NOTE, command, timeout=10)
    assert answer == 0
    await erp.change("tasks", task, priority=4)
    assert [row["ID"] for row in await told(follower, 4, task)][:3] == [row["ID"] for row in first]
    assert len(await told(follower, 4, task)) == 4


async def test_what_was_said_before_one_listened_is_read_from_the_log(erp: Desk, shared_inn: Inn) -> None:
    await erp.create("notes", name="Vorher")
    heard: list[int] = []
    more = asyncio.Event()

    async def from_the_start(_instance: int, _source: str) -> Heard:
        return Heard()

    async def keep(instance: int, _source: str, _life: str, events: Sequence[CloudEvent]) -> None:
        if instance == shared_inn.instance:
            heard.extend(event.position for event in events)
            more.set()

    host = shared_inn.theke.hosts["crm"]  # billing may not hear crm
    await Hearing(host, "listener", ["crm"], from_the_start, keep).start()
    for name in ("Während", "Danach"):
        await erp.create("notes", name=name)
    head = (await shared_inn.theke.hosts["crm"].log.heads())[shared_inn.instance]
    async with asyncio.timeout(TOLD_WITHIN_S):
        while not heard or heard[-1] < head:
            await more.wait()
            more.clear()
    assert heard[:head] == list(range(1, head + 1))


async def test_what_one_may_not_see_any_more_is_not_told(erp: Desk, shared_inn: Inn, hire: Hire) -> None:
    employee = await hire("Waiter")
    waiter = Desk(shared_inn.theke.url, shared_inn.name)
    await waiter.login(employee.name, employee.password)
    mine = (await waiter.ask("GET", "auth/v1/")).json["user"]
    secret, public = [(await erp.create("objects", name=name, entity="x"))["ID"] for name in ("Geheim", "Offen")]
    for index in (secret, public):
        await waiter.create("follows", entity="objects", index=index)
    await erp.change("objects", secret, owneruser=(await erp.ask("GET", "auth/v1/")).json["user"])
    await erp.change("objects", public, data={"a": 1})
    assert [row["text"] for row in await told(waiter, 1, public)] == [f"MODIFY objects {public} Offen"]
    assert await erp.rows("records", filters={"flag": MONITOR, "index": secret, "owneruser": mine}) == []
    await waiter.close()


async def test_clients_neither_write_nor_rewrite_what_is_told(erp: Desk, follower: Desk) -> None:
    note = (await erp.create("notes", name="Zettel"))["ID"]
    assert "flag" in await follower.create("records", 400, entity="notes", index=note, flag=MONITOR, text="CREATE notes")
    own = (await follower.create("records", entity="notes", index=note, text="Hallo"))["ID"]
    assert "flag" in await follower.change("records", own, 400, flag=MONITOR)
    await follower.create("follows", entity="notes", index=note)
    await erp.change("notes", note, name="Zettel 2")
    (row,) = await told(follower, 1, note)
    await follower.change("records", row["ID"], 403, text="nichts gewesen")
    await follower.change("records", row["ID"], 403, flag=0)
