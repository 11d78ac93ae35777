"""Servers die in the middle. The command keeps its id, the caller its deadline."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID, uuid4

import pytest

from libs.bus import limits, subjects
from libs.bus.client import Client
from libs.bus.server import Request
from libs.bus.subjects import Call
from libs.domain.errors import DomainError, Kind


class Till:
    """Answers from the second time on; before, it is still at it when something dies."""

    def __init__(self) -> None:
        self.seen: list[UUID | None] = []
        self.first = asyncio.Event()

    async def __call__(self, request: Request) -> bytes:
        self.seen.append(request.command_id)
        if not self.first.is_set():
            self.first.set()
            await asyncio.Event().wait()
        return b"receipt"


def pay(client: Client, service: str, command_id: UUID, deadline: float) -> asyncio.Task[object]:
    subject = subjects.command(service, "pay")
    return asyncio.create_task(client.request(subject, b"", instance=1, command_id=command_id, deadline=deadline, trace="t"))


async def test_the_bus_is_killed_in_mid_request(attacked, attacked_bus) -> None:
    till = Till()
    server, client = await attacked_bus.server(), await attacked_bus.client()
    server.register(Call.COMMAND, "pay", till)
    await server.start()
    # the request keeps its inbox, and who is still at it ignores repeats: a second replica answers, as after a restart of the whole house
    second = await attacked_bus.server()
    second.register(Call.COMMAND, "pay", till)
    command_id = uuid4()
    asking = pay(client, attacked_bus.service, command_id, 15.0)
    await till.first.wait()
    attacked.kill()
    await server._connection.close()
    await attacked.start()
    await second.start()
    reply = await asking
    assert reply.body == b"receipt"
    assert len(till.seen) >= 2
    assert set(till.seen) == {command_id}


async def test_the_service_is_killed_in_mid_request(bus, monkeypatch) -> None:
    monkeypatch.setattr(limits, "REPEAT_AFTER_S", 0.1)
    till = Till()
    doomed, client = await bus.server(), await bus.client()
    doomed.register(Call.COMMAND, "pay", till)
    await doomed.start()
    command_id = uuid4()
    asking = pay(client, bus.service, command_id, 10.0)
    await till.first.wait()
    await doomed._connection.close()
    next_one = await bus.server()
    next_one.register(Call.COMMAND, "pay", till)
    await next_one.start()
    reply = await asking
    assert reply.body == b"receipt"
    assert till.seen == [command_id, command_id]


async def test_the_deadline_holds_while_the_bus_is_gone(attacked, attacked_bus) -> None:
    till = Till()
    server, client = await attacked_bus.server(), await attacked_bus.client()
    server.register(Call.COMMAND, "pay", till)
    await server.start()
    started = time.monotonic()
    asking = pay(client, attacked_bus.service, uuid4(), 1.0)
    await till.first.wait()
    attacked.kill()
    with pytest.raises(DomainError) as raised:
        await asking
    assert time.monotonic() - started < 3.0
    assert raised.value.kind is Kind.UNAVAILABLE
    assert client.in_flight == 0


async def test_under_load_every_request_survives_restarts_of_the_bus(attacked, attacked_bus) -> None:
    done: set[UUID | None] = set()

    async def handler(request: Request) -> bytes:
        await asyncio.sleep(0.001)
        done.add(request.command_id)
        return request.body

    client = await attacked_bus.client()
    for _ in range(2):
        server = await attacked_bus.server()
        server.register(Call.COMMAND, "pay", handler)
        await server.start()
    subject = subjects.command(attacked_bus.service, "pay")
    acknowledged: list[UUID] = []
    over = asyncio.Event()

    async def till() -> None:
        while not over.is_set():
            command_id = uuid4()
            reply = await client.request(subject, command_id.bytes, instance=1, command_id=command_id, deadline=30.0, trace="t")
            assert reply.body == command_id.bytes
            acknowledged.append(command_id)

    tills = [asyncio.create_task(till()) for _ in range(16)]
    for _ in range(3):
        before = len(acknowledged)
        async with asyncio.timeout(20.0):
            while len(acknowledged) < before + 100:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        attacked.kill()
        await attacked.start()
    over.set()
    await asyncio.gather(*tills)
    assert set(acknowledged) <= done
    assert len(acknowledged) == len(set(acknowledged))
    assert client.counts.repeated > 0
