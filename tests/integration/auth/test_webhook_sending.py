"""A delivery over real sockets: bounded in time and size, to no address but a checked one, and nowhere else than it was told to."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.auth.webhooks.sending import HttpPost
from tests.receiver import Receiver, receiving

SOON_S = 10.0
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def post() -> AsyncIterator[HttpPost]:
    """One that may send to this machine."""
    one = HttpPost(private=True, within=2.0)
    yield one
    await one.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """The address of a server that does this with each connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


def port_of(receiver: Receiver) -> int:
    return int(receiver.url.split(":")[2].partition("/")[0])


def told(*addresses: str) -> tuple[Any, list[str]]:
    """A name server that says these, and what it was asked."""
    asked: list[str] = []

    def look_up(host: str, port: int, family: int = 0, type: int = 0) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, type, 6, "", (one, port)) for one in addresses]

    return look_up, asked


@pytest.mark.parametrize(
    ("status", "why"), [(200, "taken"), (204, "taken"), (299, "taken"), (302, "refused"), (404, "refused"), (410, "gone"), (500, "refused")]
)
async def test_what_an_answer_means(post: HttpPost, receiver: Receiver, status: int, why: str) -> None:
    receiver.answer = lambda _: status
    outcome = await post.send(receiver.url, {"webhook-id": "1"}, b"{}")
    assert (outcome.why, outcome.status) == (why, status)
    assert [one.headers["webhook-id"] for one in receiver.taken] == ["1"], "asked once: no redirect is followed"
    assert "cookie" not in receiver.taken[0].headers


async def test_nobody_there(post: HttpPost) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert (await post.send(f"http://127.0.0.1:{port}/", {}, b"")).why == "unreachable"


async def test_a_name_that_nothing_has() -> None:
    def unknown(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "nothing has this name")

    post = HttpPost(private=True, look_up=unknown)
    assert (await post.send("http://hooks.example/", {}, b"")).why == "name_unknown"
    await post.close()


async def test_one_that_answers_nothing_is_left_after_a_while() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    post = HttpPost(private=True, within=0.2)
    async with serving(silent) as url, asyncio.timeout(SOON_S):
        outcome = await post.send(url, {}, b"{}")
    assert (outcome.why, outcome.status) == ("timeout", 0)
    await post.close()


async def test_who_answers_drop_by_drop_has_answered() -> None:
    async def dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    post = HttpPost(private=True, within=0.3)
    async with serving(dripping) as url, asyncio.timeout(SOON_S):
        assert (await post.send(url, {}, b"{}")).why == "taken"
    await post.close()


async def test_who_said_yes_and_then_nothing_more_said_yes() -> None:
    async def pausing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        await writer.drain()
        await reader.read()

    post = HttpPost(private=True, within=0.3)
    async with serving(pausing) as url, asyncio.timeout(SOON_S):
        assert (await post.send(url, {}, b"{}")).why == "taken"
    await post.close()


async def test_an_answer_without_end_is_not_read(post: HttpPost) -> None:
    written = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
        bomb = gzip.compress(bytes(10_000_000))
        while True:
            writer.write(b"%x\r\n%s\r\n" % (len(bomb), bomb))
            await writer.drain()
            written += len(bomb)

    async with serving(endless) as url, asyncio.timeout(SOON_S):
        assert (await post.send(url, {}, b"{}")).why == "taken"
    assert written < 50_000_000


async def test_what_speaks_no_http(post: HttpPost) -> None:
    async def noise(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()

    async with serving(noise) as url:
        assert (await post.send(url, {}, b"{}")).why == "unreachable"


async def test_a_server_without_tls_is_not_talked_to_as_if_it_had_it() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    post = HttpPost(private=True)
    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    assert (await post.send(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, b"{}")).why in ("tls", "unreachable")
    server.close()
    await post.close()


async def test_an_answer_that_is_short_lets_the_connection_be_used_again(post: HttpPost) -> None:
    connections = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await reader.readexactly(2)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
            await reader.readuntil(b"\r\n\r\n")

    async with serving(counting) as url:
        for _ in range(3):
            assert (await post.send(url, {}, b"{}")).taken
    assert connections == 1


# --- where nothing is sent to ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f.1", "0", "0.0.0.0", "[::]", "127.0.0.1."],
)  # fmt: skip
async def test_this_machine_is_not_reached_under_any_of_its_names(receiver: Receiver, host: str) -> None:
    post = HttpPost(private=False, within=2.0)
    outcome = await post.send(f"http://{host}:{port_of(receiver)}/", {}, b"{}")
    assert not outcome.taken
    assert outcome.status == 0
    assert receiver.taken == []
    await post.close()


async def test_an_innocent_name_with_a_private_address_is_not_reached(receiver: Receiver) -> None:
    for addresses in (("127.0.0.1",), ("93.184.216.34", "127.0.0.1"), ("169.254.169.254",)):
        look_up, asked = told(*addresses)
        post = HttpPost(private=False, look_up=look_up)
        assert (await post.send(f"http://hooks.example:{port_of(receiver)}/", {}, b"{}")).why == "address_not_allowed"
        assert asked == ["hooks.example"]
        await post.close()
    assert receiver.taken == []


async def test_a_name_is_asked_for_once_and_its_answer_is_what_is_connected_to(receiver: Receiver) -> None:
    """Whoever says a public address first and a private one when asked again (rebinding) is not asked again."""
    look_up, asked = told("127.0.0.1")
    post = HttpPost(private=True, look_up=look_up)
    assert (await post.send(f"http://hooks.example:{port_of(receiver)}/", {}, b"{}")).taken
    assert asked == ["hooks.example"]
    assert receiver.taken[0].headers["host"] == f"hooks.example:{port_of(receiver)}"
    await post.close()


async def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", receiver.url)
    post = HttpPost(private=False, within=1.0, look_up=told("127.0.0.1")[0])
    assert (await post.send("http://hooks.example/", {}, b"{}")).why == "address_not_allowed"
    assert receiver.taken == []
    await post.close()
