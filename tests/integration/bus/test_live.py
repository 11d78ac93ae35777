"""Hints: whoever listens hears them, and nothing depends on it."""

from __future__ import annotations

import pytest

from libs.bus import limits, subjects
from libs.bus.live import POKE, Live, Poke
from libs.domain.errors import DomainError, Kind


async def test_everyone_who_listens_hears_a_poke(bus, eventually) -> None:
    heard: list[tuple[int, Poke]] = []
    for number in range(2):
        connection = await bus.connection()
        await Live(connection).on_poke(bus.service, lambda poke, number=number: heard.append((number, poke)))
        await connection.settle()
    sender = Live(await bus.connection())
    sender.poke(bus.service, 17, 42)
    await eventually(lambda: len(heard) == 2)
    assert sorted(heard, key=lambda h: h[0]) == [(0, Poke(17, 42)), (1, Poke(17, 42))]


async def test_kinds_and_services_are_told_apart_and_a_subscription_ends(bus, eventually) -> None:
    connection = await bus.connection()
    live = Live(connection)
    beats: list[bytes] = []
    subscription = await live.subscribe(bus.service, "heartbeat", beats.append)
    await connection.settle()
    live.publish(bus.service, "other", b"no")
    live.publish("other", "heartbeat", b"no")
    live.publish(bus.service, "heartbeat", b"1")
    await eventually(lambda: beats == [b"1"])
    await live.unsubscribe(subscription)
    live.publish(bus.service, "heartbeat", b"2")
    await connection.settle()
    assert beats == [b"1"]


async def test_a_poke_that_is_none_is_passed_over(bus, eventually) -> None:
    connection = await bus.connection()
    live = Live(connection)
    pokes: list[Poke] = []
    await live.on_poke(bus.service, pokes.append)
    await connection.settle()
    connection.send(subjects.live(bus.service, POKE), b"\xff")
    live.poke(bus.service, 1, 1)
    await eventually(lambda: pokes == [Poke(1, 1)])


async def test_a_hint_without_a_bus_is_counted_and_dropped(attacked, attacked_bus, eventually) -> None:
    connection = await attacked_bus.connection()
    live = Live(connection)
    attacked.kill()
    await eventually(lambda: not connection.is_connected)
    live.poke(attacked_bus.service, 1, 1)
    assert live.unsent == 1


async def test_a_hint_has_a_size(bus) -> None:
    live = Live(await bus.connection())
    with pytest.raises(DomainError) as raised:
        live.publish(bus.service, "heartbeat", b"x" * (limits.BODY_MAX_BYTES + 1))
    assert raised.value.kind is Kind.TOO_LARGE
