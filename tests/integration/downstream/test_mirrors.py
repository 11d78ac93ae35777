"""What a downstream system of an instance reads: every published event, once and in order, from wherever it likes."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import nats
import pytest
from nats.aio.client import Client as NatsClient
from nats.js.api import ConsumerConfig, DeliverPolicy

from libs.bus import accounts, subjects
from libs.bus.streams import KeptStreams, NewLife
from libs.contracts.asks import ASKS
from libs.domain.errors import DomainError
from libs.runtime.publishing import is_published, render
from tests.house import Inn, Theke, Till, item
from tests.integration.downstream.conftest import Login, sell_patiently

BATCH = 100
READ_WITHIN_S = 120.0  # after a restart the server takes up a mirror when it finds the time


async def logged(theke: Theke, service: str, instance: int) -> list[dict[str, Any]]:
    """The published events of a log, as they should be read."""
    rows = await theke.hosts[service].log.read_rows(instance, 0, 100_000)
    return [json.loads(render(service, row).payload) for row in rows if is_published(row["type"])]


async def read(connection: NatsClient, service: str, *, until: int, start: int = 0) -> list[tuple[int, dict[str, Any]]]:
    """What a new consumer gets from ``start`` on up to the position ``until``: sequence and event."""
    policy = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE if start else DeliverPolicy.ALL, opt_start_seq=start or None, inactive_threshold=60
    )
    stream = accounts.mirror_of(service)
    subscription = await connection.jetstream().pull_subscribe("", stream=stream, config=policy)
    found: list[tuple[int, dict[str, Any]]] = []
    async with asyncio.timeout(READ_WITHIN_S):
        while not found or found[-1][0] < until:
            try:
                messages = await subscription.fetch(BATCH, timeout=1)
            except TimeoutError:  # not only nats-py's own
                continue
            for message in messages:
                found.append((message.metadata.sequence.stream, json.loads(message.data)))
                await message.ack()
    return found


async def test_every_published_event_comes_once_and_in_order_under_its_position(theke: Theke, subscribed: Inn, login: Login) -> None:
    connection = await login(subscribed.instance)
    for service in ("auth", "inventory", "pos"):
        expected = await logged(theke, service, subscribed.instance)
        assert expected, service
        found = await read(connection, service, until=expected[-1]["position"])
        assert [event for _, event in found] == expected
        assert [sequence for sequence, _ in found] == [event["position"] for event in expected]
        assert all(event["specversion"] == "1.0" and event["source"] == f"theke/{service}/i{subscribed.instance}" for event in expected)


async def test_it_begins_at_any_position(theke: Theke, subscribed: Inn, login: Login) -> None:
    connection = await login(subscribed.instance)
    expected = await logged(theke, "inventory", subscribed.instance)
    last = expected[-1]["position"]
    for start in (1, expected[len(expected) // 2]["position"], last):
        found = await read(connection, "inventory", until=last, start=start)
        assert [sequence for sequence, _ in found] == [event["position"] for event in expected if event["position"] >= start]


async def test_what_happens_now_arrives_at_a_consumer_that_waits(theke: Theke, subscribed: Inn, till: Till, login: Login) -> None:
    connection = await login(subscribed.instance)
    before = (await logged(theke, "pos", subscribed.instance))[-1]["position"]
    config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=before + 1)
    waiting = await connection.jetstream().subscribe("", stream="EVT_pos", ordered_consumer=True, config=config)
    receipt = await till.sell(item(subscribed.menu["Cola"]))
    issued: dict[str, Any] = {}
    async with asyncio.timeout(READ_WITHIN_S):
        while issued.get("type") != "receipt.issued":
            issued = json.loads((await waiting.next_msg(timeout=READ_WITHIN_S)).data)
    assert issued["stream"].endswith(receipt["id"])


async def test_a_new_instance_disturbs_nobody(theke: Theke, subscribed: Inn, neighbour: Inn, till: Till, login: Login) -> None:
    """Taking in an account reloads the server: services and subscribers stay connected, and go on."""
    assert theke.keeper is not None
    connection = await login(subscribed.instance)
    reconnects = [host.connection.stats["reconnects"] for host in theke.hosts.values()]
    newcomer = await theke.inn()
    await theke.keeper.mirror(newcomer.instance)
    await newcomer.close()
    assert [host.connection.stats["reconnects"] for host in theke.hosts.values()] == reconnects
    assert connection.stats["reconnects"] == 0
    await till.sell(item(subscribed.menu["Pils"]))
    expected = await logged(theke, "pos", subscribed.instance)
    assert [event for _, event in await read(connection, "pos", until=expected[-1]["position"])] == expected


async def test_an_instance_that_did_nothing_yet_has_all_its_mirrors(theke: Theke, neighbour: Inn, login: Login) -> None:
    connection = await login(neighbour.instance)
    listed = await connection.jetstream().streams_info()
    assert {stream.config.name for stream in listed} == {accounts.mirror_of(service) for service in ASKS}


async def test_after_a_restart_of_the_bus_it_goes_on_where_it_was(theke: Theke, subscribed: Inn, till: Till, login: Login) -> None:
    before = await logged(theke, "pos", subscribed.instance)
    await theke.restart_nats()
    await sell_patiently(till, item(subscribed.menu["Cola"]))
    expected = await logged(theke, "pos", subscribed.instance)
    assert len(expected) > len(before)
    connection = await login(subscribed.instance)
    assert [event for _, event in await read(connection, "pos", until=expected[-1]["position"])] == expected
    newer = [event for _, event in await read(connection, "pos", until=expected[-1]["position"], start=before[-1]["position"] + 1)]
    assert newer == expected[len(before) :]


async def test_the_keeper_makes_again_what_was_lost(theke: Theke, neighbour: Inn, login: Login) -> None:
    """Mirrors are copies of a copy: whoever lost them gets them again under the same positions."""
    assert theke.keeper is not None
    assert theke.nats is not None
    keeper = await nats.connect(theke.nats.url_of(accounts.keeper(neighbour.instance).name))
    assert await keeper.jetstream().delete_stream("EVT_pos")
    await keeper.close()
    theke.keeper._forget()
    await theke.keeper.mirror(neighbour.instance)
    expected = await logged(theke, "pos", neighbour.instance)
    found = await read(await login(neighbour.instance), "pos", until=expected[-1]["position"])
    assert [sequence for sequence, _ in found] == [event["position"] for event in expected]


async def test_services_have_streams_made_for_logs_that_there_are_and_for_no_others(theke: Theke, subscribed: Inn) -> None:
    streams = KeptStreams(theke.hosts["pos"].connection)
    await streams.open()
    end = await streams.declared("pos", subscribed.instance)
    row = (await theke.hosts["pos"].log.read_rows(subscribed.instance, end.last - 1, 1))[0]
    assert (row["position"], str(row["id"])) == (end.last, end.id)
    for service, instance in (("pos", 999_999), ("nobody", subscribed.instance), ("pos.x", subscribed.instance), ("*", 0)):
        with pytest.raises(DomainError) as refused:
            await streams.declared(service, instance)
        assert refused.value.reason == "instance_not_found"
    await streams.close()
    watching = await nats.connect(theke.settings.nats_url)
    names = {stream.config.name for stream in await watching.jetstream().streams_info()}
    await watching.close()
    assert names <= {subjects.log_stream(service, instance) for service in ASKS for instance in range(10_000)}


async def test_a_new_life_of_a_log_is_one_of_its_mirror_too(theke: Theke, neighbour: Inn, login: Login) -> None:
    """What the mirror holds of the life before would stand where other events stand now."""
    assert theke.keeper is not None
    before = await logged(theke, "inventory", neighbour.instance)
    behind, last = before[len(before) // 2]["position"], before[-1]["position"]
    streams = KeptStreams(theke.hosts["inventory"].connection)
    await streams.open()
    await streams.begun("inventory", neighbour.instance, NewLife(uuid4(), behind, last))
    await streams.close()
    theke.hosts["inventory"].relay._forget_positions()
    theke.hosts["inventory"].relay.poke(neighbour.instance)
    await theke.keeper.mirror(neighbour.instance)
    found = await read(await login(neighbour.instance), "inventory", until=last)
    assert [sequence for sequence, _ in found] == [event["position"] for event in before if event["position"] > behind]
