"""``/swagger``: the published document and a page to read it and try it out, and ``/asyncapi.json``: what is published on the bus; all
from files of the project."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

STATIC: Final = Path(__file__).parent / "static"
UI: Final = STATIC / "swagger-ui"
TEXT_JS: Final = "text/javascript; charset=utf-8"
FILES: Final[Mapping[str, tuple[Path, str]]] = {
    "/swagger": (STATIC / "swagger.html", "text/html; charset=utf-8"),
    "/swagger/start.js": (STATIC / "start.js", TEXT_JS),
    "/swagger/swagger-ui-bundle.js": (UI / "swagger-ui-bundle.js", TEXT_JS),
    "/swagger/swagger-ui.css": (UI / "swagger-ui.css", "text/css; charset=utf-8"),
    "/swagger/favicon-32x32.png": (UI / "favicon-32x32.png", "image/png"),
    "/swagger/v1/swagger.json": (STATIC / "openapi.json", "application/json; charset=utf-8"),
    "/asyncapi.json": (STATIC / "asyncapi.json", "application/json; charset=utf-8"),
}
# the page's styles are set by its scripts, which inline styles are needed for; all else comes from here
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Server": "Theke",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


class File(msgspec.Struct, frozen=True):
    """A file as it is sent, ready in both ways."""

    tag: str
    plain: bytes
    packed: bytes


@cache
def _read(path: Path) -> File:
    plain = path.read_bytes()
    return File(f'"{sha256(plain).hexdigest()[:16]}"', plain, gzip.compress(plain, mtime=0))


def add(app: web.Application) -> None:
    for address, (path, type_) in FILES.items():
        app.router.add_get(address, _handler(path, type_))


def _handler(path: Path, type_: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        file = await asyncio.to_thread(_read, path)  # the first time takes a while
        headers = {**HEADERS, "ETag": file.tag}
        if file.tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        if packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=file.packed if packed else file.plain, headers={**headers, "Content-Type": type_})

    return handle
