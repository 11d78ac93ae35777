"""Section Articles: pictures of articles. A file is kept by the gateway; the article only knows its id."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any, Final

from aiohttp import BodyPartReader, web
from aiohttp.multipart import MultipartReader

from libs.domain.errors import DomainError, FieldError, Kind, invalid, not_found
from services.gateway import limits
from services.gateway.dikas.articles import ARTICLES, ArticleOut
from services.gateway.dikas.call import Call, Picture, Route
from services.gateway.dikas.params import IF_MATCH, IF_NONE_MATCH, Form, Param
from services.gateway.images import FORMATS, IMAGE_MAX_BYTES, SIDES, WEBP, variants_of

MULTIPART: Final = "multipart/form-data"
PARTS_MAX: Final = 10
PIECE_BYTES: Final = 64 * 1024
FOR_EVER: Final = "private, max-age=31536000, immutable"  # under an address that changes with the picture
LOOK_AGAIN: Final = "private, no-cache"


async def upload(call: Call) -> Any:
    """The article with its new picture: the file as the body, or as the first file of a form; JPEG, PNG or WebP."""
    if not call.principal.may(ARTICLES.type.permission, write=True):
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": ARTICLES.type.permission})
    await ARTICLES.view_of(call)  # nothing is kept for an article that is not there
    raw = await _received(call.request)
    variants = await variants_of(raw)
    id_ = sha256(raw).hexdigest()
    await call.blobs.keep(call.principal.instance, id_, variants)
    return ARTICLES.out(await ARTICLES.change_to(call, {"image_id": id_}))


async def remove(call: Call) -> Any:
    """The article without a picture."""
    return ARTICLES.out(await ARTICLES.change_to(call, {"image_id": None}))


async def picture(call: Call) -> Picture:
    """The picture as WebP; ``size``: ``full`` (default), ``medium`` or ``thumb``, 1600, 640 and 160 pixels at most."""
    size = call.choice("size")
    view = await ARTICLES.view_of(call)
    id_ = view.values.image_id
    file = None if id_ is None else await call.blobs.get(call.principal.instance, id_, size)
    if file is None:
        raise not_found("article_without_image", id=view.key)
    call.tag, call.tag_live = file.id, False
    named = call.text("v")
    call.headers["Cache-Control"] = FOR_EVER if named and id_.startswith(named) else LOOK_AGAIN
    return Picture(file.type, file.content)


async def _received(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(limits.BODY_WITHIN_S):
            if request.content_type == MULTIPART:
                return await _first_file(request)
            if request.content_type not in FORMATS:
                raise DomainError(Kind.INVALID, "wrong_image_type", {"allowed": ", ".join(FORMATS)})
            return await _bounded(request.content)
    except TimeoutError:
        raise DomainError(Kind.INVALID, "body_too_slow", {"max": round(limits.BODY_WITHIN_S)}) from None
    except web.RequestPayloadError:
        raise DomainError(Kind.INVALID, "body_unreadable") from None


async def _first_file(request: web.Request) -> bytes:
    try:
        reader: MultipartReader = await request.multipart()
        for _ in range(PARTS_MAX):
            part = await reader.next()
            if part is None:
                break
            if isinstance(part, BodyPartReader) and part.filename:
                return await _bounded(part)
    except (ValueError, AssertionError, LookupError, RuntimeError, AttributeError):  # what the reader raises on a form that is none
        raise DomainError(Kind.INVALID, "body_unreadable") from None
    raise invalid(FieldError("file", "required"))


async def _bounded(source: Any) -> bytes:
    """All of it, or the refusal as soon as it is too much."""
    read = source.read_chunk if isinstance(source, BodyPartReader) else source.read
    received = bytearray()
    while piece := await read(PIECE_BYTES):
        received += piece
        if len(received) > IMAGE_MAX_BYTES:
            raise DomainError(Kind.TOO_LARGE, "body_too_large", {"max": IMAGE_MAX_BYTES})
    return bytes(received)


_PATH: Final = "/api/v1/articles/{id}/image"
_ASKS: Final = ("inventory.article.change", "inventory.article.get")
SIZE: Final = Param("size", Form.CHOICE, "How large.", choices=tuple(SIDES), default="full", example="thumb")
VERSION: Final = Param("v", Form.TEXT, "The beginning of its `imageId`; the answer may then be kept for ever.", max_chars=100)
ROUTES = (
    Route("POST", _PATH, "Articles", upload, asks=_ASKS, params=(IF_MATCH,), accepts=(*FORMATS, MULTIPART), answer=ArticleOut),
    Route("GET", _PATH, "Articles", picture, asks=("inventory.article.get",), params=(SIZE, VERSION, IF_NONE_MATCH), media=(WEBP,)),
    Route("DELETE", _PATH, "Articles", remove, asks=_ASKS, params=(IF_MATCH,), answer=ArticleOut),
)
