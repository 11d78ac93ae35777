"""A row of the log as the message that is published: a CloudEvents 1.0 JSON document, the same bytes whoever renders it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from libs.bus import subjects
from libs.bus.relay import Rendered
from libs.domain.events import event_class
from libs.domain.ids import instance_token
from libs.eventstore.log import Log, NewLife

PUBLISHED_IN = "libs.contracts."
ORIGINS_KNOWN_MAX = 10_000


class CloudEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """``source`` is the log (``theke/pos/i17``), ``subject`` the stream, ``schemaversion`` the event's own version."""

    specversion: str
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    position: int
    instance: str
    stream: str
    version: int
    schemaversion: int
    data: msgspec.Raw
    actor: str = ""
    correlation: str = ""
    causation: str = ""
    number: int | None = None


class _Said(msgspec.Struct, frozen=True, gc=False):
    """What of ``Meta`` is published, as it is written."""

    actor: str = ""
    command: str = ""
    correlation: str = ""
    causation: str = ""


class _Origin(msgspec.Struct, frozen=True, gc=False):
    """What the messages of one log share. ``subjects``: by type of event, of types that this process knows."""

    token: str
    source: str
    subjects: dict[str, str]


_encoder = msgspec.json.Encoder()
_said = msgspec.json.Decoder(_Said)
_origins: dict[tuple[str, int], _Origin] = {}


def is_published(type_: str) -> bool:
    """Whether an event belongs to the published language: it is declared in ``libs/contracts``."""
    cls = event_class(type_)
    return cls is not None and cls.__module__.startswith(PUBLISHED_IN)


def subject_of(service: str, instance: int, type_: str) -> str:
    """Where an event goes."""
    aggregate, _, name = type_.partition(".")
    return (subjects.published if is_published(type_) else subjects.internal)(service, instance, aggregate, name)


def render(service: str, row: Mapping[str, Any]) -> Rendered:
    return rendered(service, (row,))[0]


def rendered(service: str, rows: Sequence[Mapping[str, Any]]) -> list[Rendered]:
    """One message for each row. What all of them share is looked up once: this is done for every event there is."""
    messages: list[Rendered] = []
    encode, say, known, origin = _encoder.encode, _said.decode, None, None
    for row in rows:
        instance: int = row["instance"]
        if origin is None or instance != known:
            known, origin = instance, _origins.get((service, instance)) or _origin_of(service, instance)
            source, token, to = origin.source, origin.token, origin.subjects
        said = say(row["meta"])
        stream, type_, id_, position = row["stream"], row["type"], row["id"], row["position"]
        event = CloudEvent(
            "1.0",
            id_,
            source,
            type_,
            stream,
            row["at"],
            "application/json",
            position,
            token,
            stream,
            row["version"],
            row["schema_version"],
            msgspec.Raw(row["data"]),
            said.actor,
            said.correlation or said.command.replace("-", ""),
            said.causation,
            row["number"],
        )
        subject = to.get(type_) or _subject(origin, service, instance, type_)
        messages.append(Rendered(position, subject, id_, encode(event)))
    return messages


def _origin_of(service: str, instance: int) -> _Origin:
    token = instance_token(instance)
    origin = _Origin(token, f"theke/{service}/{token}", {})
    if len(_origins) < ORIGINS_KNOWN_MAX:
        _origins[service, instance] = origin
    return origin


def _subject(origin: _Origin, service: str, instance: int, type_: str) -> str:
    subject = subject_of(service, instance, type_)
    if event_class(type_) is not None:
        origin.subjects[type_] = subject
    return subject


class PublishedLog:
    """The logs of a service as the relay reads them, and keeps them from growing."""

    def __init__(self, service: str, log: Log) -> None:
        self._service = service
        self._log = log

    async def heads(self) -> Mapping[int, int]:
        return await self._log.heads()

    async def read(self, instance: int, after: int, limit: int) -> Sequence[Mapping[str, Any]]:
        return await self._log.read_rows(instance, after, limit)

    def render(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Rendered]:
        return rendered(self._service, rows)

    async def stand_still(self, instance: int, why: str) -> None:
        await self._log.stand_still(instance, why)

    async def go_on(self, instance: int) -> None:
        await self._log.go_on(instance)

    async def life_to_begin(self, instance: int) -> NewLife | None:
        return await self._log.life_to_begin(instance)

    async def is_purged(self, instance: int) -> bool:
        return await self._log.is_purged(instance)
