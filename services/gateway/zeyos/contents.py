"""Rows with contents of files: the JSON comes from the service with places for them, the gateway puts them there as it writes."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from libs.blobs.store import Blobs
from libs.domain.errors import unavailable
from libs.records.rendering import MARK, Content, content_parts

Parts = Sequence[bytes | Content]
_TRIPLE: Final = 3  # bytes that Base64 encodes together


def parts_of(rows: bytes) -> Parts:
    return content_parts(rows) if MARK in rows else (rows,)


def length_of(parts: Parts) -> int:
    """In bytes, as they are written."""
    return sum((part.size + 2) // 3 * 4 if isinstance(part, Content) else len(part) for part in parts)


async def require_kept(blobs: Blobs, instance: int, parts: Iterable[bytes | Content]) -> None:
    """Before an answer begins. Raises ``unavailable`` if a content is not there: the store was not brought back with the logs."""
    wanted = {part.sha256 for part in parts if isinstance(part, Content)}
    if wanted and await blobs.known(instance, wanted) != wanted:
        raise unavailable("file_missing")


async def written(blobs: Blobs, instance: int, parts: Parts) -> AsyncIterator[bytes]:
    """Piece by piece. Raises ConnectionError if a content ends early: what was written is no answer then."""
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        size, carried = 0, b""
        async for chunk in blobs.read(instance, part.sha256):
            size += len(chunk)
            chunk = carried + chunk
            whole = len(chunk) // _TRIPLE * _TRIPLE
            carried = chunk[whole:]
            yield base64.b64encode(chunk[:whole])
        yield base64.b64encode(carried)
        if size != part.size:
            raise ConnectionError(f"of a file of {part.size} bytes there are {size}")
