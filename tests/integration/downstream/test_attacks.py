"""A downstream system that means harm: its instance's events are all it gets, whatever it asks for and wherever it has answers sent.

``watched`` sees everything that is said in Theke's own account; nothing of what is tried may appear there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from libs.bus import accounts, limits, subjects
from libs.contracts.asks import ASKS
from tests.house import Inn, Theke, Till, item
from tests.integration.downstream.conftest import Login

ANSWER_WITHIN_S = 0.3
SETTLED_WITHIN_S = 10.0
MARK = "attack"


class Watched:
    """Theke's own account. ``state``: consumers and lengths of all its streams, as they are now."""

    def __init__(self, connection: NatsClient) -> None:
        self.connection = connection
        self.heard: list[Msg] = []

    async def hear(self, message: Msg) -> None:
        self.heard.append(message)

    async def consumers(self, instance: int) -> dict[str, list[str]]:
        jetstream = self.connection.jetstream()
        found = {}
        for service in ASKS:
            stream = subjects.log_stream(service, instance)
            found[stream] = sorted(consumer.name for consumer in await jetstream.consumers_info(stream))
        return found

    async def streams(self) -> list[str]:
        return sorted(str(stream.config.name) for stream in await self.connection.jetstream().streams_info())

    def foreign(self) -> list[Msg]:
        """What was said by somebody who is not Theke."""
        return [
            message for message in self.heard if MARK in message.subject or MARK.encode() in message.data or MARK in (message.reply or "")
        ]


@pytest.fixture
async def watched(theke: Theke) -> AsyncIterator[Watched]:
    connection = await nats.connect(theke.settings.nats_url)
    seen = Watched(connection)
    await connection.subscribe(">", cb=seen.hear)
    await settled(connection)
    assert seen.heard
    yield seen
    await connection.close()


async def asked(connection: NatsClient, subject: str, body: Any = None) -> dict[str, Any]:
    """JetStream's answer; empty if there was none."""
    try:
        answer = await connection.request(subject, json.dumps(body).encode() if body is not None else b"", timeout=ANSWER_WITHIN_S)
    except nats.errors.Error:
        return {}
    found: dict[str, Any] = json.loads(answer.data) if answer.data else {"headers": dict(answer.headers or {})}
    return found


async def settled(*connections: NatsClient) -> None:
    """What was sent has been worked on: a round trip of everybody to JetStream. A flush of nats-py does not prove that."""
    for connection in connections:
        await connection.request("$JS.API.INFO", b"", timeout=SETTLED_WITHIN_S)
    await asyncio.sleep(0.1)  # what must not happen gets time to happen


