"""``theke events replay``: what was published comes once more, the same messages in the same order, from any position."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import NotFoundError

from libs.cli import events as module
from libs.cli import exits, replay
from libs.cli.events import Logs
from libs.cli.main import parser
from libs.cli.places import Unknown
from libs.cli.replay import NotTaken
from libs.runtime.config import Settings
from libs.runtime.proof import Places
from libs.runtime.publishing import is_published, render
from tests.house import Inn, Theke, Till, item

REPLAYED = "REPLAYED"
SALES = 5
Message = tuple[str, bytes]
Replay = Callable[..., Awaitable[None]]


@pytest.fixture(scope="module")
async def sold(shared_inn: Inn, till: Till) -> Inn:
    for _ in range(SALES):
        await till.sell(item(shared_inn.menu["Pils"]))
    return shared_inn


@pytest.fixture
async def published(theke: Theke, sold: Inn) -> list[Message]:
    """Subject and payload of what pos published."""
    rows = await theke.hosts["pos"].log.read_rows(sold.instance, 0, 100_000)
    rendered = [render("pos", row) for row in rows if is_published(row["type"])]
    return [(one.subject, one.payload) for one in rendered]


@pytest.fixture(params=["through the service", "straight"])
def known(theke: Theke, request: Any) -> Places:
    return Places(theke.log_dsn, theke.read_dsn, theke.settings.nats_url if request.param == "through the service" else "")


@pytest.fixture
async def again(known: Places, sold: Inn) -> AsyncIterator[Replay]:
    async with AsyncExitStack() as open_:
        logs = Logs(known, open_)

        async def ask(*arguments: str) -> None:
            await module._replay(parser().parse_args(["events", "replay", "pos", "--instance", sold.name, *arguments]), known, logs)

        yield ask


@pytest.fixture
async def bus(theke: Theke) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(theke.settings.nats_url)
    jetstream = client.jetstream()
    yield jetstream
    with suppress(NotFoundError):
        await jetstream.delete_stream(REPLAYED)
    await client.close()


async def messages(bus: JetStreamContext) -> list[Message]:
    state = (await bus.stream_info(REPLAYED)).state
    found = [await bus.get_msg(REPLAYED, sequence) for sequence in range(state.first_seq, state.last_seq + 1)]
    return [(str(one.subject).removeprefix("replay."), one.data or b"") for one in found]


def position(message: Message) -> int:
    return int(module._decoder.decode(message[1]).position)


async def test_a_line_each_is_what_was_published(again: Replay, published: list[Message], capsysbinary: Any) -> None:
    async def lines(*arguments: str) -> list[bytes]:
        await again(*arguments)
        return capsysbinary.readouterr().out.splitlines()

    payloads = [payload for _, payload in published]
    assert await lines() == payloads
    middle = len(published) // 2
    assert await lines("--from", str(position(published[middle]))) == payloads[middle:]
    assert await lines("--to", str(position(published[middle]))) == payloads[: middle + 1]
    issued = await lines("--type", "receipt.issued")
    assert issued == [payload for subject, payload in published if subject.endswith("receipt.issued")]
    assert len(issued) == SALES
    assert await lines("--from", "1000000") == []


async def test_an_empty_stream_gets_all_of_it_once_however_often_it_is_sent(
    again: Replay, theke: Theke, bus: JetStreamContext, published: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "WINDOW_EVENTS", 4)
    await bus.add_stream(StreamConfig(REPLAYED, subjects=["replay.>"]))
    into = ("--into", theke.settings.nats_url)
    for _ in range(2):
        await again(*into)
        assert await messages(bus) == published
    await bus.purge_stream(REPLAYED)
    await bus.delete_stream(REPLAYED)
    await bus.add_stream(StreamConfig(REPLAYED, subjects=["replay.>"]))
    await again(*into, "--from", str(position(published[3])))
    assert await messages(bus) == published[3:]


async def test_a_stream_that_is_full_says_from_where_to_go_on(
    again: Replay, theke: Theke, bus: JetStreamContext, published: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "WINDOW_EVENTS", 2)
    await bus.add_stream(StreamConfig(REPLAYED, subjects=["replay.>"], max_msgs=4, discard=DiscardPolicy.NEW))
    into = ("--into", theke.settings.nats_url)
    with pytest.raises(NotTaken, match="maximum messages exceeded; all before position") as refused:
        await again(*into)
    where = str(refused.value).rpartition(" ")[2]
    assert where == str(position(published[3]) + 1), "to the window, not to the page that was read"
    await bus.update_stream(StreamConfig(REPLAYED, subjects=["replay.>"], max_msgs=-1, discard=DiscardPolicy.NEW))
    await again(*into, "--from", where)
    assert await messages(bus) == published


async def test_nobody_who_listens_and_subjects_of_theke_are_refused(again: Replay, theke: Theke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "ACK_WITHIN_S", 0.5)
    monkeypatch.setattr(replay, "CONNECT_WITHIN_S", 1)
    into = ("--into", theke.settings.nats_url)
    with pytest.raises(NotTaken, match=r"all before position 1 stands there, go on with --from 1$"):
        await again(*into)
    for prefix in ("evt", "int.more", "cmd", "qry", "live", "ctl.x", "_INBOX.x", "a..b", "a.>", "*", "$JS", "", "a b"):
        with pytest.raises(Unknown, match="subjects cannot begin with"):
            await again(*into, "--prefix", prefix)
    with pytest.raises(NotTaken, match="the server cannot be reached"):
        await again("--into", "nats://127.0.0.1:1")


async def test_what_is_refused_is_a_line_and_an_exit_code(theke: Theke, sold: Inn, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(data=theke.settings.data, postgres_dsn=theke.settings.postgres_dsn, nats_url=theke.settings.nats_url)

    def code(*arguments: str) -> int:
        return module.run(parser().parse_args(["events", "replay", *arguments]), settings)

    assert await asyncio.to_thread(code, "till", "--instance", sold.name) == exits.USAGE
    assert "there is no service till" in capsys.readouterr().err
