"""Connections are lent one at a time, and none is lost: not by who gives up waiting or is cut off, not by a server that ends them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from libs.eventstore.connections import Connections
from libs.eventstore.log import LOST

MOST = 2


@pytest.fixture
async def connections(postgres_dsn: str) -> AsyncIterator[Connections]:
    made = Connections(postgres_dsn, most=MOST, timeout=5.0, server_settings={"application_name": "lent"})
    await made.open()
    yield made
    made.close()


async def usable(connections: Connections) -> set[int]:
    """The backends behind all of them, each asked something while the others are lent too."""
    together = asyncio.Barrier(MOST)

    async def one() -> int:
        async with connections.lend() as connection, asyncio.timeout(5):
            await together.wait()
            return int(await connection.fetchval("select pg_backend_pid()"))

    return set(await asyncio.gather(*(one() for _ in range(MOST))))


async def test_many_take_turns(connections: Connections) -> None:
    lent = most = 0

    async def one(number: int) -> int:
        nonlocal lent, most
        async with connections.lend() as connection:
            lent += 1
            most = max(most, lent)
            found = await connection.fetchval("select $1::int from pg_sleep(0.01)", number)  # so long that the second is opened
            lent -= 1
            return int(found)

    assert await asyncio.gather(*(one(number) for number in range(50))) == list(range(50))
    assert most == MOST
    assert len(await usable(connections)) == MOST


async def test_who_gives_up_waiting_takes_nothing_away(connections: Connections) -> None:
    async with connections.lend(), connections.lend() as second:
        waiting = [asyncio.create_task(connections.fetch("select 1")) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await second.fetchval("select 1")
        connections._make_room()  # as if one had been lost at the very moment
        waiting[1].cancel()
    assert (await waiting[2])[0][0] == 1
    assert len(await usable(connections)) == MOST


async def test_nobody_waits_for_ever(postgres_dsn: str) -> None:
    connections = Connections(postgres_dsn, most=1, timeout=0.1)
    async with connections.lend():
        with pytest.raises(TimeoutError):
            await connections.fetch("select 1")
    assert (await connections.fetch("select 2"))[0][0] == 2
    connections.close()


async def test_a_statement_that_was_given_up_leaves_its_connection_sound(connections: Connections) -> None:
    async with connections.lend():  # so that there is only one more
        for _ in range(3):
            slow = asyncio.create_task(connections.fetch("select pg_sleep(30)"))
            await asyncio.sleep(0.05)
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            async with asyncio.timeout(5):
                assert (await connections.fetch("select 3"))[0][0] == 3
    assert len(await usable(connections)) == MOST


async def test_a_transaction_is_not_passed_on(connections: Connections) -> None:
    async with connections.lend() as connection:
        pid = await connection.fetchval("select pg_backend_pid()")
        await connection.execute("begin")
    assert pid not in await usable(connections)


async def test_lost_ones_are_made_anew(connections: Connections, postgres_dsn: str) -> None:
    before = await usable(connections)
    other = await asyncpg.connect(postgres_dsn)
    async with connections.lend() as connection:
        waiting = [asyncio.create_task(connections.fetch("select pg_backend_pid()")) for _ in range(4)]
        await other.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'lent'")
        with pytest.raises((asyncpg.PostgresError, *LOST)):
            await connection.fetchval("select 1 from pg_sleep(1)")
    await other.close()
    await asyncio.gather(*waiting, return_exceptions=True)
    after: set[int] = set()
    async with asyncio.timeout(30):
        while len(after) < MOST or not before.isdisjoint(after):  # that the server ended it shows at the latest when it is used
            with contextlib.suppress(asyncpg.PostgresError, *LOST):
                after = await usable(connections)


async def test_what_nobody_wants_for_long_is_ended_but_for_one(postgres_dsn: str) -> None:
    connections = Connections(postgres_dsn, most=3, timeout=5.0, idle=0.2, server_settings={"application_name": "resting"})
    other = await asyncpg.connect(postgres_dsn)

    async def open_now() -> set[int]:
        rows = await other.fetch("select pid from pg_stat_activity where application_name = 'resting'")
        return {row["pid"] for row in rows}

    async with connections.lend(), connections.lend(), connections.lend():
        assert len(await open_now()) == 3
    async with asyncio.timeout(5):
        while len(await open_now()) > 1:
            assert (await connections.fetch("select 1"))[0][0] == 1  # the one that is wanted stays
    assert (await connections.fetch("select pg_backend_pid()"))[0][0] in await open_now()
    assert connections._sweep is None
    async with connections.lend(), connections.lend():  # as many as before, when they are wanted again
        assert len(await open_now()) == 2
    await other.close()
    connections.close()


async def test_a_server_that_is_away_makes_nobody_wait(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections(postgres_dsn, most=1, timeout=5.0)
    connect = asyncpg.connect

    async def refused(*_: object, **__: object) -> None:
        await asyncio.sleep(0.01)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncpg, "connect", refused)
    async with asyncio.timeout(2):
        found = await asyncio.gather(*(connections.fetch("select 1") for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in found] == [ConnectionRefusedError] * 5
    monkeypatch.setattr(asyncpg, "connect", connect)
    assert (await connections.fetch("select 4"))[0][0] == 4
    connections.close()


async def test_closing_leaves_nobody_waiting(connections: Connections) -> None:
    async with connections.lend(), connections.lend():
        waiting = [asyncio.create_task(connections.fetch("select 1")) for _ in range(3)]
        await asyncio.sleep(0)
        connections.close()
        found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in found] == [asyncpg.InterfaceError] * 3
    with pytest.raises(asyncpg.InterfaceError):
        await connections.fetch("select 1")
