"""Where answers arrive: one wildcard subscription for all of them, not one each.

Every reply subject is a secret of its own between who asks and who is asked: nobody else can hear it (each user may listen below its own
name only), and whoever was asked once cannot answer in another's place.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from nats.aio.subscription import Subscription

from libs.bus import limits, subjects
from libs.bus.connection import Connection
from libs.domain.errors import DomainError, unavailable

Arrive = Callable[[bytes | DomainError, str], None]
"""Takes a payload and its reply subject, or the error that stands for it: no_responders, connection_lost."""

PREFIX_BYTES: Final = 8
SECRET_BYTES: Final = 8

_NO_RESPONDERS = b"NATS/1.0 503"


class Inbox:
    """Hands out reply subjects and passes on what comes to them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._prefix = subjects.inbox(connection.name, secrets.token_hex(PREFIX_BYTES))
        self._expected: dict[str, Arrive] = {}
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        self._subscription = await self._connection.listen(self._prefix + "*", self._deliver)
        self._connection.when_lost(self._lost)

    async def close(self) -> None:
        """Ends the subscription; who still waits learns that the connection is lost."""
        if self._subscription is not None:
            self._connection.no_longer_when_lost(self._lost)
            await self._connection.unlisten(self._subscription)
            self._subscription = None
        self._lost()

    def expect(self, arrive: Arrive) -> str:
        """A fresh reply subject; everything that comes to it goes to ``arrive`` until ``forget``."""
        subject = self._prefix + secrets.token_hex(SECRET_BYTES)
        self._expected[subject] = arrive
        return subject

    def forget(self, subject: str) -> None:
        self._expected.pop(subject, None)

    def _deliver(self, subject: str, reply: str, payload: bytes, header: bytes) -> None:
        arrive = self._expected.get(subject)
        if arrive is None:
            return
        if header and header.startswith(_NO_RESPONDERS):
            arrive(unavailable("no_responders", limits.RETRY_PAUSE_MIN_S), "")
        else:
            arrive(payload, reply)

    def _lost(self) -> None:
        for arrive in tuple(self._expected.values()):
            arrive(unavailable("connection_lost", limits.RETRY_PAUSE_MIN_S), "")
