"""A lean load: keep-alive connections that each send one request after the other. Loopback only, bounded in time."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
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


class _Client(asyncio.Protocol):
    """One connection. The answer is complete when its Content-Length is there."""

    def __init__(self) -> None:
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
        length = int(self._buffer[at + 15 : self._buffer.find(b"\r\n", at)])
        if len(self._buffer) >= head + 4 + length and self._answer is not None:
            status = int(self._buffer[9:12])
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
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def run(port: int, request: Callable[[int], bytes], clients: int, seconds: float) -> Figures:
    """``request(n)`` makes the n-th request; every one is expected to be answered 201."""
    loop = asyncio.get_running_loop()
    counter = iter(range(10**9))
    begins = time.perf_counter() + WARM_UP_S
    ends = begins + seconds
    latencies: list[float] = []
    failed = 0

    async def client() -> None:
        nonlocal failed
        _, connection = await loop.create_connection(_Client, "127.0.0.1", port)
        while (sent := time.perf_counter()) < ends:
            status = await connection.ask(request(next(counter)))
            done = time.perf_counter()
            if sent >= begins:
                latencies.append(done - sent)
                failed += status != 201
        connection._transport.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    cuts = statistics.quantiles(latencies, n=100)
    return Figures(clients, len(latencies) / seconds, cuts[49] * 1000, cuts[98] * 1000, len(latencies), failed)
