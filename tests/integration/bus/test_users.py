"""Each process's user tries what it must not: to speak as another, to hear another, to have the server do it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client as NatsClient

from libs.bus import subjects
from libs.bus.connection import connect
from libs.bus.inbox import Inbox
from libs.contracts.asks import ASKS
from libs.runtime.embedded import EmbeddedNats
from tests.conftest import public_directory

SETTLED_WITHIN_S = 10.0
PROCESSES = (*ASKS, "gateway")


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[EmbeddedNats]:
    directory: Path = public_directory("theke-users-")
    server = EmbeddedNats(directory)
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(directory, ignore_errors=True)


class Somebody:
    """A process with its own user, and what the server refused it."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.heard: list[str] = []
        self.connection: NatsClient

    async def come(self, server: EmbeddedNats, name: str) -> Somebody:
        self.connection = await nats.connect(server.url_of(name), error_cb=self._told, allow_reconnect=False)
        return self

    async def _told(self, error: Exception) -> None:
        self.refused.append(str(error))

    async def tried(self, count: int) -> None:
        """Waits until the server has refused so many things."""
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while len(self.refused) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def round_trip(connection: NatsClient) -> None:
    """Everything that was asked for before has been worked on; a flush of nats-py does not prove that of a subscription just made."""
    await connection.request("$JS.API.INFO", b"", timeout=SETTLED_WITHIN_S)


def foreign_words(name: str) -> list[str]:
    """What this process must not say."""
    asks = ASKS.get(name)
    said = []
    for other in set(ASKS) - {name}:
        said += [subjects.published(other, 1, "a", "b"), subjects.internal(other, 1, "a", "b"), subjects.live(other, "poke")]
        if asks is not None:
            said += [subjects.command(other, "login"), subjects.query(other, "get")]
            said += [subjects.command(other, "erp_forget")] if other not in asks.commands else []
            said += [subjects.query(other, "log")] if other not in asks.queries else []
    own = subjects.log_stream(name, 9)
    verbs = ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN")
    said += [f"$JS.API.STREAM.{verb}.{own}" for verb in verbs]
    said += [f"$JS.API.DIRECT.GET.{own}", f"$JS.API.CONSUMER.CREATE.{own}.c", f"$JS.API.CONSUMER.DURABLE.CREATE.{own}.c"]
    said += [f"$JS.API.CONSUMER.MSG.NEXT.{own}.c", f"$JS.ACK.{own}.c.1.1.1.1.1", "$SYS.REQ.SERVER.PING", "anything", "deliver.i1.x"]
    return said


def foreign_ears(name: str) -> list[str]:
    """What this process must not hear."""
    asks = ASKS.get(name)
    wanted = [">", "*.>", "_INBOX.>", "_INBOX.*.>", "$JS.>", "$SYS.>", "deliver.>", "cmd.>", "qry.>", "int.>", "live.>", "ctl.>"]
    if asks is not None and name not in asks.hears:
        wanted.append(f"evt.{name}.>")
    for other in set(ASKS) - {name}:
        wanted += [f"cmd.{other}.>", f"cmd.{other}.login", f"qry.{other}.>", f"int.{other}.>", f"ctl.{other}.cancel", f"_INBOX.{other}.>"]
        if asks is not None:
            wanted += [f"live.{other}.>"] + ([f"evt.{other}.>"] if other not in asks.hears else [])
    return wanted


@pytest.mark.parametrize("name", PROCESSES)
async def test_nobody_speaks_as_another(server: EmbeddedNats, name: str) -> None:
    operator = await nats.connect(server.url)
    heard: list[str] = []

    async def hear(message: nats.aio.msg.Msg) -> None:
        heard.append(message.subject)

    await operator.subscribe(">", cb=hear)
    await round_trip(operator)
    somebody = await Somebody().come(server, name)
    words = foreign_words(name)
    for word in words:
        await somebody.connection.publish(word, b"{}", reply=f"_INBOX.{name}.x.y")
    own = f"cmd.{name}.x" if name != "gateway" else "cmd.pos.x"
    await somebody.connection.publish(own, b"{}")
    await somebody.tried(len(words))
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while own not in heard:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert {subject for subject in heard if not subject.startswith(("_INBOX.", "$JS.API.INFO", "$JS.EVENT."))} == {own}
    assert all("permissions violation" in refusal.lower() for refusal in somebody.refused)
    assert len(somebody.refused) == len(words)
    await somebody.connection.close()
    await operator.close()


@pytest.mark.parametrize("name", PROCESSES)
async def test_nobody_hears_what_is_for_another(server: EmbeddedNats, name: str) -> None:
    somebody, operator = await Somebody().come(server, name), await nats.connect(server.url)
    heard: list[str] = []

    async def hear(message: nats.aio.msg.Msg) -> None:
        heard.append(message.subject)

    await somebody.connection.subscribe(f"_INBOX.{name}.>", cb=hear)
    ears = foreign_ears(name)
    for ear in ears:
        await somebody.connection.subscribe(ear, cb=hear)
        await somebody.connection.subscribe(ear, queue=name, cb=hear)
    await somebody.tried(2 * len(ears))
    for ear in ears:
        await operator.publish(ear.replace("*", "a").replace(">", "a.b"), b"secret")
    own = f"_INBOX.{name}.x.y"
    await operator.publish(own, b"answer")
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while own not in heard:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert heard == [own]
    await somebody.connection.close()
    await operator.close()


async def test_every_reply_subject_is_a_secret_of_its_own(server: EmbeddedNats) -> None:
    """Who was asked once must not be able to answer what another is asked."""
    connection = await connect(server.url_of("pos"), name="pos")
    inbox = Inbox(connection)
    expected = {inbox.expect(lambda _outcome, _reply: None) for _ in range(100)}
    assert len({subject.rpartition(".")[2] for subject in expected}) == 100
    assert all(len(subject.rpartition(".")[2]) == 16 and subject.startswith("_INBOX.pos.") for subject in expected)
    await connection.close()


async def test_a_password_opens_only_its_own_door(server: EmbeddedNats) -> None:
    passwords = {name: server.url_of(name).split(":")[2].partition("@")[0] for name in PROCESSES}
    assert len(set(passwords.values())) == len(PROCESSES)
    swapped = server.url_of("auth").replace(passwords["auth"], passwords["pos"])
    for url in (swapped, server.url_of("i1"), f"nats://127.0.0.1:{server.port}"):
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
            await nats.connect(url, allow_reconnect=False, error_cb=_silent)


async def _silent(_: Exception) -> None:
    """The refusal is asserted where it is raised."""
