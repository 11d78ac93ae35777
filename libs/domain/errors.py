"""The one error type that travels from a decider to an API client.

A ``DomainError`` says *what kind* of refusal it is (the dialects turn kinds into status codes), *why* (a stable ``reason`` under
which ``libs/texts`` keeps the German and English sentence) and *where* (the fields at fault). It never carries a sentence itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

Param = str | int
NO_PARAMS: Mapping[str, Param] = {}
RETRY_AFTER_S = 0.1  # what is away for a moment is mostly back by then


class Kind(StrEnum):
    """What a caller can do about it; each dialect maps a kind to one status."""

    INVALID = "invalid"  # the request itself is wrong; do not repeat it unchanged
    UNAUTHENTICATED = "unauthenticated"  # no, dead or foreign credentials
    FORBIDDEN = "forbidden"  # known principal without the right
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"  # the state of the business does not allow it
    GONE = "gone"
    PRECONDITION_FAILED = "precondition_failed"  # If-Match did not match
    TOO_LARGE = "too_large"
    UNPROCESSABLE = "unprocessable"  # well formed, but not a thing that can be done (or a key used for another body)
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"  # nothing was changed, or it is unknown; repeat with the same key


class FieldError(msgspec.Struct, frozen=True):
    """One field at fault: ``path`` as the domain names it (``items[0].quantity``), ``reason`` a key of the text catalogue."""

    path: str
    reason: str
    params: Mapping[str, Param] = msgspec.field(default_factory=dict)


class DomainError(Exception):
    """A refusal. ``reason`` is stable and documented; ``retry_after_s`` only with ``unavailable`` and ``rate_limited``."""

    def __init__(
        self,
        kind: Kind,
        reason: str,
        params: Mapping[str, Param] = NO_PARAMS,
        *,
        fields: tuple[FieldError, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(reason, dict(params))
        self.kind = kind
        self.reason = reason
        self.params = params
        self.fields = fields
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        where = ", ".join(f"{f.path}: {f.reason}" for f in self.fields)
        return f"{self.kind}/{self.reason} {dict(self.params)}{' (' + where + ')' if where else ''}"


def not_found(reason: str, **params: Param) -> DomainError:
    return DomainError(Kind.NOT_FOUND, reason, params)


def conflict(reason: str, **params: Param) -> DomainError:
    return DomainError(Kind.CONFLICT, reason, params)


def unprocessable(reason: str, *fields: FieldError, **params: Param) -> DomainError:
    return DomainError(Kind.UNPROCESSABLE, reason, params, fields=fields)


def invalid(*fields: FieldError, reason: str = "invalid_fields") -> DomainError:
    return DomainError(Kind.INVALID, reason, fields=fields)


def unavailable(reason: str, retry_after_s: float = RETRY_AFTER_S, **params: Param) -> DomainError:
    return DomainError(Kind.UNAVAILABLE, reason, params, retry_after_s=retry_after_s)
