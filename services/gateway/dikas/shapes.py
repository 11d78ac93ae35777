"""How this dialect writes values: times to the second, amounts as decimal euros, quantities without needless zeros."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec

from libs.domain.errors import FieldError, invalid
from libs.domain.money import MAX_MINOR, MINOR_DIGITS, Money

AMOUNTS_KNOWN_MAX: Final = 16_384  # a receipt shows some twenty of them, most of them again and again
_CENT: Final = Decimal("0.01")
_ONE: Final = Decimal(1)
_MOST: Final = Money(MAX_MINOR).decimal()


def moment(at: datetime) -> str:
    """2026-11-22T05:47:39Z: what JSON says of it, cut at the second."""
    return f"{msgspec.json.encode(at.astimezone(UTC))[1:20].decode()}Z"


def maybe_moment(at: datetime | None) -> str | None:
    return None if at is None else moment(at)


@lru_cache(maxsize=AMOUNTS_KNOWN_MAX)
def amount(minor: int, currency: str = "EUR") -> Decimal:
    """350 → 3.50"""
    return Money(minor, currency).decimal()


def price(value: Decimal) -> Decimal:
    """A unit price with at least two decimals: 3.5 → 3.50, 0.0825 stays."""
    cents = value.quantize(_CENT)
    return cents if cents == value else value.normalize()


def quantity(value: Decimal) -> Decimal:
    """2.000 → 2"""
    return value.quantize(_ONE) if value == value.to_integral_value() else value.normalize()


def minor(value: Decimal | None, path: str, faults: list[FieldError]) -> int | None:
    """Decimal euros as cents; what has more places than the currency or is beyond any till is noted as a fault. Bounds come first:
    a number like 1e999999 must never be written out."""
    if value is None:
        return None
    if not value.is_finite() or not -_MOST <= value <= _MOST:
        faults.append(FieldError(path, "out_of_range", {"min": 0, "max": MAX_MINOR}))
        return None
    cents = value.quantize(_CENT)
    if cents != value:
        faults.append(FieldError(path, "too_many_places", {"max": MINOR_DIGITS["EUR"]}))
        return None
    return int(cents.scaleb(MINOR_DIGITS["EUR"]))


def refuse(faults: list[FieldError]) -> None:
    if faults:
        raise invalid(*faults)
