"""Appointments as a calendar shows them: each time they take place, for who may see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from services.crm.recurrence import BERLIN, DAY, MONTH
from tests.house import Inn
from tests.integration.zeyos.conftest import Hire
from tests.integration.zeyos.desk import Desk


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp())


@pytest.fixture(scope="module")
async def erp(shared_inn: Inn) -> AsyncIterator[Desk]:
    client = Desk(shared_inn.theke.url, shared_inn.name)
    await client.login()
    hours = {"datefrom": at("2026-01-31 09:00"), "dateto": at("2026-01-31 10:00")}
    await client.create("appointments", name="Abschluss", recurrence=MONTH, **hours)
    await client.create("appointments", name="Runde", recurrence=DAY, interval=2, daterecurrence=at("2026-02-06 00:00"), **hours)
    await client.create("appointments", name="Einmal", **hours)
    await client.create("appointments", name="Privat", owneruser=(await client.ask("GET", "auth/v1/")).json["user"], **hours)
    yield client
    await client.close()


def listed(rows: list[Any]) -> list[tuple[str, str]]:
    return [(row["name"], datetime.fromtimestamp(row["datefrom"], BERLIN).strftime("%m-%d %H:%M")) for row in rows]


FEBRUARY = {"from": at("2026-02-01 00:00"), "to": at("2026-03-01 00:00")}


async def test_what_takes_place_in_a_month(erp: Desk) -> None:
    rows = await erp.rows("occurrences", **FEBRUARY)
    assert listed(rows) == [("Runde", "02-02 09:00"), ("Runde", "02-04 09:00"), ("Runde", "02-06 09:00"), ("Abschluss", "02-28 09:00")]
    (closing,) = await erp.rows("occurrences/", **FEBRUARY, filters={"name": {"~": "^Ab"}})
    stored = await erp.row("appointments", closing["ID"])
    assert closing == {**stored, "datefrom": at("2026-02-28 09:00"), "dateto": at("2026-02-28 10:00")}
    assert listed(await erp.rows("occurrences", **FEBRUARY, limit=1)) == [("Runde", "02-02 09:00")]


async def test_without_the_calendar_nothing_is_seen(erp: Desk, shared_inn: Inn, hire: Hire) -> None:
    january = {"from": at("2026-01-01 00:00"), "to": at("2026-02-01 00:00")}
    assert len(await erp.rows("occurrences", **january)) == 4
    employee = await hire("Waiter")
    waiter = Desk(shared_inn.theke.url, shared_inn.name)
    await waiter.login(employee.name, employee.password)
    assert (await waiter.ask("POST", "api/v1/occurrences", january)).status == 403  # no calendar
    await waiter.close()


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"to": 5}, "from"),
        ({"from": 5}, "to"),
        ({"from": 5, "to": 5}, "to"),
        ({"from": 0, "to": 10**9}, "to"),
        ({"from": "x", "to": 5}, "from"),
        ({"from": True, "to": 5}, "from"),
        ({"from": 10**30, "to": 5}, "from"),
        ({**FEBRUARY, "limit": 0}, "limit"),
        ({**FEBRUARY, "filters": {"nothing": 1}}, "nothing"),
    ],
)
async def test_what_is_no_span_is_refused(erp: Desk, asked: dict[str, Any], named: str) -> None:
    reply = await erp.ask("POST", "api/v1/occurrences", asked)
    assert (reply.status, named in reply.text) == (400, True), reply
