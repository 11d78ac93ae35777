"""What is measured of appending, per service; a process shows it at its ``/metrics``."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

SERVICE: Final = ("service",)
OUTCOMES: Final = {"a": "appended", "d": "duplicate", "m": "misuse", "x": "moved", "t": "taken", "c": "closed", "r": "superseded"}

SECONDS: Final = Histogram(
    "theke_append_seconds",
    "One append of a batch, from the statement to its commit on disk.",
    SERVICE,
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
COMMANDS: Final = Histogram("theke_append_batch_commands", "Commands in one append.", SERVICE, buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500))
LOCK_SECONDS: Final = Histogram(
    "theke_append_lock_wait_seconds",
    "Waiting for the log's lock, which another process of the service held.",
    SERVICE,
    buckets=(0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2),
)
SETTLED: Final = Counter("theke_append_outcomes_total", "Commands by what became of them in the append.", (*SERVICE, "outcome"))
REPEATED: Final = Counter("theke_append_repeated_total", "Batches that go again because the log was away or busy.", SERVICE)


class Appending:
    """The measures of one service's appends, looked up once: counting takes a microsecond."""

    __slots__ = ("commands", "lock", "repeated", "seconds", "settled")

    def __init__(self, service: str) -> None:
        self.seconds = SECONDS.labels(service)
        self.commands = COMMANDS.labels(service)
        self.lock = LOCK_SECONDS.labels(service)
        self.repeated = REPEATED.labels(service)
        self.settled = {code: SETTLED.labels(service, outcome) for code, outcome in OUTCOMES.items()}
