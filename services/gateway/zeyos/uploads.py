"""Files in bodies: ``{"content": Base64}`` or ``{"uri": "data:…;base64,…"}`` in place of a field.

A body with a large file is read beside the usual bound, few at once. Long texts are cut out of it before it is parsed and decoded piece by
piece, so a file is in memory once, in Base64; its content goes into the blob store and only what it is called there over the bus.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from hashlib import md5, sha256
from typing import Any, Final, TypeVar

import msgspec
import structlog
from aiohttp import web

from libs.blobs.store import FILE_MAX_BYTES, Kept
from libs.contracts.erp import RECORDS
from libs.domain.errors import DomainError, FieldError, Kind, invalid, unavailable
from libs.domain.principal import system
from libs.domain.records import RecordType
from libs.records.numbered import Change, Create, Delete, Dropped, FileMade, Written
from libs.records.wanted import Wrong
from services.gateway import bodies
from services.gateway.dikas.call import Call
from services.gateway.zeyos import bodies as read_bodies

log = structlog.get_logger(__name__)
T = TypeVar("T")

FILES: Final = RECORDS["binfiles"]

ENCODED_MAX_BYTES: Final = (FILE_MAX_BYTES + 2) // 3 * 4
BODY_MAX_BYTES: Final = ENCODED_MAX_BYTES + bodies.BODY_MAX_BYTES  # one file as large as can be, and everything else
AT_ONCE_MAX: Final = 3  # large bodies in memory
WAITING_MAX: Final = 50  # that have not been read yet
WAITS_MAX_S: Final = 10.0
LARGE_BODY_WITHIN_S: Final = 120.0
KEPT_WITHIN_S: Final = 30.0
LONG_TEXT_BYTES: Final = 256 * 1024  # from here on a text in a large body is looked at by itself: longer than any field but files
QUOTES_MAX: Final = 100_000  # that are looked at: a small body has no more, and Base64 none
PIECE_CHARS: Final = 256 * 1024  # of Base64, decoded at a time
READ_BYTES: Final = 256 * 1024
URI_HEAD_MAX_CHARS: Final = 300
_URI_HEAD: Final = re.compile(rb"data:[^,]*;base64,", re.IGNORECASE)
# how writers of JSON escape what Base64 consists of
_ESCAPES: Final = {"/": (b"\\/", b"\\u002f", b"\\u002F"), "+": (b"\\u002b", b"\\u002B"), "=": (b"\\u003d", b"\\u003D")}


class _Turns:
    """Lets AT_ONCE_MAX in; others wait, and those that are too many are sent away."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE_MAX)
        self._waiting = 0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Raises ``unavailable``."""
        if self._waiting >= WAITING_MAX:
            raise unavailable("overloaded", WAITS_MAX_S)
        self._waiting += 1
        try:
            async with asyncio.timeout(WAITS_MAX_S):
                await self._free.acquire()
        except TimeoutError:
            raise unavailable("overloaded", WAITS_MAX_S) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


_turns: Final = _Turns()


async def write(call: Call, record: RecordType, name: str, ask: Callable[[dict[str, Any]], Create | Change]) -> Written:
    """Sends the command that ``ask`` makes of the body without its files, with those: first their contents are kept, then the rows of the
    files are made in the append of the record. Of a command that is refused nothing stays."""
    fields = tuple(field.name for field in record.fields if field.file)
    if not fields:
        return await call.command(record.service, name, ask(await read_bodies.read(call.request)), Written)
    asked, made, kept = await _received(call, fields, ask)
    rows: dict[str, int] = {}
    try:
        if record.service == FILES.service:
            asked = msgspec.structs.replace(asked, files=made)
        else:  # its append can make no rows of files
            for field, file in made.items():
                rows[field] = await _made_row(call, file, record.resource)
            asked = msgspec.structs.replace(asked, values={**asked.values, **rows})
        return await call.command(record.service, name, asked, Written)
    except DomainError as refusal:
        if refusal.kind is not Kind.UNAVAILABLE:  # of those nobody knows what became; what is not needed is swept
            with contextlib.suppress(DomainError):
                for id_ in rows.values():
                    await _as_theke(call, "delete", Delete(id=id_), Dropped)
                for one in kept:
                    await call.blobs.take_back(one)
        raise


async def _made_row(call: Call, file: FileMade, resource: str) -> int:
    values = {"hash": file.hash, "size": file.size, "sha256": file.sha256, "named_by": resource}
    return (await _as_theke(call, "create", Create(values=values), Written)).id


async def _as_theke(call: Call, verb: str, body: Any, answer: type[T]) -> T:
    """Clients write no rows of files."""
    found, _ = await call.services.command(
        FILES.service, f"{FILES.name}.{verb}", body, answer, principal=system(call.principal.instance, "gateway"), trace=call.trace
    )
    return found


async def _received(
    call: Call, fields: tuple[str, ...], ask: Callable[[dict[str, Any]], Create | Change]
) -> tuple[Create | Change, dict[str, FileMade], list[Kept]]:
    """What is asked, and its files, which are kept by now. What they were read into is given up with the turn."""
    async with _body(call.request) as (body, long_texts):
        files = _files(body, fields, long_texts)
        asked = ask(body)
        made, kept = await _keep(call, files)
    return asked, made, kept


@asynccontextmanager
async def _body(request: web.Request) -> AsyncIterator[tuple[dict[str, Any], dict[str, memoryview]]]:
    """The body, and the long texts that were cut out of it by the words that stand in their places. A large one holds its turn."""
    if not _is_large(request):
        yield await read_bodies.read(request), {}
        return
    if (request.content_length or 0) > BODY_MAX_BYTES:
        raise DomainError(Kind.TOO_LARGE, "body_too_large", {"max": BODY_MAX_BYTES})
    async with _turns.taken():
        raw = await _read(request)
        rest, long_texts = await asyncio.to_thread(cut_out, raw, uuid.uuid4().hex)
        body = bodies.plain(rest) if rest.strip() else {}
        if not isinstance(body, dict):
            raise invalid(FieldError("", "expected_object"))
        yield body, long_texts


def _is_large(request: web.Request) -> bool:
    """Or may become so: it does not tell its length. Forms are never large."""
    if not request.can_read_body or request.content_type == read_bodies.FORM:
        return False
    length = request.content_length
    return length is None or length > bodies.BODY_MAX_BYTES or "Content-Encoding" in request.headers


async def _read(request: web.Request) -> bytearray:
    raw = bytearray()
    try:
        async with asyncio.timeout(LARGE_BODY_WITHIN_S):
            while piece := await request.content.read(READ_BYTES):
                if len(raw) + len(piece) > BODY_MAX_BYTES:
                    raise DomainError(Kind.TOO_LARGE, "body_too_large", {"max": BODY_MAX_BYTES})
                raw += piece
    except TimeoutError:
        raise DomainError(Kind.INVALID, "body_too_slow", {"max": round(LARGE_BODY_WITHIN_S)}) from None
    except web.RequestPayloadError:
        raise DomainError(Kind.INVALID, "body_unreadable") from None
    return raw


def cut_out(raw: bytearray, word: str) -> tuple[bytes, dict[str, memoryview]]:
    """JSON with words (``word`` and a number) in place of its long texts, and those as they stand there, escapes and all. Raises
    ``too_large`` if the rest is not as small as other bodies."""
    view, rest, found, copied, at = memoryview(raw), bytearray(), dict[str, memoryview](), 0, 0
    for _ in range(QUOTES_MAX):
        opens = raw.find(b'"', at)
        closes = _end_of_text(raw, opens + 1) if opens >= 0 else -1
        if closes < 0:
            break
        at = closes + 1
        if closes - opens > LONG_TEXT_BYTES:
            name = f"{word}-{len(found)}"
            rest += view[copied:opens]
            rest += f'"{name}"'.encode()
            found[name] = view[opens + 1 : closes]
            copied = at
    if len(rest) + len(raw) - copied > bodies.BODY_MAX_BYTES:
        raise DomainError(Kind.TOO_LARGE, "body_too_large", {"max": bodies.BODY_MAX_BYTES})
    rest += view[copied:]
    return bytes(rest), found


def _end_of_text(raw: bytearray, begins: int) -> int:
    """Where the quote is that ends a text; -1 without one, or if too many come before it."""
    at = begins
    for _ in range(QUOTES_MAX):
        quote = raw.find(b'"', at)
        if quote < 0 or _backslashes_before(raw, quote, begins) % 2 == 0:
            return quote
        at = quote + 1
    return -1


def _backslashes_before(raw: bytearray, at: int, begins: int) -> int:
    window = 64
    while True:
        piece = raw[max(begins, at - window) : at]
        count = len(piece) - len(piece.rstrip(b"\\"))
        if count < len(piece) or at - window <= begins:
            return count
        window *= 16


class _File:
    """Base64 as a client sent it."""

    def __init__(self, encoded: bytes | memoryview) -> None:
        self._encoded = encoded

    def pieces(self) -> Iterator[bytes]:
        """The content. Raises Wrong when it comes to what is no Base64."""
        encoded = self._encoded
        if len(encoded) % 4:
            raise Wrong("not_base64")
        for at in range(0, len(encoded), PIECE_CHARS):
            piece = encoded[at : at + PIECE_CHARS]
            padding = bytes(piece[-2:]).count(b"=") if at + PIECE_CHARS >= len(encoded) else 0
            try:
                decoded = binascii.a2b_base64(piece, strict_mode=True)
            except binascii.Error:
                raise Wrong("not_base64") from None
            if len(decoded) != len(piece) // 4 * 3 - padding:
                raise Wrong("not_base64")
            yield decoded

    def made(self) -> FileMade:
        """What it is called. Raises Wrong, ``too_large``."""
        if len(self._encoded) > ENCODED_MAX_BYTES:
            raise DomainError(Kind.TOO_LARGE, "file_too_large", {"max": FILE_MAX_BYTES})
        old, new, size = md5(usedforsecurity=False), sha256(), 0
        for piece in self.pieces():
            old.update(piece)
            new.update(piece)
            size += len(piece)
        if not size:
            raise Wrong("file_empty")
        if size > FILE_MAX_BYTES:
            raise DomainError(Kind.TOO_LARGE, "file_too_large", {"max": FILE_MAX_BYTES})
        return FileMade(hash=f"\\x{old.hexdigest()}", size=size, sha256=new.hexdigest())


def _files(body: dict[str, Any], fields: tuple[str, ...], long_texts: Mapping[str, memoryview]) -> dict[str, _File]:
    """Takes the files out of a body. What is null or an empty text stays there: it clears the field. Raises ``invalid``."""
    left, faults, found = dict(long_texts), list[FieldError](), dict[str, _File]()
    for name in fields:
        if body.get(name) in (None, ""):
            continue
        try:
            found[name] = _file(body.pop(name), left)
        except Wrong as wrong:
            faults.append(FieldError(name, wrong.reason, wrong.params))
    if faults:
        raise invalid(*faults)
    if left:  # in a field that is no file
        raise DomainError(Kind.TOO_LARGE, "body_too_large", {"max": bodies.BODY_MAX_BYTES})
    return found


def _file(value: Any, long_texts: dict[str, memoryview]) -> _File:
    """Raises Wrong."""
    given = {name: said for name, said in value.items() if said is not None} if isinstance(value, dict) else {}
    if len(given) != 1 or not given.keys() <= {"content", "uri"}:
        raise Wrong("expected_file")
    ((form, said),) = given.items()
    if not isinstance(said, str):
        raise Wrong("expected_file")
    long_text = long_texts.pop(said, None)
    try:
        encoded = _unescaped(long_text) if long_text is not None else said.encode("ascii")
    except UnicodeEncodeError:
        raise Wrong("not_base64") from None
    if form == "content":
        return _File(encoded)
    head = _URI_HEAD.match(bytes(encoded[:URI_HEAD_MAX_CHARS]))
    if head is None:
        raise Wrong("not_data_uri")
    return _File(encoded[head.end() :])


def _unescaped(text: memoryview) -> bytes | memoryview:
    if not any(b"\\" in bytes(text[at : at + PIECE_CHARS]) for at in range(0, len(text), PIECE_CHARS)):
        return text
    found = bytes(text)
    for meant, escapes in _ESCAPES.items():
        for escape in escapes:
            found = found.replace(escape, meant.encode())
    return found


async def _keep(call: Call, files: Mapping[str, _File]) -> tuple[dict[str, FileMade], list[Kept]]:
    """All of them, or the refusal of the first that is none, before anything is kept."""
    made: dict[str, FileMade] = {}
    for name, file in files.items():
        try:
            made[name] = await asyncio.to_thread(file.made)
        except Wrong as wrong:
            raise invalid(FieldError(name, wrong.reason, wrong.params)) from None
    kept = []
    try:
        async with asyncio.timeout(KEPT_WITHIN_S):
            for name, file in files.items():
                one = made[name]
                kept.append(await call.blobs.put(call.principal.instance, one.sha256, one.size, file.pieces()))
    except TimeoutError:
        raise unavailable("blobs_unreachable") from None
    return made, kept
