"""Money, prices and quantities. Amounts that are owed, paid or taxed are integers of minor units; nothing here is a float.

``Price`` and ``Quantity`` are decimals as written (at most six places). They meet money in one place, ``times``, rounded half up
per line, so that the same line never rounds in two ways.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Final

import msgspec

MAX_PLACES: Final = 6
MAX_MINOR: Final = 10**13  # 100 billion euros: beyond any till, far below int64
MAX_DECIMAL: Final = Decimal(10) ** 9
PRODUCTS_KNOWN_MAX: Final = 4_096  # the same few prices and quantities come all day
_ONE = Decimal(1)

MINOR_DIGITS: Final = {"EUR": 2, "CHF": 2}


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies met; always a programming error."""


class Money(msgspec.Struct, frozen=True, order=True):
    """An amount: ``minor`` units (cents) of ``currency`` (ISO 4217)."""

    minor: int
    currency: str = "EUR"

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency}")

    def decimal(self) -> Decimal:
        """As people write it: 350 minor units of EUR are ``Decimal('3.50')``."""
        return Decimal(self.minor).scaleb(-MINOR_DIGITS[self.currency])


def round_half_up(value: Decimal) -> int:
    return int(value.quantize(_ONE, rounding=ROUND_HALF_UP))


@lru_cache(maxsize=PRODUCTS_KNOWN_MAX)
def times(price: Decimal, quantity: Decimal, currency: str = "EUR") -> Money:
    """Price × quantity, rounded half up (away from zero for negatives) to minor units."""
    return Money(round_half_up((price * quantity).scaleb(MINOR_DIGITS[currency])), currency)


def share(total: int, part: Decimal, whole: Decimal) -> int:
    """The ``part / whole`` of ``total`` minor units, half up. For successive parts take differences of cumulative shares:
    they add up to ``total`` by construction."""
    return round_half_up(Decimal(total) * part / whole)


def net_of(gross: int, rate_percent: Decimal) -> int:
    """Net minor units contained in ``gross`` at a tax rate in percent, half up; tax is gross minus net."""
    return round_half_up(Decimal(gross) * 100 / (100 + rate_percent))
