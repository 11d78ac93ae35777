"""Stock levels over HTTP, and the last unit that thirty clients want."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.house import Inn
from tests.integration.zeyos.desk import Desk


@pytest.fixture(scope="module")
async def erp(shared_inn: Inn) -> AsyncIterator[Desk]:
    client = Desk(shared_inn.theke.url, shared_inn.name)
    await client.login()
    yield client
    await client.close()


async def test_levels_follow_what_moves(erp: Desk) -> None:
    item = (await erp.create("items", name="Fass", sellingprice=90))["ID"]
    north, south = [(await erp.create("storages", name=name))["ID"] for name in ("Nord", "Süd")]
    await erp.create("stocktransactions", item=item, storage=north, amount=10)
    out = (await erp.create("stocktransactions", item=item, storage=north, amount=-4))["ID"]
    await erp.create("stocktransactions", item=item, storage=south, amount=4, transfer=out)
    held = (await erp.create("stocktransactions", item=item, storage=south, amount=-3, flag=1))["ID"]
    assert await erp.create("stocktransactions", 409, item=item, storage=north, amount=4, transfer=out)

    async def levels() -> dict[str, tuple[int, int, int]]:
        fields = ["item.name", "storage.name", "booked", "reserved", "available"]
        rows = await erp.rows("stocklevels", filters={"item": item}, fields=fields, sort=["storage.name"])
        assert {row["item.name"] for row in rows} <= {"Fass"}
        return {row["storage.name"]: (row["booked"], row["reserved"], row["available"]) for row in rows}

    assert await levels() == {"Nord": (6, 0, 6), "Süd": (4, 3, 1)}
    await erp.change("stocktransactions", held, flag=0)
    await erp.change("stocktransactions", out, flag=2)
    assert await levels() == {"Nord": (10, 0, 10), "Süd": (1, 0, 1)}
    (row,) = await erp.rows("stocklevels", filters={"storage": south})
    assert (await erp.row("stocklevels", row["ID"])) == row
    await erp.delete("storages", south)
    assert await levels() == {"Nord": (10, 0, 10), None: (1, 0, 1)}
    await erp.delete("items", item)
    assert await levels() == {}


async def test_of_many_who_take_the_last_unit_one_gets_it(erp: Desk) -> None:
    item = (await erp.create("items", name="Rest", forcestock=0))["ID"]
    await erp.create("stocktransactions", item=item, amount=1)
    taken = await asyncio.gather(*(erp.ask("PUT", "api/v1/stocktransactions", {"item": item, "amount": -1}) for _ in range(30)))
    assert sorted(reply.status for reply in taken) == [201] + [409] * 29
    (level,) = await erp.rows("stocklevels", filters={"item": item})
    assert (level["storage"], level["booked"]) == (None, 0)
