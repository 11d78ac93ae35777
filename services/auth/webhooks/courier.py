"""Getting one event to one endpoint: again and again, with growing pauses, until it is taken or the endpoint has failed for too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from libs.contracts.auth.webhooks import GIVEN_UP_AFTER_S, Ended
from libs.domain.clock import SystemClock
from libs.runtime.asyncapi import CLOUD_EVENT
from libs.runtime.publishing import CloudEvent
from services.auth.webhooks.endpoints import Endpoint
from services.auth.webhooks.measures import ATTEMPTS
from services.auth.webhooks.places import Attempt, Place, Places
from services.auth.webhooks.sending import Outcome, Post
from services.auth.webhooks.signatures import signed

PAUSES_S: Final = (1, 5, 30, 120, 300, 900, 1_800, 3_600, 7_200, 14_400)  # after the first failure, the second …; the last one from then on
SLEEP_MAX_S: Final = 30.0  # until the clock is looked at again: it may have been set
ENDPOINT: Final = "theke-webhook"

_encoder = msgspec.json.Encoder()


class Stopped(Exception):
    """The endpoint is not to be sent anything any more, for this reason."""

    def __init__(self, reason: Ended) -> None:
        super().__init__(reason)
        self.reason = reason


class Timer(Protocol):
    """Time as it passes for deliveries; tests let it pass."""

    def now(self) -> datetime: ...

    async def until(self, moment: datetime) -> None: ...


class WallTimer:
    def now(self) -> datetime:
        return SystemClock().now()

    async def until(self, moment: datetime) -> None:
        while True:
            left = (moment - self.now()).total_seconds()
            if left <= 0:
                return
            await asyncio.sleep(min(left, SLEEP_MAX_S))


Open = Callable[[int, str], Awaitable[str | None]]
"""(instance, name) → the secret behind it"""


class Courier:
    """``turns`` bounds how many requests are under way at once, of all endpoints."""

    def __init__(self, places: Places, post: Post, timer: Timer, secret: Open, turns: asyncio.Semaphore) -> None:
        self._places = places
        self._post = post
        self._timer = timer
        self._secret = secret
        self._turns = turns
        self._failing: dict[tuple[int, str], datetime] = {}  # which endpoints, and since when

    def failing_s(self) -> float:
        """For how many seconds the endpoint that has failed longest has taken nothing."""
        since = min(self._failing.values(), default=None)
        return 0.0 if since is None else max(0.0, (self._timer.now() - since).total_seconds())

    def forget(self, instance: int, key: str) -> None:
        """Nothing is sent to it any more, at least from here."""
        self._failing.pop((instance, key), None)

    def now(self) -> datetime:
        return self._timer.now()

    async def deliver(self, instance: int, endpoint: Endpoint, place: Place, service: str, event: CloudEvent) -> Place:
        """The place behind the event, once it is taken. Raises Stopped, Overtaken, and ``unavailable``."""
        while True:
            if place.next_attempt is not None:
                await self._timer.until(place.next_attempt)
            outcome = await self._attempt(instance, endpoint, event)
            now = self._timer.now()
            after = judged(place, service, event.position, outcome, now)
            attempt = Attempt(
                at=now, service=service, position=event.position, event=event.id, type=event.type, attempt=place.failures + 1,
                status=outcome.status, outcome=outcome.why, milliseconds=outcome.milliseconds,
            )  # fmt: skip
            ATTEMPTS.labels(outcome.why).inc()
            if after.failing_since is None:
                self.forget(instance, endpoint.key)
            else:
                self._failing[instance, endpoint.key] = after.failing_since
            place = await self._places.move(instance, endpoint.key, after, attempt)
            if outcome.taken:
                return place
            if outcome.why == "gone":
                raise Stopped("gone")
            if place.failing_since is not None and now >= _given_up(place.failing_since):
                raise Stopped("failing")

    async def _attempt(self, instance: int, endpoint: Endpoint, event: CloudEvent) -> Outcome:
        body = _encoder.encode(event)
        async with self._turns:
            now = self._timer.now()
            headers = signed(await self._secrets(instance, endpoint, now), str(event.id), int(now.timestamp()), body)
            kind = {"Content-Type": f"{CLOUD_EVENT}; charset=utf-8", ENDPOINT: endpoint.key}
            return await self._post.send(endpoint.url, {**kind, **headers}, body)

    async def _secrets(self, instance: int, endpoint: Endpoint, now: datetime) -> Sequence[str]:
        """The present one, and that before as long as it counts."""
        names = [endpoint.secret]
        if endpoint.old_until is not None and now < endpoint.old_until:
            names.append(endpoint.old_secret)
        return [secret for name in names if (secret := await self._secret(instance, name)) is not None]


def judged(place: Place, service: str, position: int, outcome: Outcome, now: datetime) -> Place:
    """The place after an attempt."""
    if outcome.taken:
        return msgspec.structs.replace(place.moved(service, position), failures=0, failing_since=None, next_attempt=None)
    since = place.failing_since or now
    pause = PAUSES_S[min(place.failures, len(PAUSES_S) - 1)]
    # the last attempt is made when the time is over, not before
    following = max(min(now + timedelta(seconds=pause), _given_up(since)), now)
    return msgspec.structs.replace(place, failures=place.failures + 1, failing_since=since, next_attempt=following)


def _given_up(since: datetime) -> datetime:
    return since + timedelta(seconds=GIVEN_UP_AFTER_S)
