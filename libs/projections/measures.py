"""What is measured of projecting, per service; a process shows it at its ``/metrics``."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

SERVICE: Final = ("service",)

APPLY_SECONDS: Final = Histogram(
    "theke_projection_apply_seconds",
    "One batch folded and written, with its checkpoints.",
    SERVICE,
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
BATCH_EVENTS: Final = Histogram(
    "theke_projection_batch_events", "Events in one batch.", SERVICE, buckets=(1, 2, 5, 10, 50, 100, 500, 1000, 2000)
)
GAP_FILLS: Final = Counter(
    "theke_projection_gap_fills_total", "Times events were read from the log, since what was offered did not follow on.", SERVICE
)
RESTARTS: Final = Counter("theke_projector_restarts_total", "Times the projector began again after a failure or a lost lead.", SERVICE)
WAIT_SECONDS: Final = Histogram(
    "theke_wait_seconds",
    "Waiting until query tables show what a command wrote.",
    SERVICE,
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.025, 0.05, 0.1, 0.5, 1, 2),
)
WAIT_TIMEOUTS: Final = Counter("theke_wait_timeouts_total", "Commands answered while query tables were behind.", SERVICE)


class Projecting:
    """The measures of one service's projector, looked up once."""

    __slots__ = ("apply", "events", "gap_fills", "restarts", "timeouts", "wait")

    def __init__(self, service: str) -> None:
        self.apply = APPLY_SECONDS.labels(service)
        self.events = BATCH_EVENTS.labels(service)
        self.gap_fills = GAP_FILLS.labels(service)
        self.restarts = RESTARTS.labels(service)
        self.wait = WAIT_SECONDS.labels(service)
        self.timeouts = WAIT_TIMEOUTS.labels(service)
