"""A log that lost its tail takes no more events until an operator decides; then it goes on, and nobody mistakes the new for the lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import nats
import pytest

from libs.bus.subjects import log_stream
from libs.cli import log as module
from libs.cli.confirming import agreed
from libs.cli.diagnosis import wrong
from libs.cli.log import begin, contradictions, render
from libs.cli.projections import listed
from libs.cli.verify import verify
from libs.contracts.lives import BeginLife, Begun
from libs.domain.errors import DomainError
from libs.domain.principal import system
from libs.runtime import lives
from libs.runtime.proof import Places
from tests.house import Inn, Theke, Till, done, item, refused
from tests.lost_tail import LOG, dump, log_of_pos, relay_is, restore

PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def places(theke: Theke) -> Places:
    return Places(theke.log_dsn, theke.read_dsn, theke.settings.nats_url)


async def status_of_pos(theke: Theke) -> dict[str, Any]:
    return {"pos": await theke.services.query("pos", "status", {}, dict[str, Any], principal=system(0, "test"))}


async def sell(inn: Inn, till: Till, count: int) -> list[Any]:
    return [await till.sell(item(inn.menu["Pils"])) for _ in range(count)]


async def test_a_log_restored_from_an_older_dump_stands_still_until_it_begins_a_new_life(
    theke: Theke, places: Places, inn: Inn, tmp_path: Path
) -> None:
    till = await inn.till()
    await till.order(inn.tables[1], item(inn.menu["Cola"]))
    kept = await sell(inn, till, 2)
    await relay_is(theke, inn.instance, "copying")
    dumped = await dump(theke, inn.instance)
    head = len(dumped["events"])
    lost = await sell(inn, till, 3)
    await till.order(inn.tables[2], item(inn.menu["Cola"]))
    await relay_is(theke, inn.instance, "copying")
    copied = head + (len((await dump(theke, inn.instance))["events"]) - head)
    consumer = await durable(theke, inn.instance)

    await restore(theke, inn.instance, dumped)
    await relay_is(theke, inn.instance, "ahead")
    for _ in range(2):
        refusal = await till.post("payments/direct-sale", {"items": [item(inn.menu["Pils"])], "payments": [{"type": 0}]})
        refused(refusal, 503, "Dem Protokoll fehlen Buchungen", "theke log new-life")
    assert len((await dump(theke, inn.instance))["events"]) == head, "nothing was written"
    trouble = [one for one in wrong([], await status_of_pos(theke)) if f"i{inn.instance}" in one.what]
    assert "theke log new-life" in trouble[0].next

    found = await contradictions(places, ["pos"], inn.instance)
    [one] = found
    assert (one.state, one.head, one.copied, one.behind, one.lost, one.unpublished) == ("ahead", head, copied, head, copied - head, 0)
    assert f"({head + 1} to {copied}) are lost" in render(found)
    [begun] = await begin(places, found, tmp_path / "lost", "a disk")
    assert (begun.behind, begun.lost, begun.noted) == (head, copied, head + 1)
    lines = [json.loads(line) for line in Path(begun.kept).read_bytes().splitlines()]
    assert [line["position"] for line in lines] == list(range(head + 1, copied + 1))
    assert Path(begun.kept).stat().st_mode & 0o777 == 0o600
    assert await contradictions(places, ["pos"], inn.instance) == [], "idempotent: there is nothing left to decide"

    again = await sell(inn, till, 4)
    assert [receipt["number"] for receipt in again] == [receipt["number"] for receipt in lost] + [again[-1]["number"]]
    assert {receipt["id"] for receipt in await till.receipts()} == {receipt["id"] for receipt in (*kept, *again)}, "no lost one is shown"
    assert len(await till.open_items(inn.tables[1])) == 1
    assert await till.open_items(inn.tables[2]) == []
    await till.order(inn.tables[2], item(inn.menu["Pils"]))
    await relay_is(theke, inn.instance, "copying")
    verified = await verify(places, ["pos"], inn.instance)
    assert verified.holds, verified.logs
    assert verified.logs[0].copied[0] == head + 1, "the stream begins behind what both had"
    assert not any(shown.others for shown in await listed(places, ["pos"]) if "previous" in shown.others.values())

    first = await first_message(theke, inn.instance)
    assert (first["position"], first["type"], first["data"]["lost"], first["data"]["behind"]) == (head + 1, "log.life_began", copied, head)
    assert not await is_there(theke, inn.instance, consumer), "who followed the old life has to decide too"
    noted = await theke.hosts["auth"].log.read_stream(0, lives.stream("pos", inn.instance), 2**62)
    assert [(event.data.service, event.data.instance, event.data.reason) for event in noted] == [("pos", inn.instance, "a disk")]


async def durable(theke: Theke, instance: int) -> str:
    client = await nats.connect(theke.settings.nats_url)
    try:
        await client.jetstream().pull_subscribe("", durable="downstream", stream=log_stream("pos", instance))
    finally:
        await client.close()
    return "downstream"


async def is_there(theke: Theke, instance: int, consumer: str) -> bool:
    client = await nats.connect(theke.settings.nats_url)
    try:
        return consumer in [info.name for info in await client.jetstream().consumers_info(log_stream("pos", instance))]
    finally:
        await client.close()


async def first_message(theke: Theke, instance: int) -> Any:
    client = await nats.connect(theke.settings.nats_url)
    try:
        stream = client.jetstream()
        state = (await stream.stream_info(log_stream("pos", instance))).state
        return json.loads((await stream.get_msg(log_stream("pos", instance), seq=state.first_seq)).data or b"")
    finally:
        await client.close()


async def test_a_log_that_went_on_after_it_lost_its_tail_publishes_what_was_written_since(
    theke: Theke, places: Places, inn: Inn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes in the instant before the relay looks. Broken off in the middle, it is finished by whoever repeats it."""
    till = await inn.till()
    await sell(inn, till, 1)
    await relay_is(theke, inn.instance, "copying")
    dumped = await dump(theke, inn.instance)
    head = len(dumped["events"])
    await sell(inn, till, 4)
    await relay_is(theke, inn.instance, "copying")
    copied = len((await dump(theke, inn.instance))["events"])
    await restore(theke, inn.instance, dumped)
    [since] = await past_the_guard(theke, inn, till)
    await relay_is(theke, inn.instance, "ahead")

    [one] = await contradictions(places, ["pos"], inn.instance)
    written = len((await dump(theke, inn.instance))["events"]) - head
    assert (one.state, one.behind, one.lost, one.unpublished) == ("diverged", head, copied - head, written)
    command = module.Services.command

    async def broken_off(*_: Any, **__: Any) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(module.Services, "command", broken_off)
    with pytest.raises(ConnectionResetError):
        await begin(places, [one], tmp_path)
    monkeypatch.setattr(module.Services, "command", command)
    [left] = await contradictions(places, ["pos"], inn.instance)
    assert (left.state, left.behind, left.lost) == ("begun", head, copied - head)
    assert "was not written down" in render([left])
    [begun] = await begin(places, [left], tmp_path)
    assert begun.lost == copied
    assert await contradictions(places, ["pos"], inn.instance) == []
    more = await sell(inn, till, 1)
    assert {receipt["id"] for receipt in await till.receipts()} >= {since["id"], more[0]["id"]}
    await relay_is(theke, inn.instance, "copying")
    assert (await verify(places, ["pos"], inn.instance)).holds
    assert (await first_message(theke, inn.instance))["position"] == head + 1


