"""Where a log's copy ends, and who sees to it that there is one: the relay itself, or the keeper that it asks.

A service's own user of the bus may neither declare a stream nor read messages of one: both would let it do more than publish its events.
The keeper does so for it, and tells of the last message no more than its id.
"""

from __future__ import annotations

from typing import Final, Protocol
from uuid import UUID

import msgspec
import structlog

from libs.bus import limits, subjects
from libs.bus.client import Client
from libs.bus.connection import Connection
from libs.bus.jetstream import JetStream, log_stream_config

KEEPER: Final = "keeper"
STREAM: Final = "stream"
REMOVED: Final = "removed"
UNKNOWN: Final = "unknown"
LIFE, LIFE_BEHIND, LIFE_LOST = "theke_life", "theke_life_behind", "theke_life_lost"  # in a stream's metadata

log = structlog.get_logger("bus.streams")


def life_of(service: str) -> str:
    """The keeper's query by which this service has the stream of one of its logs replaced."""
    return f"life_{service}"


class LogOf(msgspec.Struct, frozen=True):
    """What ``qry.keeper.stream`` is asked about."""

    service: str
    instance: int


class End(msgspec.Struct, frozen=True):
    """``last``: the stream's last sequence; ``id``: that of the event there, empty if the message is gone (or there never was one), and
    UNKNOWN if it is no event."""

    last: int
    id: str = ""


class NewLife(msgspec.Struct, frozen=True):
    """What an operator decided: the stream is replaced by one that begins behind ``behind``; the one before went up to ``lost``."""

    id: UUID
    behind: int
    lost: int


class LifeOf(msgspec.Struct, frozen=True):
    """What ``qry.keeper.life_<service>`` is asked for; each service may ask for its own logs only."""

    instance: int
    life: NewLife


class RemovalOf(msgspec.Struct, frozen=True):
    """What ``qry.keeper.removed`` is asked for, by an operator: an instance that has been removed."""

    instance: int


class Removal(msgspec.Struct, frozen=True):
    """``mirrors``: how many there still were."""

    mirrors: int


class _Event(msgspec.Struct, frozen=True):
    id: str


_event = msgspec.json.Decoder(_Event)


class Streams(Protocol):
    """``declared`` raises DomainError: unavailable if JetStream or the keeper is."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def declared(self, service: str, instance: int) -> End:
        """Where the stream of a log ends, after it was made if it was missing."""
        ...

    async def begun(self, service: str, instance: int, life: NewLife) -> None:
        """The stream of a log has begun this life. Whoever dies in between leaves the decision where it is, and the next one goes on."""
        ...


class OwnStreams:
    """For a user that may declare streams itself."""

    def __init__(self, jetstream: JetStream, replicas: int = 1) -> None:
        self._jetstream = jetstream
        self._replicas = replicas

    async def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """There is nothing to close."""

    async def declared(self, service: str, instance: int) -> End:
        config = log_stream_config(service, instance, replicas=self._replicas)
        last = (await self._jetstream.declare(config)).state.last_seq
        message = await self._jetstream.message(config["name"], last) if last > 0 else None
        return End(last, "" if message is None else _id_of(message))

    async def begun(self, service: str, instance: int, life: NewLife) -> None:
        config = log_stream_config(service, instance, replicas=self._replicas)
        info = await self._jetstream.info(config["name"])
        if info is not None and info.config.get("metadata", {}).get(LIFE) == life.id.hex:
            return
        if info is not None:
            await self._jetstream.delete(config["name"])
        said = {LIFE: life.id.hex, LIFE_BEHIND: str(life.behind), LIFE_LOST: str(life.lost)}
        await self._jetstream.create({**config, "first_seq": life.behind + 1, "metadata": said})
        log.warning("relay_new_life", stream=config["name"], behind=life.behind, lost=life.lost)


def _id_of(message: bytes) -> str:
    try:
        return _event.decode(message).id
    except msgspec.DecodeError:
        return UNKNOWN


class KeptStreams:
    """For a user that may not: the keeper is asked."""

    def __init__(self, connection: Connection) -> None:
        self._client = Client(connection)

    async def open(self) -> None:
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    async def declared(self, service: str, instance: int) -> End:
        body = msgspec.msgpack.encode(LogOf(service, instance))
        reply = await self._client.request(
            subjects.query(KEEPER, STREAM), body, instance=instance, deadline=limits.KEEPER_WITHIN_S, trace=""
        )
        return msgspec.msgpack.decode(reply.body, type=End)

    async def begun(self, service: str, instance: int, life: NewLife) -> None:
        body = msgspec.msgpack.encode(LifeOf(instance, life))
        subject = subjects.query(KEEPER, life_of(service))
        await self._client.request(subject, body, instance=instance, deadline=limits.KEEPER_WITHIN_S, trace="")
