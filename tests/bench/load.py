"""A lean load: keep-alive connections that each send one request after the other. Loopback only, bounded in time."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

WARM_UP_S = 1.0


@dataclass(frozen=True)
class Figures:
    """Requests per second and latencies in milliseconds."""

    clients: int
    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    failed: int


class Client(asyncio.Protocol):
    """One connection. The answer is complete when its Content-Length is there (none: no body); ``body`` is that of the last one."""

    def __init__(self) -> None:
        self.body = b""
        self._buffer = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._buffer.lower().find(b"content-length:", 0, head)
        length = int(self._buffer[at + 15 : self._buffer.find(b"\r\n", at)]) if at >= 0 else 0
        if len(self._buffer) >= head + 4 + length and self._answer is not None:
            status = int(self._buffer[9:12])
            self.body = bytes(self._buffer[head + 4 :])
            self._buffer.clear()
            self._answer.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError())

    async def ask(self, request: bytes) -> int:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    return _request("POST", path, {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}) + body


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    return _request(method, path, {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}) + body


def get(path: str, headers: dict[str, str]) -> bytes:
    return _request("GET", path, headers)


def _request(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def run(port: int, request: Callable[[int], bytes], clients: int, seconds: float) -> Figures:
    """``request(n)`` makes the n-th request; every one is expected to be answered 201."""
    counter = iter(range(10**9))

    async def one(connection: Client, _: int) -> bool:
        return await connection.ask(request(next(counter))) == 201

    return await rounds(port, one, clients, seconds)


async def rounds(
    port: int, act: Callable[[Client, int], Awaitable[bool]], clients: int, seconds: float, *, pause_s: float = 0.0
) -> Figures:
    """Each of ``clients`` does ``act(connection, client)`` again and again; figures are of whole rounds, False is a failed one."""
    loop = asyncio.get_running_loop()
    begins = time.perf_counter() + WARM_UP_S
    ends = begins + seconds
    latencies: list[float] = []
    failed = 0

    async def client(number: int) -> None:
        nonlocal failed
        transport, connection = await loop.create_connection(Client, "127.0.0.1", port)
        while (sent := time.perf_counter()) < ends:
            well = await act(connection, number)
            if sent >= begins:
                latencies.append(time.perf_counter() - sent)
                failed += not well
            if pause_s:
                await asyncio.sleep(pause_s)
        transport.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    cuts = statistics.quantiles(latencies, n=100)
    return Figures(clients, len(latencies) / seconds, cuts[49] * 1000, cuts[98] * 1000, len(latencies), failed)
