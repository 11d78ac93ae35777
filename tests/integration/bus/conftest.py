from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from libs.bus.client import Client
from libs.bus.connection import Connection, connect
from libs.bus.server import Server
from libs.runtime.embedded import EmbeddedNats

WITHIN_S = 20.0


class Bus:
    """Connections, clients and servers that end with the test."""

    def __init__(self, url: str, service: str) -> None:
        self.url = url
        self.service = service
        self._connections: list[Connection] = []

    async def connection(self, name: str = "test") -> Connection:
        connection = await connect(self.url, name=name)
        self._connections.append(connection)
        return connection

    async def client(self, **bounds: int) -> Client:
        client = Client(await self.connection("client"), **bounds)
        await client.open()
        return client

    async def server(self, **bounds: int) -> Server:
        """Not started yet, so that handlers can be registered."""
        return Server(await self.connection("server"), self.service, **bounds)

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()


class AttackedNats(EmbeddedNats):
    """A NATS server of the test's own."""

    def kill(self) -> None:
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def pause(self) -> None:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGCONT)

    @property
    def store(self) -> Path:
        """Where JetStream keeps its files."""
        return self.place.data / "jetstream"


@pytest.fixture
def service() -> str:
    """A service name nobody else uses."""
    return f"s{uuid4().hex[:12]}"


@pytest.fixture
async def bus(nats_url: str, service: str) -> AsyncIterator[Bus]:
    bus = Bus(nats_url, service)
    yield bus
    await bus.close()


@pytest.fixture
async def attacked(state_directory: Path) -> AsyncIterator[AttackedNats]:
    server = AttackedNats(state_directory)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def attacked_bus(attacked: AttackedNats, service: str) -> AsyncIterator[Bus]:
    bus = Bus(attacked.url, service)
    yield bus
    if not attacked.is_alive():
        await attacked.start()
    await bus.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits until a condition holds; fails after ``WITHIN_S``."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    return wait
