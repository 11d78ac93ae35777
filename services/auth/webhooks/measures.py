"""What is measured of webhooks; the process of auth that sends them shows it at its ``/metrics``."""

from __future__ import annotations

from typing import Final, get_args

from prometheus_client import Counter, Gauge

from services.auth.webhooks.sending import Why

ATTEMPTS: Final = Counter(
    "theke_webhook_attempts_total",
    "Attempts to send an event to a webhook; outcome: taken, or why not, as the delivery log says it.",
    ("outcome",),
)
FAILING_SECONDS: Final = Gauge(
    "theke_webhook_failing_seconds", "Since when the webhook that has failed longest has taken nothing; 0 if all that are sent to take it."
)
for outcome in get_args(Why):  # shown from the beginning, or the first of a kind would not count as an increase
    ATTEMPTS.labels(outcome)
