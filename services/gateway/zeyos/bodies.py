"""Bodies of this dialect: JSON objects, or forms as PHP reads them: ``filters[status][!=]=2``, ``fields[]=ID``."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final
from urllib.parse import unquote_plus

from aiohttp import web

from libs.domain.errors import DomainError, FieldError, Kind, invalid
from services.gateway import bodies, limits

FORM: Final = "application/x-www-form-urlencoded"
FORM_FIELDS_MAX: Final = 5_000
FORM_DEPTH_MAX: Final = 32
FORM_JSON: Final = ("fields", "filter", "filters", "sort", "expand")  # whose value in a form may be JSON
NAME_MAX_CHARS: Final = 500
LIST_PARAMETERS: Final = (*FORM_JSON, "query", "limit", "offset", "count", "distinct", "export", "extdata", "tags")
_PARAMETER: Final = re.compile(rf"(?:{'|'.join(LIST_PARAMETERS)})(?:\[|=|$)")
_NAMED: Final = re.compile(rf"((?:\[[^\[\]]{{0,{NAME_MAX_CHARS}}}+\]|[^=])*+)=?(.*)", re.DOTALL)
_STEPS: Final = re.compile(r"\[([^\[\]]*)\]")
_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


async def read(request: web.Request) -> dict[str, Any]:
    """The body as an object; none is an empty one. Raises ``invalid``, ``too_large``."""
    raw = await _raw(request)
    if not raw.strip():
        return {}
    found = _form(raw) if request.content_type == FORM else bodies.plain(raw)
    if found == []:  # as PHP writes an object without anything in it
        return {}
    if not isinstance(found, dict):
        raise invalid(FieldError("", "expected_object"))
    return found


async def asked(request: web.Request) -> dict[str, Any]:
    """What is asked of a list: its query string is a form too, and the body counts before it. What is no parameter of a list is ignored."""
    named = "&".join(pair for pair in request.rel_url.raw_query_string.split("&") if _PARAMETER.match(unquote_plus(pair)))
    return {**_form(named.encode()), **await read(request)}


async def _raw(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(limits.BODY_WITHIN_S):
            return await request.read()
    except TimeoutError:
        raise DomainError(Kind.INVALID, "body_too_slow", {"max": round(limits.BODY_WITHIN_S)}) from None
    except web.HTTPRequestEntityTooLarge:
        raise DomainError(Kind.TOO_LARGE, "body_too_large", {"max": bodies.BODY_MAX_BYTES}) from None
    except web.RequestPayloadError:
        raise DomainError(Kind.INVALID, "body_unreadable") from None


def _form(raw: bytes) -> dict[str, Any]:
    try:
        pairs = [_pair(pair) for pair in raw.decode().split("&", FORM_FIELDS_MAX + 1) if pair]
        if len(pairs) > FORM_FIELDS_MAX:
            raise ValueError
    except ValueError:  # not UTF-8, or too many
        raise invalid(FieldError("", "malformed", {"detail": f"form, up to {FORM_FIELDS_MAX} fields"})) from None
    root: dict[str, Any] = {}
    for name, value in pairs:
        parsed = _NAME.fullmatch(name) if len(name) <= NAME_MAX_CHARS else None
        steps = [parsed[1], *_STEPS.findall(parsed[2])] if parsed else []
        if not 1 <= len(steps) <= FORM_DEPTH_MAX or "\0" in value or not _put(root, steps, value):
            raise invalid(FieldError(name[:100] if name.isprintable() else "", "malformed", {"detail": "form"}))
    found: dict[str, Any] = {name: _lists(value) for name, value in root.items()}
    for name in FORM_JSON:
        if isinstance(found.get(name), str) and found[name][:1] in ("[", "{"):
            found[name] = bodies.plain(found[name].encode())
    return found


def _pair(pair: str) -> tuple[str, str]:
    """Name and value. In brackets an equals sign is part of the name: ``filters[status][!=]=2`` is seldom written as it should be."""
    found = _NAMED.match(pair)
    assert found is not None
    return unquote_plus(found[1], errors="strict"), unquote_plus(found[2], errors="strict")


def _put(root: dict[str, Any], steps: list[str], value: str) -> bool:
    """False if a name is both a value and something with parts. An empty step counts on."""
    here = root
    for step in steps[:-1]:
        below = here.setdefault(step or str(len(here)), {})
        if not isinstance(below, dict):
            return False
        here = below
    last = steps[-1] or str(len(here))
    if isinstance(here.get(last), dict):
        return False
    here[last] = value
    return True


def _lists(value: Any) -> Any:
    """What counts from 0 on is a list, as PHP writes it."""
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(one) for key, one in value.items()}
    return list(inner.values()) if list(inner) == [str(ix) for ix in range(len(inner))] else inner
