"""What is measured of requests: by dialect and class of status, never by path, client or instance."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from libs.runtime.measures import Family, sampled

DIKAS, ZEYOS, PAGES, OTHER = "dikas", "zeyos", "pages", "other"
DIALECTS: Final = (DIKAS, ZEYOS, PAGES, OTHER)
CLASSES: Final = ("gone", "1xx", "2xx", "3xx", "4xx", "5xx")  # by the first digit

SECONDS: Final = Histogram(
    "theke_http_seconds",
    "From the head of a request to the end of its answer.",
    ("dialect",),
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FAMILIES: Final[Mapping[str, Family]] = {
    "theke_http_requests_total": Family("Requests answered; gone: the client left before.", ("dialect", "status")),
    "theke_http_open_requests": Family("Requests being answered."),
    "theke_http_limited_total": Family("Requests refused because their client sent too many."),
    "theke_http_clients_known": Family("Clients whose pace is remembered."),
}
_SECOND: Final = re.compile(r"/[^/]+/(?:api|auth|oauth2)/")


def dialect_of(path: str) -> str:
    if path.startswith("/api/"):
        return DIKAS
    if _SECOND.match(path):
        return ZEYOS
    return PAGES if path.startswith("/swagger") else OTHER


class Requests(Collector):
    """What one gateway answered. Counting is an addition; it becomes metrics when somebody asks."""

    def __init__(self, clients: Callable[[], int]) -> None:
        self.open = 0
        self.limited = 0
        self._clients = clients
        self._counts: dict[tuple[str, ...], int] = {(dialect, status): 0 for dialect in DIALECTS for status in CLASSES}
        self._seconds = {dialect: SECONDS.labels(dialect) for dialect in DIALECTS}

    def count(self, dialect: str, status: int, seconds: float) -> None:
        """``status`` 0: nobody was there for the answer."""
        self._counts[dialect, CLASSES[status // 100]] += 1
        self._seconds[dialect].observe(seconds)

    def collect(self) -> Iterator[Metric]:
        yield sampled("theke_http_requests_total", FAMILIES, self._counts)
        yield sampled("theke_http_open_requests", FAMILIES, {(): self.open})
        yield sampled("theke_http_limited_total", FAMILIES, {(): self.limited})
        yield sampled("theke_http_clients_known", FAMILIES, {(): self._clients()})
