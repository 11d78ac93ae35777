"""Payments and notices over HTTP: what a client sees of a transaction after each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from tests.house import Inn
from tests.integration.zeyos.desk import Desk


@pytest.fixture(scope="module")
async def erp(shared_inn: Inn) -> AsyncIterator[Desk]:
    client = Desk(shared_inn.theke.url, shared_inn.name)
    await client.login()
    yield client
    await client.close()


async def invoice(erp: Desk, num: str, **values: object) -> int:
    made = {"transactionnum": num, "type": 3, "status": 1, "currency": "EUR", "netamount": 100, "tax": 19, **values}
    row = await erp.create("transactions", **made)
    return int(row["ID"])


async def test_a_payment_settles_an_invoice(erp: Desk) -> None:
    one = await invoice(erp, "S-1")
    before = (await erp.ask("HEAD", f"api/v1/transactions/{one}")).tag
    payment = await erp.create("payments", transaction=one, amount=Decimal("60.50"), status=1)
    row = await erp.row("transactions", one)
    assert row["status"] == 17
    assert (await erp.ask("HEAD", f"api/v1/transactions/{one}")).tag != before
    await erp.create("payments", transaction=one, amount=Decimal("58.50"), status=3)
    assert (await erp.row("transactions", one))["status"] == 20
    assert (await erp.change("transactions", one, netamount=90))["status"] == 21
    await erp.change("payments", payment["ID"], status=2)
    assert (await erp.row("transactions", one))["status"] == 17
    await erp.delete("payments", payment["ID"])
    (settled,) = await erp.rows("settlements", filters={"ID": one})
    assert (settled["due"], settled["paid"], settled["open"], settled["status"]) == (109, Decimal("58.5"), Decimal("50.5"), 17)


async def test_payments_that_come_at_once_all_count(erp: Desk) -> None:
    one = await invoice(erp, "S-2", netamount=20, tax=0)
    paid = await asyncio.gather(*(erp.ask("PUT", "api/v1/payments", {"transaction": one, "amount": 1, "status": 1}) for _ in range(20)))
    assert [reply.status for reply in paid] == [201] * 20
    assert (await erp.row("transactions", one))["status"] == 20
    ids = [reply.json["ID"] for reply in paid]
    other = await invoice(erp, "S-3", netamount=20, tax=0)
    await asyncio.gather(
        *(erp.change("payments", id_, transaction=other) for id_ in ids[:10]), *(erp.delete("payments", id_) for id_ in ids[10:])
    )
    statuses = {row["ID"]: row["status"] for row in await erp.rows("transactions", filters={"ID": [one, other]})}
    assert statuses == {one: 1, other: 17}
    (settled,) = await erp.rows("settlements", fields=["paid", "open"], filters={"ID": other})
    assert settled == {"paid": 10, "open": 10}


async def test_a_repeated_payment_is_one(erp: Desk) -> None:
    one = await invoice(erp, "S-4")
    body = {"transaction": one, "amount": 119, "status": 1}
    first = await erp.ask("PUT", "api/v1/payments", body, headers={"Idempotency-Key": "pay-once"})
    await erp.change("payments", first.json["ID"], transaction=None)
    again = await erp.ask("PUT", "api/v1/payments", body, headers={"Idempotency-Key": "pay-once"})
    assert (again.status, again.json) == (201, first.json)
    assert (await erp.row("transactions", one))["status"] == 1


async def test_notices_show_in_what_is_settled(erp: Desk) -> None:
    one, order = await invoice(erp, "S-5"), await invoice(erp, "S-6", type=1)
    notice = await erp.create("dunning", dunningnum="D-1", fee=5, type=1)
    await erp.create("dunning2transactions", dunning=notice["ID"], transaction=one)
    assert "transaction" in await erp.create("dunning2transactions", 400, dunning=notice["ID"], transaction=order)

    async def dunned() -> tuple[int, Decimal]:
        (row,) = await erp.rows("settlements", filters={"ID": one}, fields=["dunned", "dunningfees"])
        return row["dunned"], row["dunningfees"]

    for status, expected in ((0, (0, 0)), (1, (1, 5)), (2, (0, 0)), (3, (1, 5))):
        await erp.change("dunning", notice["ID"], status=status)
        assert await dunned() == expected
    open_ones = await erp.rows("settlements", filters={"dunned": {">": 0}, "open": {">": 0}}, fields=["transactionnum"])
    assert [row["transactionnum"] for row in open_ones] == ["S-5"]
    await erp.delete("dunning", notice["ID"])
    assert await dunned() == (0, 0)


async def test_settlements_are_only_read(erp: Desk) -> None:
    one = await invoice(erp, "S-7")
    assert (await erp.row("settlements", one))["open"] == 119
    for method in ("PUT", "PATCH", "DELETE"):
        path = "api/v1/settlements" if method == "PUT" else f"api/v1/settlements/{one}"
        assert (await erp.ask(method, path, {})).status == 405
