"""Everything that is wrong with a command, gathered before it is refused, so that a client can mend all of it at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

from libs.domain.errors import DomainError, FieldError, Kind, Param, invalid

KEY_MAX_CHARS: Final = 64
PRECEDENCE: Final = (Kind.INVALID, Kind.NOT_FOUND, Kind.UNPROCESSABLE, Kind.CONFLICT)

_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{KEY_MAX_CHARS}}}")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # a tab and a new line are text, NUL no database takes


class Faults:
    """Collects fields at fault by kind; ``refuse`` raises the first kind of PRECEDENCE that has any, with all its fields."""

    def __init__(self) -> None:
        self._found: list[tuple[Kind, FieldError]] = []

    def add(self, kind: Kind, path: str, reason: str, /, **params: Param) -> None:
        self._found.append((kind, FieldError(path, reason, params)))

    def invalid(self, path: str, reason: str, /, **params: Param) -> None:
        self.add(Kind.INVALID, path, reason, **params)

    def not_found(self, path: str, reason: str, /, **params: Param) -> None:
        self.add(Kind.NOT_FOUND, path, reason, **params)

    def unprocessable(self, path: str, reason: str, /, **params: Param) -> None:
        self.add(Kind.UNPROCESSABLE, path, reason, **params)

    def conflict(self, path: str, reason: str, /, **params: Param) -> None:
        self.add(Kind.CONFLICT, path, reason, **params)

    def refuse(self) -> None:
        """Raises DomainError if anything was found."""
        for kind in PRECEDENCE:
            fields = tuple(field for found, field in self._found if found is kind)
            if fields and kind is Kind.INVALID:
                raise invalid(*fields)
            if fields:
                raise DomainError(kind, fields[0].reason, fields[0].params, fields=fields)


def is_key(value: str) -> bool:
    """Whether this could be the key of anything: what is not, names nothing and is never looked up."""
    return _KEY.fullmatch(value) is not None


def known_as(value: str) -> str:
    """A client's id as an error may repeat it."""
    return value[:KEY_MAX_CHARS]


def check_count(values: Sequence[object], most: int, path: str, reason: str, faults: Faults) -> bool:
    """At least one and at most ``most``. Without this check nothing below may walk through them."""
    if 0 < len(values) <= most:
        return True
    if values:
        faults.invalid(path, reason, max=most)
    else:
        faults.invalid(path, "empty")
    return False


def check_int(value: int | None, least: int, most: int, path: str, faults: Faults) -> None:
    if value is not None and not least <= value <= most:
        faults.invalid(path, "out_of_range", min=least, max=most)


def check_text(value: str, most: int, path: str, faults: Faults) -> None:
    if len(value) > most:
        faults.invalid(path, "too_long", max=most)
    elif _UNPRINTABLE.search(value):
        faults.invalid(path, "unprintable")


def check_key(value: str | None, path: str, faults: Faults) -> None:
    if value is not None and not is_key(value):
        faults.invalid(path, "not_a_key")


def check_decimal(value: Decimal, places: int, least: Decimal, most: Decimal, path: str, faults: Faults) -> Decimal | None:
    """The number in plain notation, or None and a fault: not finite, out of bounds, or finer than ``places``."""
    if not value.is_finite() or not least <= value <= most:
        faults.invalid(path, "out_of_range", min=f"{least:f}", max=f"{most:f}")
        return None
    if not _has_places(value, places):
        faults.invalid(path, "too_many_places", max=places)
        return None
    return plain(value)


# A till sells the same few prices and quantities all day, and what follows from a number is always the same.
NUMBERS_KNOWN_MAX: Final = 4_096


@lru_cache(maxsize=NUMBERS_KNOWN_MAX)
def _has_places(value: Decimal, places: int) -> bool:
    return value.quantize(Decimal(1).scaleb(-places)) == value


@lru_cache(maxsize=NUMBERS_KNOWN_MAX)
def plain(value: Decimal) -> Decimal:
    """The same number with neither exponent nor trailing zeros: 1E+3 is 1000, 19.00 is 19, -0 is 0."""
    short = value.normalize() + 0
    return short if int(short.as_tuple().exponent) <= 0 else short.quantize(Decimal(1))
