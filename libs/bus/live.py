"""Hints between processes, at once or never: pokes ("the log moved") and heartbeats. Whoever needs certainty also looks by itself."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog
from nats.aio.subscription import Subscription

from libs.bus import limits, subjects
from libs.bus.connection import Connection
from libs.domain.errors import DomainError, Kind

log = structlog.get_logger("bus")

POKE = "poke"
REVIEW = "review"  # an operator changed what is held or which tables are live
EVERYBODY, SWITCHED = "theke", "switched"  # readers find tables under another name


class Poke(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The log of ``instance`` reaches up to ``head`` now."""

    instance: int
    head: int


_encoder = msgspec.msgpack.Encoder()
_poke_decoder = msgspec.msgpack.Decoder(Poke)


class Live:
    """Publishes and hears ``live.<service>.<kind>``. Callbacks run in the read loop: they must not block."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.unsent = 0

    def publish(self, service: str, kind: str, body: bytes) -> None:
        """Sends ``body`` (≤ ``BODY_MAX_BYTES``) to whoever listens. What cannot be sent now is counted and dropped.

        Raises too_large/hint_too_large."""
        if len(body) > limits.BODY_MAX_BYTES:
            raise DomainError(Kind.TOO_LARGE, "hint_too_large", {"max_bytes": limits.BODY_MAX_BYTES})
        try:
            self._connection.send(subjects.live(service, kind), body)
        except DomainError:
            self.unsent += 1

    async def subscribe(self, service: str, kind: str, callback: Callable[[bytes], None]) -> Subscription:
        def deliver(_subject: str, _reply: str, payload: bytes, _header: bytes) -> None:
            callback(payload)

        return await self._connection.listen(subjects.live(service, kind), deliver)

    async def unsubscribe(self, subscription: Subscription) -> None:
        await self._connection.unlisten(subscription)

    def poke(self, service: str, instance: int, head: int) -> None:
        """Tells that a log of ``service`` moved."""
        self.publish(service, POKE, _encoder.encode(Poke(instance, head)))

    async def on_poke(self, service: str, callback: Callable[[Poke], None]) -> Subscription:
        def decode(payload: bytes) -> None:
            try:
                poke = _poke_decoder.decode(payload)
            except (msgspec.DecodeError, msgspec.ValidationError):
                log.warning("poke_unreadable", service=service)
                return
            callback(poke)

        return await self.subscribe(service, POKE, decode)
