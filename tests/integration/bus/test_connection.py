"""What a connection promises beyond nats-py, and what it does when the server misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from libs.bus import limits
from libs.bus.connection import Connection, connect
from libs.domain.errors import DomainError, Kind


def send_all(connection: Connection, subject: str, pieces: list[bytes]) -> None:
    for piece in pieces:
        connection.send(subject, piece)


async def fill(connection: Connection, subject: str) -> None:
    """Sends until socket and buffer are full: closing such a connection politely would wait for both to empty."""
    with contextlib.suppress(DomainError):
        while True:
            connection.send(subject, b"x" * limits.BODY_MAX_BYTES)
            await asyncio.sleep(0.001)


async def test_after_settling_a_subscription_misses_nothing(bus, eventually) -> None:
    hearer, sender = await bus.connection(), await bus.connection()
    heard: list[bytes] = []
    for number in range(200):
        subject = f"{bus.service}.{number}"
        await hearer.listen(subject, lambda _subject, _reply, payload, _header: heard.append(payload))
        await hearer.settle()
        sender.send(subject, b"%d" % number)
        await sender.settle()
    await eventually(lambda: len(heard) >= 200)
    assert heard == [b"%d" % number for number in range(200)]


async def test_everything_sent_before_a_subscription_ends_is_still_delivered(bus, eventually) -> None:
    hearer, sender = await bus.connection(), await bus.connection()
    for turn in range(50):
        heard: list[bytes] = []
        subject = f"{bus.service}.{turn}"
        subscription = await hearer.listen(subject, lambda _subject, _reply, payload, _header, heard=heard: heard.append(payload))
        await hearer.settle()
        for number in range(100):
            sender.send(subject, b"%d" % number)
        await sender.settle()
        await hearer.unlisten(subscription)
        assert len(heard) == 100


async def test_a_callback_that_raises_does_not_stop_the_connection(bus, eventually) -> None:
    connection = await bus.connection()
    heard: list[bytes] = []

    def deliver(_subject: str, _reply: str, payload: bytes, _header: bytes) -> None:
        heard.append(payload)
        if payload == b"bad":
            raise RuntimeError("defect")

    await connection.listen(bus.service, deliver)
    await connection.settle()
    for payload in (b"bad", b"good"):
        connection.send(bus.service, payload)
    await eventually(lambda: heard == [b"bad", b"good"])
    assert connection.is_connected


async def test_a_message_too_large_with_its_header_is_refused_and_the_connection_stays(bus, eventually) -> None:
    connection = await bus.connection()
    lost: list[bool] = []
    connection.when_lost(lambda: lost.append(True))
    heard: list[int] = []
    await connection.listen(bus.service, lambda _subject, _reply, payload, _header: heard.append(len(payload)))
    await connection.settle()
    header = b"NATS/1.0\r\nNats-Expected-Last-Sequence: 1\r\n\r\n"
    fits = connection.max_payload - len(header)
    with pytest.raises(DomainError) as raised:
        connection.send(bus.service, b"x" * (fits + 1), header=header)
    assert (raised.value.kind, raised.value.reason) == (Kind.TOO_LARGE, "message_too_large")
    connection.send(bus.service, b"x" * fits, header=header)
    await eventually(lambda: heard == [fits])
    assert not lost


async def test_what_the_socket_does_not_take_is_bounded(bus) -> None:
    connection = await bus.connection()
    piece = b"x" * limits.BODY_MAX_BYTES
    fit = limits.OUTBOUND_MAX_BYTES // len(piece) - 1
    for _ in range(fit):
        connection.send(f"{bus.service}.nobody", piece)  # the loop never gets a turn to write
    with pytest.raises(DomainError) as raised:
        send_all(connection, f"{bus.service}.nobody", [piece, piece])
    assert (raised.value.kind, raised.value.reason) == (Kind.UNAVAILABLE, "bus_congested")
    await connection.room(10.0)
    connection.send(f"{bus.service}.nobody", piece)


async def test_no_server_at_all_is_said_in_time(monkeypatch, unused_tcp_port_factory) -> None:
    monkeypatch.setattr(limits, "CONNECT_WITHIN_S", 0.5)
    started = time.monotonic()
    with pytest.raises(DomainError) as raised:
        await connect(f"nats://127.0.0.1:{unused_tcp_port_factory()}", name="test")
    assert (raised.value.kind, raised.value.reason) == (Kind.UNAVAILABLE, "bus_unreachable")
    assert time.monotonic() - started < 5.0


async def test_a_wrong_password_is_said_in_time(monkeypatch, nats_url) -> None:
    monkeypatch.setattr(limits, "CONNECT_WITHIN_S", 0.5)
    address = nats_url.rpartition("@")[2]
    with pytest.raises(DomainError) as raised:
        await connect(f"nats://theke:wrong@{address}", name="test")
    assert raised.value.reason == "bus_unreachable"


async def test_a_killed_server_is_found_again_with_all_subscriptions(attacked, attacked_bus, eventually) -> None:
    hearer, sender = await attacked_bus.connection(), await attacked_bus.connection()
    heard: list[bytes] = []
    lost: list[float] = []
    hearer.when_lost(lambda: lost.append(time.monotonic()))
    await hearer.listen(attacked_bus.service, lambda _subject, _reply, payload, _header: heard.append(payload))
    await hearer.settle()
    for turn in range(3):
        attacked.kill()
        await eventually(lambda: not hearer.is_connected and not sender.is_connected)
        with pytest.raises(DomainError) as raised:
            sender.send(attacked_bus.service, b"stale")
        assert raised.value.reason == "bus_disconnected"
        await attacked.start()
        started = time.monotonic()
        await eventually(lambda: hearer.is_connected and sender.is_connected)
        assert time.monotonic() - started < 2.0
        await hearer.settle()
        sender.send(attacked_bus.service, b"%d" % turn)
        await eventually(lambda turn=turn: b"%d" % turn in heard)
    assert heard == [b"0", b"1", b"2"]
    assert len(lost) == 3


async def test_a_server_that_stops_reading_is_left_and_found_again(attacked, attacked_bus, eventually) -> None:
    connection = await attacked_bus.connection()
    await connection.settle()
    lost = asyncio.Event()
    connection.when_lost(lost.set)
    attacked.pause()
    try:
        await fill(connection, f"{attacked_bus.service}.nobody")
        async with asyncio.timeout(15.0):
            await lost.wait()
    finally:
        attacked.resume()
    await eventually(lambda: connection.is_connected)
    heard: list[bytes] = []
    await connection.listen(attacked_bus.service, lambda _subject, _reply, payload, _header: heard.append(payload))
    await connection.settle()
    connection.send(attacked_bus.service, b"back")
    await eventually(lambda: heard == [b"back"])


async def test_a_connect_that_is_cancelled_leaves_no_task_behind(nats_url, eventually) -> None:
    """It once left a connection nobody knew, which tried to come back for ever and kept its process from ending."""
    before = asyncio.all_tasks()
    whole = 0
    for turns in range(0, 60, 3):
        attempt = asyncio.create_task(connect(nats_url, name="test"))
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        attempt.cancel()
        try:
            await (await attempt).close()
            whole += 1
        except asyncio.CancelledError:
            assert attempt.cancelled()
        await eventually(lambda: asyncio.all_tasks() == before)
    assert whole < 20, "none was cancelled while it connected"


async def test_a_cancellation_lost_in_a_refusal_still_ends_the_attempts(attacked, attacked_bus, eventually, monkeypatch) -> None:
    """Before Python 3.12 ``wait_for`` loses the cancellation that comes in the turn in which what it waits for is done."""
    connection = await attacked_bus.connection()
    attempts: list[asyncio.Task[None]] = []

    async def refused(*_: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        attempts.append(task)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        raise ConnectionRefusedError

    monkeypatch.setattr(connection, "_connect_to_server", refused)
    attacked.kill()
    await eventually(lambda: len(attempts) == 1)
    await eventually(attempts[0].done)
    assert len(attempts) == 1
