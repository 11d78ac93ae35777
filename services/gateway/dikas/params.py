"""What a request says beside its body, declared on the route: handlers read what is declared here and nothing else, and the published
document is made of the same declarations."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from libs.contracts.pos.commands import DEFAULT_REGISTER
from services.gateway import limits

ID_PATTERN: Final = rf"^[A-Za-z0-9_-]{{1,{limits.ID_MAX_CHARS}}}$"


class Form(StrEnum):
    """How the text of a parameter is read."""

    ID = "id"
    WHOLE = "whole number"
    POSITION = "position in a log"
    DECIMAL = "decimal number"
    DAY = "day, or a moment on it"
    DATE = "day"
    MOMENT = "moment"
    FLAG = "flag"
    CHOICE = "choice"
    TEXT = "text"


class Place(StrEnum):
    QUERY = "query"
    HEADER = "header"


class Param(msgspec.Struct, frozen=True):
    """``what``: for integrators, in Markdown. ``low`` and ``high`` are inclusive; ``example`` may name a thing, as those of bodies do. One
    whose name stands in the path of its route is a part of the path."""

    name: str
    kind: Form
    what: str
    low: int | None = None
    high: int | None = None
    max_chars: int | None = None
    choices: tuple[str, ...] = ()
    default: Any = None
    required: bool = False
    example: Any = None
    place: Place = Place.QUERY


def schema_of(param: Param) -> dict[str, Any]:
    """What is taken, as JSON Schema."""
    schema = {**_SCHEMAS[param.kind]}
    bounds = {"minimum": param.low, "maximum": param.high, "maxLength": param.max_chars, "default": param.default}
    schema |= {name: value for name, value in bounds.items() if value is not None}
    if param.choices:
        schema["enum"] = list(param.choices)
    return schema


_SCHEMAS: Final[dict[Form, dict[str, Any]]] = {
    Form.ID: {"type": "string", "pattern": ID_PATTERN},
    Form.WHOLE: {"type": "integer"},
    Form.POSITION: {"type": "integer", "minimum": 0},
    Form.DECIMAL: {"type": "number"},
    Form.DAY: {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]},
    Form.DATE: {"type": "string", "format": "date"},
    Form.MOMENT: {"type": "string", "format": "date-time"},
    Form.FLAG: {"type": "boolean"},
    Form.CHOICE: {"type": "string"},
    Form.TEXT: {"type": "string"},
}

REGISTER: Final = Param(
    "Theke-Register",
    Form.ID,
    "The register at which this happens; each counts its receipts by itself.",
    default=DEFAULT_REGISTER,
    place=Place.HEADER,
)
IF_MATCH: Final = Param(
    "If-Match", Form.TEXT, "The `ETag` as it was read: nothing is done if somebody else changed it since.", place=Place.HEADER
)
IF_NONE_MATCH: Final = Param("If-None-Match", Form.TEXT, "An `ETag`: 304 without a body if it is still the same.", place=Place.HEADER)
