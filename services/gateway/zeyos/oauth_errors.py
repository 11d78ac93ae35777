"""Refusals of OAuth2: JSON with the code that RFC 6749 and 7009 give them, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import structlog
from aiohttp import web

from libs.domain.errors import DomainError, Kind
from libs.texts.catalogue import Language, details
from services.gateway.dikas.call import language_of
from services.gateway.dikas.envelope import STATUS, STATUS_OF_REASON
from services.gateway.zeyos.plain import HEADERS, NOT_CREDENTIALS

log = structlog.get_logger(__name__)

JSON: Final = "application/json; charset=utf-8"
NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
BAD_CLIENT: Final = frozenset({"client_unknown", "no_client"})
BAD_GRANT: Final = NOT_CREDENTIALS | {"code_invalid", "refresh_token_invalid", "refresh_token_reused"}
OF_REASON: Final[Mapping[str, str]] = {"grant_type_unknown": "unsupported_grant_type"}
OF_KIND: Final[Mapping[Kind, str]] = {
    Kind.UNAUTHENTICATED: "invalid_token",
    Kind.FORBIDDEN: "access_denied",
    Kind.RATE_LIMITED: "temporarily_unavailable",
    Kind.UNAVAILABLE: "temporarily_unavailable",
}


class Refusal(msgspec.Struct, frozen=True):
    error: str
    error_description: str


def code_of(error: DomainError) -> tuple[int, str]:
    """Status and code of a refusal."""
    if error.reason in BAD_CLIENT:
        return 401, "invalid_client"
    if error.reason in BAD_GRANT:
        return 403, "invalid_grant"
    status = STATUS_OF_REASON.get(error.reason) or STATUS[error.kind]
    return status, OF_REASON.get(error.reason) or ("server_error" if status == 500 else OF_KIND.get(error.kind, "invalid_request"))


def refused(error: DomainError, request: web.BaseRequest, *, realm: str, trace: str) -> web.Response:
    status, code = code_of(error)
    headers = {**HEADERS, **NO_STORE, "Content-Type": JSON, "Theke-Trace": trace}
    if status == 401:
        headers["WWW-Authenticate"] = f'Basic realm="{realm}"' if code == "invalid_client" else f'Bearer realm="{realm}" error="{code}"'
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if status >= 500:
        log.warning("request refused", method=request.method, path=request.path, status=status, reason=error.reason)
    if request.method == "HEAD":
        return web.Response(status=status, headers=headers)
    shown = DomainError(error.kind, error.reason, {**error.params, "trace": trace}, fields=error.fields)
    said = "; ".join(details(shown, language_of(request, Language.ENGLISH)))
    return web.Response(status=status, body=msgspec.json.encode(Refusal(code, said)), headers=headers)
