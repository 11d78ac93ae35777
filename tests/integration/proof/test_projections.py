"""``theke projections``: tables are rebuilt and switched while tills sell and read, and a poison event is retried or skipped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import pytest

from libs.cli import projections as module
from libs.cli.places import Unknown
from libs.cli.projections import NotDone, listed, named, rebuilt, render, retried, settled, skipped, switched_back
from libs.cli.verify import verify
from libs.projections import store
from libs.runtime.proof import Places
from services.pos.projections import RECEIPTS
from tests.house import Inn, Theke, Till, done, item

LOOK_EVERY_S = 0.02
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def places(theke: Theke) -> Places:
    return Places(theke.log_dsn, theke.read_dsn, theke.settings.nats_url)


@asynccontextmanager
async def selling(inn: Inn, till: Till) -> AsyncIterator[list[str]]:
    """A till that sells and reads what it sold, and a table that orders and pays, without a pause. The receipts sold so far."""
    stop, sold = asyncio.Event(), [str((await till.sell(item(inn.menu["Pils"])))["id"])]

    async def work() -> None:
        while not stop.is_set():
            receipt = await till.sell(item(inn.menu["Pils"]))
            assert done(await till.get(f"receipts/{receipt['id']}")) == receipt
            sold.append(receipt["id"])
            await till.order(inn.tables[1], item(inn.menu["Cola"], 2))
            assert len(await till.open_items(inn.tables[1])) == 1
            sold.append((await till.pay(inn.tables[1]))["id"])
            assert await till.open_items(inn.tables[1]) == []

    working = asyncio.create_task(work())
    try:
        yield sold
    finally:
        stop.set()
        await working


async def test_all_tables_of_pos_are_rebuilt_and_switched_there_and_back_while_tills_sell(
    theke: Theke, places: Places, shared_inn: Inn, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await _receipts(places)
    async with selling(shared_inn, till) as sold:
        all_ = named(())["pos"]
        sold_before = len(sold)
        built = await rebuilt(places, "pos", all_)
        assert built.switched
        generation = built.builds[0].rpartition("g")[2]
        assert built.builds == [f"{made.name}_r{made.revision}g{generation}" for made in all_]
        assert built.events >= sold_before
        assert {one.build.rpartition("g")[2] for one in await listed(places, ["pos"])} == {generation}
        assert (await verify(places, ["pos"], shared_inn.instance)).holds
        await _more(sold)
        await switched_back(places, "pos", [RECEIPTS])
        await _more(sold)
        one = next(one for one in await listed(places, ["pos"]) if one.projection == "receipts")
        assert (one.build, one.others) == (before.build, {f"r{RECEIPTS.revision}g{generation}": "previous"})
        assert (await verify(places, ["pos"], shared_inn.instance)).holds
        await switched_back(places, "pos", [RECEIPTS])
        monkeypatch.setattr(module, "LET_GO_WITHIN_S", 6.0)
        await settled(places, "pos", all_)
        await _more(sold)
    assert (await verify(places, ["pos"], shared_inn.instance)).holds
    with pytest.raises(NotDone, match="receipts has no tables from before"):
        await switched_back(places, "pos", [RECEIPTS])
    listed_ids = [receipt["id"] for receipt in done(await till.get("receipts"))]
    assert sorted(listed_ids) == sorted(sold)


async def _more(sold: list[str]) -> None:
    before = len(sold)
    async with asyncio.timeout(PATIENCE_S):
        while len(sold) < before + 4:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)


async def test_a_poison_event_is_retried_and_then_skipped_and_a_proof_knows_of_it(
    theke: Theke, places: Places, inn: Inn, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = await inn.till()
    await till.sell(item(inn.menu["Pils"]))
    handle, reads = RECEIPTS.handlers["receipt.issued"]

    def stumble(rows: Any, event: Any) -> None:
        if event.instance == inn.instance and event.number == 2:
            raise ValueError("a receipt nobody understands")
        handle(rows, event)

    monkeypatch.setitem(RECEIPTS.handlers, "receipt.issued", (stumble, reads))
    poison = await till.post("payments/direct-sale", {"items": [item(inn.menu["Pils"])], "payments": [{"type": 0}]})
    assert (poison.status, poison.headers["Theke-Projection"]) == (201, "behind")
    one = await _receipts(places)
    [why] = one.held.values()
    position = int(why.split("position ")[1].split(":")[0])
    assert one.lag > 0
    assert "projections retry|skip" in render([one])
    assert "is held" in (await verify(places, ["pos"], inn.instance)).logs[0].findings[0].what

    with pytest.raises(NotDone, match="is not held at 1 for"):
        await skipped(places, "pos", RECEIPTS, inn.instance, 1)
    assert await retried(places, "pos", RECEIPTS, inn.instance) == [inn.instance]
    async with asyncio.timeout(PATIENCE_S):
        while not (await _receipts(places)).held:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)

    written = await skipped(places, "pos", RECEIPTS, inn.instance, position, "it cannot be understood")
    connection = await asyncpg.connect(theke.log_dsn)
    row = await connection.fetchrow("select * from pos.events where instance = $1 and position = $2", inn.instance, written)
    await connection.close()
    assert (row["type"], b"cannot be understood" in row["data"]) == ("projection.skipped", True)
    async with asyncio.timeout(PATIENCE_S):
        while (await _receipts(places)).lag:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)
    third = await till.post("payments/direct-sale", {"items": [item(inn.menu["Pils"])], "payments": [{"type": 0}]})
    assert "Theke-Projection" not in third.headers
    assert [receipt["number"] for receipt in done(await till.get("receipts"))] in ([1, 3], [3, 1])
    assert (await verify(places, ["pos"], inn.instance)).holds, "the proof passes over it too"
    with pytest.raises(NotDone, match="is not held"):
        await retried(places, "pos", RECEIPTS)


async def _receipts(places: Places) -> module.Shown:
    return next(one for one in await listed(places, ["pos"]) if one.projection == "receipts")


async def test_the_tables_of_a_new_revision_are_filled_before_its_services_start(theke: Theke, places: Places, shared_inn: Inn) -> None:
    """By the code of the new version, while the old one serves."""
    await (await shared_inn.till()).sell(item(shared_inn.menu["Pils"]))
    coming = msgspec.structs.replace(RECEIPTS, revision=RECEIPTS.revision + 1)
    built = await rebuilt(places, "pos", [coming])
    assert (built.switched, built.builds) == (False, [f"receipts_r{coming.revision}"])
    one = await _receipts(places)
    assert one.others[f"r{coming.revision}"] == "active"
    assert one.build.startswith(f"r{RECEIPTS.revision}")
    connection = await asyncpg.connect(theke.read_dsn)
    both = [
        await connection.fetch(f"select * from pos.receipts_{build} where instance = $1 order by key", shared_inn.instance)
        for build in (one.build, f"r{coming.revision}")
    ]
    await store.drop(connection, "pos", "receipts", coming.revision, 0, [table.name for table in coming.tables])
    await connection.close()
    assert both[0] == both[1] != []


def test_names_of_projections_are_told_apart() -> None:
    assert named(["pos.receipts"]) == named(["receipts"]) == {"pos": [RECEIPTS]}
    with pytest.raises(Unknown, match="no projection"):
        named(["pos.cakes"])
    with pytest.raises(Unknown, match="no projection"):
        named(["auth.receipts"])
