"""The envelope: ``{data, isSuccess, message, errors}``, all four on every answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from libs.domain.errors import DomainError, FieldError, Kind, Param
from libs.texts.catalogue import Language, details, headline
from services.gateway.dikas import shapes
from services.gateway.dikas.names import dialect_name

STATUS: Final[Mapping[Kind, int]] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.GONE: 410,
    Kind.PRECONDITION_FAILED: 412,
    Kind.TOO_LARGE: 413,
    Kind.UNPROCESSABLE: 422,
    Kind.RATE_LIMITED: 429,
    Kind.UNAVAILABLE: 503,
}
# refusals that HTTP has a status of its own for
STATUS_OF_REASON: Final[Mapping[str, int]] = {
    "body_too_slow": 408,
    "expectation_unknown": 417,
    "header_too_large": 431,
    "internal": 500,
    "method_not_allowed": 405,
    "wrong_content_type": 415,
    "wrong_image_type": 415,
}
# the services count these in minor units, the dialect writes euros
AMOUNTS: Final = frozenset({"amount", "tip", "discount_amount", "opening_float", "counted"})

_encoder = msgspec.json.Encoder(decimal_format="number")


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    data: Any
    is_success: bool = True
    message: str | None = None
    errors: list[str] | None = None


STREAM_BEGIN: Final = b'{"data":['
STREAM_END: Final = b'],"isSuccess":true,"message":null,"errors":null}'


def success(data: Any) -> bytes:
    return _encoder.encode(Envelope(data))


def items(several: list[Any]) -> bytes:
    """Items of a list that is being written, without the brackets around them."""
    return _encoder.encode(several)[1:-1]


def failure(error: DomainError, language: Language) -> tuple[int, bytes]:
    """Status and body of a refusal."""
    status = STATUS_OF_REASON.get(error.reason) or STATUS[error.kind]
    return status, _encoder.encode(Envelope(None, False, *refusal_texts(error, language)))


def refusal_texts(error: DomainError, language: Language) -> tuple[str, list[str]]:
    """Headline and sentences of a refusal, in the dialect's names."""
    shown = DomainError(error.kind, error.reason, _params(error), fields=tuple(_shown(field) for field in error.fields))
    return headline(shown, language), details(shown, language)


def _params(error: DomainError) -> Mapping[str, Param]:
    """``scope`` is what a unique value was claimed for (``table.number``): the dialect names the field."""
    scope = error.params.get("scope")
    return error.params if scope is None else {**error.params, "field": dialect_name(str(scope).rpartition(".")[2])}


def _shown(field: FieldError) -> FieldError:
    steps = field.path.split(".")
    params = field.params
    if field.reason == "out_of_range" and steps[-1] in AMOUNTS:
        params = {name: str(shapes.amount(bound)) if isinstance(bound, int) else bound for name, bound in params.items()}
    if "other" in params:
        params = {**params, "other": dialect_name(str(params["other"]))}
    return FieldError(".".join(dialect_name(step) for step in steps), field.reason, params)
