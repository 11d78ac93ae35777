"""Refusals of this dialect: one line of text, in the words its clients know where they look for them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web

from libs.domain.errors import DomainError, FieldError, Kind
from libs.runtime.logs import present_trace
from libs.texts.catalogue import Language, details, field_text
from services.gateway.dikas.call import language_of
from services.gateway.dikas.envelope import STATUS, STATUS_OF_REASON

log = structlog.get_logger(__name__)

HEADERS: Final = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Server": "Theke"}
TEXT: Final = "text/plain; charset=utf-8"
BAD_TOKEN: Final = "Unauthorized: Invalid token for bearer authentication"  # noqa: S105  # a sentence
BAD_CREDENTIALS: Final = "Unauthorized: Invalid credentials"
FORBIDDEN: Final = "Forbidden: Lacking access permission"
UNKNOWN_FIELD: Final = "Invalid selection field"
NOT_CREDENTIALS: Final = frozenset({"credentials_wrong", "default_credentials"})
# words that a client may compare
KNOWN: Final[Mapping[str, str]] = {"id_present": "ID Present", "id_differs": "Non-matching ID", "row_in_use": "Not Deletable"}


def refused(
    error: DomainError, request: web.BaseRequest, *, realm: str = "", trace: str = "", fields: Mapping[str, str] | None = None
) -> web.Response:
    """``realm``: the instance; ``fields``: how the dialect calls the fields of the record."""
    trace = trace or present_trace()
    status = STATUS_OF_REASON.get(error.reason) or STATUS[error.kind]
    headers = {**HEADERS, "Content-Type": TEXT, "Theke-Trace": trace}
    if error.reason in NOT_CREDENTIALS:
        status = 401
    if status == 401:
        headers["WWW-Authenticate"] = f'Bearer realm="{realm}" error="invalid_token"'
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if request.method == "HEAD":
        return web.Response(status=404 if status == 403 else status, headers=headers)
    if status >= 500:
        log.warning("request refused", method=request.method, path=request.path, status=status, reason=error.reason)
    return web.Response(
        status=status, body=_text(error, status, language_of(request, Language.ENGLISH), trace, fields or {}).encode(), headers=headers
    )


def _text(error: DomainError, status: int, language: Language, trace: str, fields: Mapping[str, str]) -> str:
    if error.reason in NOT_CREDENTIALS:
        return BAD_CREDENTIALS
    if status == 401:
        return BAD_TOKEN
    if status == 403:
        return FORBIDDEN
    if error.reason in KNOWN:
        return f"{HTTPStatus(status).phrase}: {KNOWN[error.reason]}"
    params = {**error.params, "trace": trace}
    if "scope" in params:  # what a unique value was claimed for: article.plu
        field = str(params["scope"]).rpartition(".")[2]
        params["field"] = fields.get(field, field)
    if not error.fields:
        said = details(DomainError(error.kind, error.reason, params), language)
    else:
        said = [_sentence(field, fields, language) for field in error.fields]
    return " ".join(f"{HTTPStatus(status).phrase}: {'; '.join(said)}".split())  # values that are told may have several lines


def _sentence(field: FieldError, fields: Mapping[str, str], language: Language) -> str:
    if field.reason == "unknown_field":
        return f"{UNKNOWN_FIELD}: '{field.path}'"
    return field_text(FieldError(fields.get(field.path, field.path), field.reason, field.params), language)


def not_here(request: web.BaseRequest) -> DomainError:
    return DomainError(Kind.NOT_FOUND, "route_not_found", {"path": request.path[:200]})
