"""The rights the till knows, as roles grant them. Each may be held for reading or for writing."""

from __future__ import annotations

from typing import Final

ORDERS: Final = "pos.orders"
KITCHEN: Final = "pos.kitchen"  # how far it is with an item
PAYMENTS: Final = "pos.payments"
VOIDS: Final = "pos.voids"  # of anybody's receipts
OWN_VOIDS: Final = "pos.own_voids"  # of receipts one issued oneself
TABLES: Final = "pos.tables"
TRANSFER: Final = "pos.transfer"  # a table to another waiter
SHIFTS: Final = "pos.shifts"  # settling shifts
DAY_CLOSE: Final = "pos.day_close"
REPORTS: Final = "pos.reports"
SETTINGS: Final = "pos.settings"
