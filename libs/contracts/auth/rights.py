"""Roles and the rights they give, as one table. Several roles add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from libs.contracts.inventory.records import ARTICLES
from libs.contracts.pos.permissions import (
    DAY_CLOSE,
    KITCHEN,
    ORDERS,
    OWN_VOIDS,
    PAYMENTS,
    REPORTS,
    SETTINGS,
    SHIFTS,
    TABLES,
    TRANSFER,
    VOIDS,
)

STAFF: Final = "auth.staff"

READ: Final = False
WRITE: Final = True

_HOUSE: Final = (ARTICLES, TABLES, ORDERS, KITCHEN, PAYMENTS, VOIDS, OWN_VOIDS, TRANSFER, SHIFTS, DAY_CLOSE, REPORTS, SETTINGS)
_FLOOR: Final = {ARTICLES: READ, TABLES: READ, ORDERS: WRITE, KITCHEN: WRITE, PAYMENTS: WRITE, TRANSFER: WRITE}
_DISPLAY: Final = {ARTICLES: READ, TABLES: READ, ORDERS: READ, KITCHEN: WRITE}

ROLES: Final[Mapping[str, Mapping[str, bool]]] = {
    "Admin": {STAFF: WRITE, **dict.fromkeys(_HOUSE, WRITE)},
    "Manager": {**dict.fromkeys(_HOUSE, WRITE), STAFF: READ},
    "Cashier": {**_FLOOR, OWN_VOIDS: WRITE, SHIFTS: WRITE},
    "Waiter": _FLOOR,
    "Kitchen": _DISPLAY,
    "Bar": _DISPLAY,
}


def permissions_of(roles: Iterable[str]) -> dict[str, bool]:
    """permission → may write."""
    held: dict[str, bool] = {}
    for role in roles:
        for permission, write in ROLES[role].items():
            held[permission] = held.get(permission, False) or write
    if held.get(VOIDS):
        held[OWN_VOIDS] = WRITE  # who may void anybody's receipts may void one's own
    return held