async def test_only_its_own_mirrors_are_there(subscribed: Inn, neighbour: Inn, login: Login) -> None:
    attacker = await login(subscribed.instance)
    listed = await asked(attacker, "$JS.API.STREAM.LIST")
    assert {stream["config"]["name"] for stream in listed["streams"]} == {accounts.mirror_of(service) for service in ASKS}
    published = {subject for stream in listed["streams"] for subject in (stream["config"]["mirror"]["filter_subject"],)}
    assert published == {f"evt.{service}.i{subscribed.instance}.>" for service in ASKS}
    for instance in (0, subscribed.instance, neighbour.instance):
        for service in ASKS:
            stream = subjects.log_stream(service, instance)
            assert asked_for(await asked(attacker, f"$JS.API.STREAM.INFO.{stream}")) is None
            assert asked_for(await asked(attacker, f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": 1})) is None
            assert await asked(attacker, f"$JS.API.DIRECT.GET.{stream}", {"seq": 1}) == {}
            create = {"stream_name": stream, "config": {"name": MARK, "ack_policy": "none", "deliver_subject": "_INBOX.x"}}
            assert asked_for(await asked(attacker, f"$JS.API.CONSUMER.CREATE.{stream}.{MARK}", create)) is None


def asked_for(answer: dict[str, Any]) -> Any:
    """What an answer gives, beside an error."""
    return answer.get("config") or answer.get("message") or answer.get("name")


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.STREAM.CREATE.attack",
        "$JS.API.STREAM.UPDATE.EVT_pos",
        "$JS.API.STREAM.DELETE.EVT_pos",
        "$JS.API.STREAM.PURGE.EVT_pos",
        "$JS.API.STREAM.MSG.DELETE.EVT_pos",
        "$JS.API.STREAM.SNAPSHOT.EVT_pos",
        "$JS.API.STREAM.RESTORE.EVT_pos",
        "$JS.API.STREAM.PEER.REMOVE.EVT_pos",
        "$JS.API.META.LEADER.STEPDOWN",
        "$JS.API.SERVER.REMOVE",
        "$JS.API.ACCOUNT.PURGE.THEKE",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.ACCOUNT.THEKE.CONNZ",
    ],
)
async def test_it_rules_neither_streams_nor_the_server(subscribed: Inn, watched: Watched, login: Login, subject: str) -> None:
    attacker = await login(subscribed.instance)
    before = await watched.streams()
    config = {"name": MARK if subject.endswith(MARK) else "EVT_pos", "subjects": ["cmd.>"], "republish": {"src": ">", "dest": "cmd.>"}}
    assert await asked(attacker, subject, config) == {}
    assert await watched.streams() == before
    assert {one.config.name for one in await attacker.jetstream().streams_info()} == {accounts.mirror_of(service) for service in ASKS}


async def test_what_it_says_reaches_nobody(subscribed: Inn, neighbour: Inn, watched: Watched, login: Login) -> None:
    attacker, victim = await login(subscribed.instance), await login(neighbour.instance)
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    await victim.subscribe("_INBOX.>", cb=hear)
    await settled(victim)
    heard.clear()  # its own answer
    own, other = f"i{subscribed.instance}", f"i{neighbour.instance}"
    for subject in (
        "cmd.auth.login", "qry.auth.instance_list", "qry.keeper.stream", f"evt.pos.{own}.receipt.issued", f"evt.pos.{other}.receipt.issued",
        f"int.pos.{own}.a.b", "live.auth.heartbeat", "ctl.pos.cancel", "_INBOX.gateway.x.y", f"deliver.{own}.x", f"deliver.{other}.x", "a",
        *(f"THEKE.API.CONSUMER.CREATE.EVT_pos_{one}.x" for one in (own, other)), f"THEKE.API.STREAM.INFO.EVT_pos_{own}",
        f"$JS.ACK.EVT_pos_{own}.x.1.1.1.1.1", f"$JS.FC.EVT_pos_{own}.x",
    ):  # fmt: skip
        await attacker.publish(subject, MARK.encode(), reply=f"_INBOX.{MARK}")
    await settled(attacker, watched.connection)
    assert watched.foreign() == []
    assert heard == []


async def test_it_hears_nothing_but_its_own_answers(subscribed: Inn, neighbour: Inn, till: Till, login: Login) -> None:
    attacker = await login(subscribed.instance)
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    for subject in (">", "*.>", "evt.>", "int.>", "cmd.>", "qry.>", "live.>", "deliver.>", "THEKE.>", "$JS.>", "$SYS.>", "_INBOX.>"):
        await attacker.subscribe(subject, cb=hear)
    await settled(attacker)
    heard.clear()  # the answer to that
    await till.sell(item(subscribed.menu["Pils"]))
    await (await neighbour.till()).sell(item(neighbour.menu["Pils"]))
    await asyncio.sleep(0.1)
    assert heard == []


