"""What every instance begins with. Shipped as data and written by ordinary commands, so that it can be changed like anything else."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final

BEGINNING: Final = date(2020, 1, 1)

TAX_RATES: Final = (
    {"tax_class": 0, "name": "19 % USt", "rate": Decimal(19), "valid_from": BEGINNING},
    {"tax_class": 1, "name": "7 % USt", "rate": Decimal(7), "valid_from": BEGINNING},
    {"tax_class": 2, "name": "0 % USt", "rate": Decimal(0), "valid_from": BEGINNING},
    {"tax_class": 99, "name": "Wertgutschein", "rate": Decimal(0), "valid_from": BEGINNING},
)
