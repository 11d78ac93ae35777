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
from libs.eventstore.codec import Meta
from libs.eventstore.log import Log

PUBLISHED_IN = "libs.contracts."


class CloudEvent(msgspec.Struct, frozen=True, omit_defaults=True):
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


_encoder = msgspec.json.Encoder()
_meta = msgspec.json.Decoder(Meta)


def is_published(type_: str) -> bool:
    """Whether an event belongs to the published language: it is declared in ``libs/contracts``."""
    cls = event_class(type_)
    return cls is not None and cls.__module__.startswith(PUBLISHED_IN)


def render(service: str, row: Mapping[str, Any]) -> Rendered:
    instance: int = row["instance"]
    aggregate, _, name = row["type"].partition(".")
    meta = _meta.decode(row["meta"])
    payload = _encoder.encode(
        CloudEvent(
            specversion="1.0",
            id=row["id"],
            source=f"theke/{service}/{instance_token(instance)}",
            type=row["type"],
            subject=row["stream"],
            time=row["at"],
            datacontenttype="application/json",
            position=row["position"],
            instance=instance_token(instance),
            stream=row["stream"],
            version=row["version"],
            schemaversion=row["schema_version"],
            data=msgspec.Raw(row["data"]),
            actor=meta.actor,
            correlation=meta.correlation or (meta.command.hex if meta.command else ""),
            causation=meta.causation,
            number=row["number"],
        )
    )
    place = subjects.published if is_published(row["type"]) else subjects.internal
    return Rendered(row["position"], place(service, instance, aggregate, name), str(row["id"]), payload)


class PublishedLog:
    """The logs of a service as the relay reads them."""

    def __init__(self, service: str, log: Log) -> None:
        self._service = service
        self._log = log

    async def heads(self) -> Mapping[int, int]:
        return await self._log.heads()

    async def read(self, instance: int, after: int, limit: int) -> Sequence[Rendered]:
        return [render(self._service, row) for row in await self._log.read_rows(instance, after, limit)]
