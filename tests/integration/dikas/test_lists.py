"""Long lists are written while they are read: what happens when the reader is slow, and when the end never comes."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from libs.domain.errors import unavailable
from libs.runtime.asking import Services
from services.gateway import limits
from tests.house import Answer, Inn, Till, done, free_item, item, refused

LONG_RECEIPTS = 48  # of 500 lines: more than all the buffers between the table and a reader hold
STALLED_READERS = 6
TILL_WAITS_MAX_S = 15.0  # with room for a busy machine


async def stalled_reader(till: Till) -> socket.socket:
    """Asks for everything and takes nothing."""
    loop = asyncio.get_running_loop()
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.setblocking(False)
    await loop.sock_connect(reader, (till.http._base_url.host, till.http._base_url.port))
    head = f"GET /api/v1/receipts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {till.token}\r\n\r\n"
    await loop.sock_sendall(reader, head.encode())
    return reader


async def test_readers_that_stall_do_not_keep_the_tills_from_selling(inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PIECE_WITHIN_S", 1.0)
    till = await inn.till()
    lines = [free_item(f"Posten {ix}", "1.00", course=1, seat=1) for ix in range(500)]
    await asyncio.gather(*(till.sell(*lines) for _ in range(LONG_RECEIPTS)))
    readers = [await stalled_reader(till) for _ in range(STALLED_READERS)]
    try:
        for _ in range(5):
            begins = time.monotonic()
            await till.sell(item(inn.menu["Cola"]))
            await till.table(inn.tables[1])
            assert time.monotonic() - begins < TILL_WAITS_MAX_S
            await asyncio.sleep(0.2)
        assert len(done(await once_there_is_room(till))) == LONG_RECEIPTS + 5
    finally:
        for reader in readers:
            reader.close()


async def once_there_is_room(till: Till) -> Answer:
    """Stalled readers are left one after the other; then lists can be read again."""
    for _ in range(40):
        answer = await till.get("receipts")
        if answer.status != 503:
            return answer
        await asyncio.sleep(0.2)
    raise AssertionError("lists cannot be read any more")


@pytest.mark.parametrize("failure", [unavailable("stream_broken"), RuntimeError("a defect")], ids=repr)
async def test_a_list_that_breaks_half_way_never_looks_whole(
    till: Till, shared_inn: Inn, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    whole = Services.stream

    async def broken(self: Services, *args: Any, **how: Any) -> AsyncIterator[list[Any]]:
        async for piece in whole(self, *args, **how):
            yield piece
        raise failure

    monkeypatch.setattr(Services, "stream", broken)
    headers = {"Authorization": f"Bearer {till.token}"}
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        async with till.http.get("/api/v1/articles", headers=headers) as answer:
            json.loads(await answer.read())


async def test_a_list_that_cannot_begin_is_an_ordinary_refusal(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refusing(self: Services, *args: Any, **how: Any) -> AsyncIterator[list[Any]]:
        raise unavailable("overloaded", 2.0)
        yield []

    monkeypatch.setattr(Services, "stream", refusing)
    answer = await till.get("articles")
    refused(answer, 503, "Dienst nicht erreichbar")
    assert answer.headers["Retry-After"] == "2"


async def test_empty_pieces_leave_no_stray_commas(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Services.stream

    async def gappy(self: Services, *args: Any, **how: Any) -> AsyncIterator[list[Any]]:
        yield []
        async for piece in whole(self, *args, **how):
            for one in piece:
                yield [one]
                yield []

    expected = done(await till.get("articles"))
    monkeypatch.setattr(Services, "stream", gappy)
    assert done(await till.get("articles")) == expected


async def test_a_client_that_leaves_half_way_hurts_nobody(inn: Inn) -> None:
    till = await inn.till()
    for _ in range(10):
        (await stalled_reader(till)).close()
    assert len(done(await till.get("articles"))) == len(inn.menu)
