from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.bus import envelope, limits
from libs.bus.envelope import RequestEnvelope
from libs.domain.errors import DomainError, FieldError, Kind

AT = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)


def ask(version: int = envelope.VERSION) -> RequestEnvelope:
    return RequestEnvelope(version, "trace", 1_000, 500, 42, 17, b"\x00who", UUID(int=7), AT, b"\xff\x00body", 3)


def test_a_request_arrives_as_it_was_sent() -> None:
    assert envelope.decode_request(envelope.encode(ask())) == ask()


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"not msgpack", msgspec.msgpack.encode([1, 2, 3]), envelope.encode(ask(2))])
def test_an_envelope_of_another_make_is_refused_but_may_be_asked_elsewhere(payload: bytes) -> None:
    for decode in (envelope.decode_request, envelope.decode_reply):
        with pytest.raises(DomainError) as refused:
            decode(payload)
        assert (refused.value.kind, refused.value.reason) == (Kind.UNAVAILABLE, "envelope_unknown")
        assert refused.value.retry_after_s is not None


def test_fields_added_later_do_not_break_readers_of_today() -> None:
    longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(envelope.encode(ask())), "of a later release"])
    assert envelope.decode_request(longer) == ask()


def test_a_request_without_the_youngest_fields_is_an_ordinary_one() -> None:
    shorter = msgspec.msgpack.encode(msgspec.msgpack.decode(envelope.encode(ask()))[:-2])
    assert (envelope.decode_request(shorter).window, envelope.decode_request(shorter).waited_ms) == (0, 0)


params = st.dictionaries(st.text(max_size=8), st.one_of(st.text(max_size=8), st.integers(-(2**63), 2**63 - 1)), max_size=3)
fields = st.builds(FieldError, path=st.text(max_size=20), reason=st.text(max_size=20), params=params)


@given(
    kind=st.sampled_from(Kind),
    reason=st.text(max_size=20),
    params=params,
    at_fault=st.lists(fields, max_size=3),
    retry=st.none() | st.floats(0, 3600),
)
def test_a_refusal_keeps_everything(
    kind: Kind, reason: str, params: dict[str, str | int], at_fault: list[FieldError], retry: float | None
) -> None:
    error = DomainError(kind, reason, params, fields=tuple(at_fault), retry_after_s=retry)
    reply = envelope.decode_reply(envelope.refused(error))
    assert reply.refusal is not None
    back = envelope.error_of(reply.refusal)
    assert (back.kind, back.reason, dict(back.params), back.fields, back.retry_after_s) == (
        kind,
        reason,
        params,
        tuple(at_fault),
        retry,
    )


def test_an_answer_beyond_the_limit_is_refused_where_it_is_made() -> None:
    assert len(envelope.decode_reply(envelope.whole(b"x" * limits.BODY_MAX_BYTES)).body) == limits.BODY_MAX_BYTES
    with pytest.raises(DomainError) as refused:
        envelope.whole(b"x" * (limits.BODY_MAX_BYTES + 1))
    assert (refused.value.kind, refused.value.reason) == (Kind.TOO_LARGE, "reply_too_large")
