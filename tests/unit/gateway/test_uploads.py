"""Long texts cut out of bodies, and Base64 in pieces: whatever is cut out is what stood there."""

from __future__ import annotations

import base64
import json
from hashlib import md5, sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.blobs.store import CHUNK_BYTES, FILE_MAX_BYTES
from libs.domain.errors import DomainError, Kind
from libs.records.wanted import Wrong
from services.gateway import bodies
from services.gateway.zeyos import contents, uploads

SMALL = 8
WORD = "w"


def put_back(rest: bytes, found: dict[str, memoryview]) -> bytes:
    for name, text in found.items():
        assert rest.count(f'"{name}"'.encode()) == 1
        rest = rest.replace(f'"{name}"'.encode(), b'"' + bytes(text) + b'"')
    return rest


JSON = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=20), st.text('"\\/A', max_size=40)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text('"\\a', max_size=12), inner, max_size=4)),
    max_leaves=12,
)


@given(JSON)
def test_what_is_cut_out_is_what_stood_there(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(uploads, "LONG_TEXT_BYTES", SMALL)
        raw = json.dumps(value).encode()
        rest, found = uploads.cut_out(bytearray(raw), WORD)
    assert put_back(rest, found) == raw
    assert all(len(text) >= SMALL for text in found.values())
    json.loads(rest)


@given(st.binary(max_size=60))
def test_what_is_no_json_is_left_to_the_parser(raw: bytes) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(uploads, "LONG_TEXT_BYTES", SMALL)
        rest, found = uploads.cut_out(bytearray(raw), WORD)
    assert put_back(rest, found) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b" " * (bodies.BODY_MAX_BYTES + 1),
        b'"' * (bodies.BODY_MAX_BYTES + 2),
        b'"a",' * bodies.BODY_MAX_BYTES,
        b'"' + b'\\"' * bodies.BODY_MAX_BYTES + b'"',
        b'"' + b"\\" * (bodies.BODY_MAX_BYTES + 1) + b'"',
        b'"' + b"A" * bodies.BODY_MAX_BYTES,
    ],
)
def test_only_texts_may_be_long(raw: bytes) -> None:
    with pytest.raises(DomainError) as refusal:
        uploads.cut_out(bytearray(raw), WORD)
    assert (refusal.value.kind, refusal.value.params["max"]) == (Kind.TOO_LARGE, bodies.BODY_MAX_BYTES)


@given(st.binary(min_size=1, max_size=100))
def test_base64_is_decoded_in_pieces_of_any_size(content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(uploads, "PIECE_CHARS", SMALL)
        file = uploads._File(base64.b64encode(content))
        assert b"".join(file.pieces()) == content
        made = file.made()
    assert (made.size, made.sha256) == (len(content), sha256(content).hexdigest())
    assert made.hash == f"\\x{md5(content).hexdigest()}"


@given(st.text("AQ=/+ \n-", max_size=20))
def test_what_is_taken_for_base64_is_exactly_that(text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(uploads, "PIECE_CHARS", SMALL)
        try:
            content = b"".join(uploads._File(text.encode()).pieces())
        except Wrong as wrong:
            assert wrong.reason == "not_base64"  # noqa: PT017  # either way is right, for its own reason
            return
    assert len(base64.b64encode(content)) == len(text)
    assert base64.b64decode(text, validate=True) == content


def test_pieces_fit_the_store_and_what_a_file_may_have_fits_a_body() -> None:
    assert uploads.PIECE_CHARS // 4 * 3 <= CHUNK_BYTES
    assert len(base64.b64encode(bytes(FILE_MAX_BYTES))) == uploads.ENCODED_MAX_BYTES < uploads.BODY_MAX_BYTES


class _Chunks:
    """A store whose chunks have any length."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    async def read(self, instance: int, id: str) -> Any:
        for chunk in self._chunks:
            yield chunk


@given(st.lists(st.binary(max_size=7), max_size=6))
async def test_a_content_is_written_as_one_base64_whatever_its_chunks(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    row = b'{"binfile":{"content":"\0' + f"{'a' * 64}:{len(whole)}".encode() + b'\0"},"ID":1}'
    parts = contents.parts_of(row)
    written = b"".join([piece async for piece in contents.written(_Chunks(chunks), 1, parts)])  # type: ignore[arg-type]
    assert json.loads(written) == {"binfile": {"content": base64.b64encode(whole).decode()}, "ID": 1}
    assert len(written) == contents.length_of(parts)
