"""Events to bytes and back. Data and metadata are JSON in ``bytea``: readable for an auditor, cheaper to write than ``jsonb``.

Old versions of an event are lifted on read by *upcasters*, functions from the JSON object of version n to that of version n + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from libs.domain.errors import RETRY_AFTER_S, DomainError, Kind
from libs.domain.events import Event, Recorded, event_class

EVENT_MAX_BYTES = 256 * 1024

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
_upcasters: dict[tuple[str, int], Upcaster] = {}
_encoder = msgspec.json.Encoder(decimal_format="string")
_decoders: dict[type[Event], msgspec.json.Decoder[Any]] = {}


class UnknownEvent(DomainError):
    """The log holds a type or version that this process does not know: a newer process wrote it, so this one steps back."""

    def __init__(self, what: str) -> None:
        super().__init__(Kind.UNAVAILABLE, "newer_events", retry_after_s=RETRY_AFTER_S)
        self.what = what

    def __str__(self) -> str:
        return self.what


class Meta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who and why, beside the event's own data. ``claims`` lets the log rebuild its claims: ``+scope:value`` or ``-scope:value``."""

    actor: str = ""
    command: UUID | None = None
    correlation: str = ""
    causation: str = ""
    claims: tuple[str, ...] = ()


_meta_decoder = msgspec.json.Decoder(Meta)


def upcaster(type_: str, version: int) -> Callable[[Upcaster], Upcaster]:
    """``@upcaster("receipt.issued", 1)``: lifts version 1 to version 2."""

    def register(function: Upcaster) -> Upcaster:
        if (type_, version) in _upcasters:
            raise ValueError(f"two upcasters for {type_} version {version}")
        _upcasters[type_, version] = function
        return function

    return register


def encode(data: Any) -> bytes:
    return _encoder.encode(data)


def decode(type_: str, version: int, data: bytes) -> Event:
    """The event's struct, lifted to the version this process knows. Raises UnknownEvent."""
    cls = event_class(type_)
    if cls is None or version > cls.VERSION:
        raise UnknownEvent(f"{type_} version {version}")
    if version == cls.VERSION:
        decoder = _decoders.get(cls)
        if decoder is None:
            decoder = _decoders[cls] = msgspec.json.Decoder(cls)
        event: Event = decoder.decode(data)
        return event
    lifted: dict[str, Any] = msgspec.json.decode(data)
    for step in range(version, cls.VERSION):
        lift = _upcasters.get((type_, step))
        if lift is None:
            raise UnknownEvent(f"no upcaster for {type_} version {step}")
        lifted = lift(lifted)
    return msgspec.convert(lifted, cls, strict=False)


def recorded(row: Mapping[str, Any]) -> Recorded:
    """A row of the log as the event it holds. Raises UnknownEvent."""
    meta = _meta_decoder.decode(row["meta"])
    return Recorded(
        instance=row["instance"],
        position=row["position"],
        stream=row["stream"],
        version=row["version"],
        id=row["id"],
        type=row["type"],
        data=decode(row["type"], row["schema_version"], row["data"]),
        at=row["at"],
        number=row["number"],
        actor=meta.actor,
        command=meta.command,
        schema_version=row["schema_version"],
    )
