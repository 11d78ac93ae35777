"""``theke events``: reading logs through their services, and straight from the database where one is down."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.cli import events as module
from libs.cli.events import Logs
from libs.cli.main import parser
from libs.cli.places import Unknown
from libs.runtime import log_reading
from libs.runtime.log_reading import LogRequest
from libs.runtime.proof import Places
from tests.house import Inn, Theke, Till, item


@pytest.fixture(scope="module")
async def sold(shared_inn: Inn, till: Till) -> Inn:
    await till.order(shared_inn.tables[1], item(shared_inn.menu["Schnitzel"]))
    for _ in range(5):
        await till.sell(item(shared_inn.menu["Pils"]))
    return shared_inn


@pytest.fixture(params=["through the service", "straight"])
async def known(theke: Theke, request: Any) -> Places:
    return Places(theke.log_dsn, theke.read_dsn, theke.settings.nats_url if request.param == "through the service" else "")


@pytest.fixture
async def logs(known: Places) -> AsyncIterator[Logs]:
    async with AsyncExitStack() as open_:
        yield Logs(known, open_)


async def asked(known: Places, logs: Logs, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[Any]:
    """What ``theke events …`` prints for programs."""
    chosen: Namespace = parser().parse_args(["events", *arguments, "--json"])
    work = {"tail": module._tail, "show": module._show, "search": module._search}[chosen.action]
    await work(chosen, known, logs)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_tail_show_and_search_find_events_by_what_they_are(
    known: Places, logs: Logs, sold: Inn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACK_ROWS", 3)
    monkeypatch.setattr(log_reading, "WINDOW_ROWS", 4)
    monkeypatch.setattr(log_reading, "PAGE_ROWS", 2)
    mine = ("--instance", sold.name)

    async def ask(*arguments: str) -> list[Any]:
        return await asked(known, logs, capsys, *arguments, *mine)

    issued = await ask("search", "--service", "pos", "--type", "receipt.issued")
    assert [event["number"] for event in issued] == [1, 2, 3, 4, 5]
    newest = await ask("tail", "-n", "2", "--type", "receipt.issued", "--service", "pos")
    assert newest == issued[-2:]
    everywhere = await ask("tail", "-n", "200")
    assert {event["source"].split("/")[1] for event in everywhere} >= {"auth", "inventory", "pos"}
    assert [event["time"] for event in everywhere] == sorted(event["time"] for event in everywhere)

    head = (await logs.heads("pos"))[sold.instance]
    whole = await ask("show", "pos", f"1-{head}")
    assert [event["position"] for event in whole] == list(range(1, head + 1))
    assert await ask("show", "pos", "3") == [whole[2]]
    with pytest.raises(Unknown, match=f"ends at {head}"):
        await ask("show", "pos", str(head + 1))

    of_stream = await ask("search", "--stream", issued[2]["stream"], "--service", "pos")
    assert issued[2] in of_stream
    assert {event["stream"] for event in of_stream} == {issued[2]["stream"]}
    assert [event["type"] for event in await ask("search", "Schnitzel", "--service", "pos")] == ["tab.order_placed"]
    assert await ask("search", "no such word") == []
    assert await ask("search", "--service", "pos", "--from", "3", "--to", "4") == whole[2:4]
    assert await ask("search", "--service", "pos", "--limit", "2") == whole[:2]

    moment = datetime.fromisoformat(issued[3]["time"])
    since = await ask("search", "--service", "pos", "--since", moment.isoformat())
    assert since == [event for event in whole if datetime.fromisoformat(event["time"]) >= moment]
    until = await ask("search", "--service", "pos", "--until", moment.isoformat())
    assert until + since == whole
    assert await ask("search", "--since", (datetime.now(UTC) + timedelta(days=1)).isoformat()) == []
    with pytest.raises(Unknown, match="no instance nowhere"):
        await asked(known, logs, capsys, "tail", "--instance", "nowhere")


async def test_both_ways_give_the_same_events(theke: Theke, sold: Inn) -> None:
    found = []
    for url in (theke.settings.nats_url, ""):
        async with AsyncExitStack() as open_:
            logs = Logs(Places(theke.log_dsn, theke.read_dsn, url), open_)
            await logs.heads("pos")
            pieces = [events async for events in logs.read("pos", LogRequest(sold.instance, 0, 1_000, text="Pils"))]
            found.append([event for events in pieces for event in events])
    assert found[0] == found[1] != []


async def test_logs_are_read_from_the_database_where_the_bus_is_down(
    theke: Theke, sold: Inn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_WITHIN_S", 0.3)
    async with AsyncExitStack() as open_:
        logs = Logs(Places(theke.log_dsn, theke.read_dsn, "nats://127.0.0.1:1"), open_)
        assert (await logs.heads("pos"))[sold.instance] > 5
        assert (await logs.one("pos", sold.instance, 1)) is not None
    assert "read from the database" in capsys.readouterr().err