async def past_the_guard(theke: Theke, inn: Inn, till: Till) -> list[Any]:
    """A sale while the log is ahead already: the guard is taken away until one came through."""
    async with log_of_pos(theke) as connection, asyncio.timeout(PATIENCE_S):
        while True:
            await connection.execute("delete from closed where instance = $1", inn.instance)
            answer = await till.post("payments/direct-sale", {"items": [item(inn.menu["Pils"])], "payments": [{"type": 0}]})
            if answer.status == 201:
                return [answer.data]


async def test_a_log_that_is_gone_as_a_whole_is_begun_again_at_one(theke: Theke, places: Places, inn: Inn, tmp_path: Path) -> None:
    till = await inn.till()
    await relay_is(theke, inn.instance, "copying")
    copied = len((await dump(theke, inn.instance))["events"])
    await restore(theke, inn.instance, {table: [] for table in LOG})
    [one] = await contradictions(places, ["pos"], inn.instance)
    assert (one.head, one.behind, one.lost) == (0, 0, copied)
    [begun] = await begin(places, [one], tmp_path)
    assert begun.noted == 0, "there is no log to write it down in"
    await sell(inn, till, 1)
    await relay_is(theke, inn.instance, "copying")
    assert (await first_message(theke, inn.instance))["position"] == 1
    assert (await verify(places, ["pos"], inn.instance)).holds


async def test_nobody_but_theke_begins_a_life_and_nobody_agrees_unasked(theke: Theke, inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    body = BeginLife(service="pos", instance=inn.instance, life="0", behind=1, lost=2)
    till = await inn.till()
    me = done(await till.get("auth/me"))
    principal = system(inn.instance, me["id"]).__class__(inn.instance, me["id"])
    with pytest.raises(DomainError, match="missing_right"):
        await theke.services.command("pos", "log.begin_life", body, Begun, principal=principal)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert not agreed("Really?", yes=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "no")
    assert not agreed("Really?", yes=False)
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    assert agreed("Really?", yes=False)
