"""Answers of any length: complete or refused, and never more than a window of them under way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest

from libs.bus import envelope, limits, subjects
from libs.bus.server import Request
from libs.bus.subjects import Call
from libs.domain.errors import DomainError, Kind, not_found, unavailable

MIB = 1024 * 1024


def piece(number: int, size: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest() * (size // 32)


class Writer:
    """A large answer that tells how far it got and how it ended."""

    def __init__(self, pieces: int, size: int = 64 * 1024) -> None:
        self.pieces = pieces
        self.size = size
        self.made = 0
        self.ends: list[str] = []

    async def __call__(self, _request: Request) -> AsyncGenerator[bytes, None]:
        end = "stopped"
        try:
            for number in range(self.pieces):
                self.made += 1
                yield piece(number, self.size)
            end = "complete"
        finally:
            self.ends.append(end)


async def serving(bus, handler, **bounds: int):
    server = await bus.server(**bounds)
    server.register_stream("export", handler)
    await server.start()
    return server


def ask(client, bus, *, deadline: float = 10.0, window: int = limits.STREAM_WINDOW_CHUNKS):
    subject = subjects.query(bus.service, "export")
    return client.stream(subject, b"all", instance=17, principal=b"who", deadline=deadline, trace="t", window=window)


async def collect(chunks: AsyncIterator[bytes], into: list[bytes]) -> None:
    async for chunk in chunks:
        into.append(chunk)


async def test_twenty_megabytes_arrive_as_they_were_sent(bus) -> None:
    writer = Writer(pieces=20, size=MIB)
    server, client = await serving(bus, writer), await bus.client()
    received, longest = hashlib.sha256(), 0
    total = 0
    async for chunk in ask(client, bus):
        received.update(chunk)
        total += len(chunk)
        longest = max(longest, len(chunk))
    sent = hashlib.sha256(b"".join(piece(number, MIB) for number in range(20)))
    assert (total, received.digest()) == (20 * MIB, sent.digest())
    assert longest <= limits.BODY_MAX_BYTES
    assert (writer.ends, client.in_flight, server.in_flight) == (["complete"], 0, 0)


@pytest.mark.parametrize("window", [1, 2, 3, 8])
async def test_any_window_brings_everything_in_order(bus, window: int) -> None:
    await serving(bus, Writer(pieces=50, size=3200))
    client = await bus.client()
    assert [chunk async for chunk in ask(client, bus, window=window)] == [piece(number, 3200) for number in range(50)]


async def test_the_request_reaches_the_handler(bus) -> None:
    async def handler(request: Request) -> AsyncGenerator[bytes, None]:
        yield request.body
        yield f"{request.instance} {request.principal!r} {request.trace}".encode()

    await serving(bus, handler)
    client = await bus.client()
    assert [chunk async for chunk in ask(client, bus)] == [b"all", b"17 b'who' t"]


async def test_an_empty_answer_is_an_answer(bus) -> None:
    await serving(bus, Writer(pieces=0))
    client = await bus.client()
    assert [chunk async for chunk in ask(client, bus)] == []


async def test_a_reader_that_stops_holds_a_window_and_no_more_and_the_writer_does_not_wait_for_ever(bus, eventually) -> None:
    writer = Writer(pieces=1000)
    server, client = await serving(bus, writer), await bus.client()
    async with aclosing(ask(client, bus, deadline=0.5)) as chunks:
        assert await anext(chunks) == piece(0, writer.size)
        await eventually(lambda: writer.ends == ["stopped"])
        assert writer.made <= limits.STREAM_WINDOW_CHUNKS + 1
        assert server.in_flight == 0
        got: list[bytes] = []
        with pytest.raises(DomainError) as raised:
            await collect(chunks, got)
    assert len(got) < limits.STREAM_WINDOW_CHUNKS
    assert (raised.value.kind, raised.value.reason) == (Kind.UNAVAILABLE, "reader_stopped")


async def test_a_slow_reader_gets_everything(bus) -> None:
    writer = Writer(pieces=40, size=3200)
    await serving(bus, writer)
    client = await bus.client()
    got = []
    async for chunk in ask(client, bus, window=4):
        got.append(chunk)
        assert writer.made <= len(got) + 4 + 1
        await asyncio.sleep(0.002)
    assert len(got) == 40


async def test_closing_early_stops_the_writer(bus, eventually) -> None:
    writer = Writer(pieces=10_000)
    server, client = await serving(bus, writer), await bus.client()
    async with aclosing(ask(client, bus)) as chunks:
        async for _ in chunks:
            break
    await eventually(lambda: writer.ends == ["stopped"])
    assert writer.made < 100
    await eventually(lambda: server.in_flight == 0)
    assert (server.counts.cancelled, client.in_flight) == (1, 0)


async def test_leaving_before_the_first_chunk_stops_the_writer(bus, eventually) -> None:
    working = asyncio.Event()

    async def handler(_request: Request) -> AsyncGenerator[bytes, None]:
        working.set()
        await asyncio.Event().wait()
        yield b""

    server, client = await serving(bus, handler), await bus.client()
    reading = asyncio.create_task(anext(ask(client, bus)))
    await working.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await eventually(lambda: server.counts.cancelled == 1)
    assert client.in_flight == 0


async def test_a_refusal_in_the_middle_arrives_after_what_was_sent(bus) -> None:
    async def handler(_request: Request) -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise not_found("article_gone", article="7")

    await serving(bus, handler)
    client = await bus.client()
    got: list[bytes] = []
    with pytest.raises(DomainError) as raised:
        await collect(ask(client, bus), got)
    assert got == [b"one"]
    assert (raised.value.kind, raised.value.reason, dict(raised.value.params)) == (
        Kind.NOT_FOUND,
        "article_gone",
        {"article": "7"},
    )


async def test_a_writer_that_falls_silent_is_not_waited_for_beyond_the_deadline(bus) -> None:
    async def handler(_request: Request) -> AsyncGenerator[bytes, None]:
        yield b"one"
        await asyncio.Event().wait()

    await serving(bus, handler)
    client = await bus.client()
    chunks = ask(client, bus, deadline=0.3)
    assert await anext(chunks) == b"one"
    with pytest.raises(DomainError) as raised:
        await anext(chunks)
    assert (raised.value.kind, raised.value.reason) == (Kind.UNAVAILABLE, "timeout")


@pytest.mark.parametrize(
    "frames",
    [
        [envelope.chunk(b"1", 1), envelope.chunk(b"3", 3)],
        [envelope.chunk(b"1", 1), envelope.end(2)],
        [envelope.chunk(b"1", 1), envelope.chunk(b"1", 1)],
        [envelope.chunk(b"1", 1), envelope.whole(b"2")],
        # so many that some read of the socket holds more than the window, however fast the reader is
        [envelope.chunk(b"x" * 100, number) for number in range(1, limits.STREAM_WINDOW_CHUNKS * 250)],
    ],
    ids=["chunk lost", "last chunk lost", "chunk twice", "not a chunk", "more than was granted"],
)
async def test_a_stream_that_is_not_whole_is_broken(bus, frames: list[bytes]) -> None:
    writer, client = await bus.connection(), await bus.client()

    def deliver(_subject: str, reply: str, _payload: bytes, _header: bytes) -> None:
        for frame in frames:
            writer.send(reply, frame, f"{bus.service}.credits")

    await writer.listen(subjects.query(bus.service, "export"), deliver)
    await writer.settle()
    got: list[bytes] = []
    with pytest.raises(DomainError) as raised:
        await collect(ask(client, bus), got)
    assert (raised.value.kind, raised.value.reason) == (Kind.UNAVAILABLE, "stream_broken")
    assert b"3" not in got or len(frames) > 3


async def test_streams_beyond_the_bound_are_turned_away_until_one_ends(bus, eventually) -> None:
    writer = Writer(pieces=1000)
    server, client = await serving(bus, writer, streams_max=1), await bus.client()
    first = ask(client, bus)
    await anext(first)
    with pytest.raises(DomainError) as raised:
        await anext(ask(client, bus, deadline=0.2))
    assert (raised.value.kind, raised.value.reason) == (Kind.UNAVAILABLE, "overloaded")
    waiting = asyncio.create_task(anext(ask(client, bus)))
    await eventually(lambda: server.counts.overloaded >= 3)
    await first.aclose()
    assert await waiting == piece(0, writer.size)


async def test_a_stream_waits_for_a_service_that_is_still_starting(bus, eventually) -> None:
    client = await bus.client()

    async def read() -> list[bytes]:
        return [chunk async for chunk in ask(client, bus)]

    reading = asyncio.create_task(read())
    await eventually(lambda: client.counts.repeated >= 2)
    await serving(bus, Writer(pieces=3, size=32))
    assert await reading == [piece(number, 32) for number in range(3)]


async def test_a_refusal_that_allows_it_is_asked_again_before_the_first_chunk_only(bus) -> None:
    asked = 0

    async def handler(_request: Request) -> AsyncGenerator[bytes, None]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise unavailable("starting")
        yield b"one"
        raise unavailable("stopping")

    await serving(bus, handler)
    client = await bus.client()
    chunks = ask(client, bus)
    assert await anext(chunks) == b"one"
    with pytest.raises(DomainError) as raised:
        await anext(chunks)
    assert (raised.value.reason, asked) == ("stopping", 2)


async def test_a_large_answer_must_be_read_as_one(bus) -> None:
    await serving(bus, Writer(pieces=1))
    client = await bus.client()
    with pytest.raises(DomainError) as raised:
        await client.request(subjects.query(bus.service, "export"), b"", instance=1, deadline=5.0, trace="t")
    assert (raised.value.kind, raised.value.reason) == (Kind.INVALID, "answer_is_a_stream")


async def test_several_large_answers_share_a_connection_with_small_ones(bus) -> None:
    async def echo(request: Request) -> bytes:
        return request.body

    server = await bus.server()
    server.register_stream("export", Writer(pieces=8, size=256 * 1024))
    server.register(Call.QUERY, "echo", echo)
    await server.start()
    client = await bus.client()

    async def read() -> int:
        return sum([len(chunk) async for chunk in ask(client, bus)])

    async def small(number: int) -> bytes:
        subject = subjects.query(bus.service, "echo")
        return (await client.request(subject, b"%d" % number, instance=1, deadline=10.0, trace="t")).body

    sizes, echoes = await asyncio.gather(
        asyncio.gather(*(read() for _ in range(8))), asyncio.gather(*(small(number) for number in range(100)))
    )
    assert sizes == [8 * 256 * 1024] * 8
    assert echoes == [b"%d" % number for number in range(100)]


async def test_losing_the_connection_breaks_the_stream_on_both_sides(attacked, attacked_bus, eventually) -> None:
    writer = Writer(pieces=10_000)
    server, client = await serving(attacked_bus, writer), await attacked_bus.client()
    chunks = ask(client, attacked_bus)
    await anext(chunks)
    attacked.kill()
    with pytest.raises(DomainError) as raised:
        await collect(chunks, [])
    assert raised.value.kind is Kind.UNAVAILABLE
    assert raised.value.reason in ("connection_lost", "bus_disconnected")
    await eventually(lambda: writer.ends == ["stopped"])
    await eventually(lambda: server.in_flight == 0)