async def test_nothing_is_delivered_where_it_may_not_speak(subscribed: Inn, neighbour: Inn, watched: Watched, login: Login) -> None:
    """A push consumer delivers with the server's rights: into commands, into the ways to the main account, into a neighbour's."""
    attacker = await login(subscribed.instance)
    before = {instance: await watched.consumers(instance) for instance in (subscribed.instance, neighbour.instance)}
    both = (subscribed.instance, neighbour.instance)
    targets = (
        "cmd.auth.login", "evt.pos.i0.receipt.issued", "live.theke.switched", *(f"deliver.i{one}.x" for one in both),
        *(f"THEKE.API.CONSUMER.CREATE.EVT_pos_i{one}.{MARK}" for one in both),
        f"THEKE.API.STREAM.INFO.EVT_pos_i{subscribed.instance}", "$JS.API.STREAM.CREATE.attack", "$SYS.REQ.SERVER.PING",
    )  # fmt: skip
    for number, target in enumerate(targets):
        for headers_only in (False, True):
            name = f"{MARK}{number}{'h' if headers_only else ''}"
            config = {"name": name, "deliver_subject": target, "ack_policy": "none", "deliver_policy": "all", "headers_only": headers_only}
            await asked(attacker, f"$JS.API.CONSUMER.CREATE.EVT_pos.{name}", {"stream_name": "EVT_pos", "config": config})
    await settled(attacker, watched.connection)
    assert [said.subject for said in watched.heard if said.subject in targets] == []
    assert {instance: await watched.consumers(instance) for instance in before} == before
    for number in range(len(targets)):
        for name in (f"{MARK}{number}", f"{MARK}{number}h"):
            await asked(attacker, f"$JS.API.CONSUMER.DELETE.EVT_pos.{name}")


async def test_no_answer_is_a_request_elsewhere(subscribed: Inn, neighbour: Inn, watched: Watched, login: Login) -> None:
    """JetStream answers wherever a request says. What it says of a consumer looks like a request to make one."""
    attacker = await login(subscribed.instance)
    before = {instance: await watched.consumers(instance) for instance in (subscribed.instance, neighbour.instance)}
    config = {"name": MARK, "deliver_subject": "_INBOX.x", "ack_policy": "none", "deliver_policy": "all"}
    create = json.dumps({"stream_name": "EVT_pos", "config": config}).encode()
    pull = {"name": f"{MARK}2", "ack_policy": "explicit", "deliver_policy": "all"}
    await asked(attacker, f"$JS.API.CONSUMER.CREATE.EVT_pos.{MARK}2", {"stream_name": "EVT_pos", "config": pull})
    ways = [f"THEKE.API.CONSUMER.CREATE.EVT_pos_i{one}.{MARK}" for one in (subscribed.instance, neighbour.instance)]
    for way in (*ways, "cmd.auth.login", f"THEKE.API.STREAM.INFO.EVT_pos_i{subscribed.instance}", f"deliver.i{neighbour.instance}.x"):
        await attacker.publish(f"$JS.API.CONSUMER.CREATE.EVT_pos.{MARK}", create, reply=way)
        await attacker.publish(f"$JS.API.CONSUMER.INFO.EVT_pos.{MARK}", b"", reply=way)
        await attacker.publish(f"$JS.API.CONSUMER.MSG.NEXT.EVT_pos.{MARK}2", b'{"batch":5,"expires":100000000}', reply=way)
        await attacker.publish("$JS.API.STREAM.INFO.EVT_pos", b"", reply=way)
        await attacker.publish("$JS.API.STREAM.MSG.GET.EVT_pos", b'{"seq":1}', reply=way)
        await attacker.publish("$JS.API.DIRECT.GET.EVT_pos", b'{"seq":1}', reply=way)
    await settled(attacker, watched.connection)
    assert {instance: await watched.consumers(instance) for instance in before} == before
    assert [message.subject for message in watched.heard if message.subject == "cmd.auth.login"] == []
    for name in (MARK, f"{MARK}2"):
        await asked(attacker, f"$JS.API.CONSUMER.DELETE.EVT_pos.{name}")


async def test_it_takes_no_more_than_its_share(subscribed: Inn, login: Login) -> None:
    attacker = await login(subscribed.instance)
    info = await asked(attacker, "$JS.API.INFO")
    assert info["limits"]["max_streams"] == len(ASKS)
    assert info["limits"]["max_consumers"] == limits.DOWNSTREAM_CONSUMERS_MAX
