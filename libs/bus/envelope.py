"""What requests and replies look like on the wire: one msgpack array each, no NATS headers (they halve the throughput).

Fields are only ever added at the end, with a default; anything else is a new ``VERSION``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Final
from uuid import UUID

import msgspec

from libs.bus import limits
from libs.domain.errors import DomainError, FieldError, Kind, Param, unavailable

VERSION: Final = 1


class RequestEnvelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request. ``left_ms``: what the client still waits; ``deadline_ms``: that moment by its wall clock (epoch, UTC);
    ``sent_ms``: its monotonic clock when sending. ``window``: chunks granted for a large reply, 0 for an ordinary one. ``waited_ms``: how
    long whoever wants the answer had waited by then."""

    version: int
    trace: str
    deadline_ms: int
    left_ms: int
    sent_ms: int
    instance: int
    principal: bytes | None
    command_id: UUID | None
    at: datetime
    body: bytes
    window: int = 0
    waited_ms: int = 0


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """A DomainError on the wire."""

    kind: Kind
    reason: str
    params: Mapping[str, Param]
    fields: tuple[FieldError, ...]
    retry_after_s: float | None


class Part(IntEnum):
    """What a reply message is: the whole answer, one chunk of a large one, or the end of that."""

    WHOLE = 0
    CHUNK = 1
    END = 2


class ReplyEnvelope(msgspec.Struct, frozen=True, array_like=True):
    """A reply. ``refusal`` is None if it went well. ``sequence``: the chunk's number from 1; at the end, how many there were."""

    version: int
    body: bytes
    projection_behind: bool = False
    refusal: Refusal | None = None
    part: Part = Part.WHOLE
    sequence: int = 0


_encoder = msgspec.msgpack.Encoder()
_request_decoder = msgspec.msgpack.Decoder(RequestEnvelope)
_reply_decoder = msgspec.msgpack.Decoder(ReplyEnvelope)


def encode(envelope: RequestEnvelope | ReplyEnvelope) -> bytes:
    return _encoder.encode(envelope)


def decode_request(payload: bytes) -> RequestEnvelope:
    """Raises unavailable/envelope_unknown: another replica may speak the sender's version."""
    try:
        envelope = _request_decoder.decode(payload)
    except (msgspec.DecodeError, msgspec.ValidationError) as problem:
        raise unavailable("envelope_unknown") from problem
    if envelope.version != VERSION:
        raise unavailable("envelope_unknown")
    return envelope


def decode_reply(payload: bytes) -> ReplyEnvelope:
    """Raises unavailable/envelope_unknown."""
    try:
        envelope = _reply_decoder.decode(payload)
    except (msgspec.DecodeError, msgspec.ValidationError) as problem:
        raise unavailable("envelope_unknown") from problem
    if envelope.version != VERSION:
        raise unavailable("envelope_unknown")
    return envelope


def whole(body: bytes, projection_behind: bool = False) -> bytes:
    """An answer in one message. Raises too_large/reply_too_large."""
    if len(body) > limits.BODY_MAX_BYTES:
        raise DomainError(Kind.TOO_LARGE, "reply_too_large", {"max_bytes": limits.BODY_MAX_BYTES})
    return _encoder.encode(ReplyEnvelope(VERSION, body, projection_behind))


def chunk(body: bytes, sequence: int) -> bytes:
    return _encoder.encode(ReplyEnvelope(VERSION, body, part=Part.CHUNK, sequence=sequence))


def end(count: int) -> bytes:
    return _encoder.encode(ReplyEnvelope(VERSION, b"", part=Part.END, sequence=count))


def refused(error: DomainError) -> bytes:
    refusal = Refusal(error.kind, error.reason, dict(error.params), error.fields, error.retry_after_s)
    return _encoder.encode(ReplyEnvelope(VERSION, b"", refusal=refusal))


def error_of(refusal: Refusal) -> DomainError:
    return DomainError(refusal.kind, refusal.reason, refusal.params, fields=refusal.fields, retry_after_s=refusal.retry_after_s)
