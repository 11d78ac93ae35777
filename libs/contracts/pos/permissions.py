"""The rights the till knows, as roles grant them. Each may be held for reading or for writing."""

from __future__ import annotations

from typing import Final

ORDERS: Final = "pos.orders"
PAYMENTS: Final = "pos.payments"
VOIDS: Final = "pos.voids"
TABLES: Final = "pos.tables"
