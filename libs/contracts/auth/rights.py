"""Roles and the rights they give, as one table. Several roles add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from libs.contracts.inventory.records import ARTICLES
from libs.contracts.pos.permissions import ORDERS, PAYMENTS, TABLES, VOIDS

STAFF: Final = "auth.staff"

READ: Final = False
WRITE: Final = True

ROLES: Final[Mapping[str, Mapping[str, bool]]] = {
    "Admin": {STAFF: WRITE, ARTICLES: WRITE, TABLES: WRITE, ORDERS: WRITE, PAYMENTS: WRITE, VOIDS: WRITE},
    "Manager": {STAFF: READ, ARTICLES: WRITE, TABLES: WRITE, ORDERS: WRITE, PAYMENTS: WRITE, VOIDS: WRITE},
    "Cashier": {ARTICLES: READ, TABLES: READ, ORDERS: WRITE, PAYMENTS: WRITE},
    "Waiter": {ARTICLES: READ, TABLES: READ, ORDERS: WRITE, PAYMENTS: WRITE},
    "Kitchen": {ARTICLES: READ, TABLES: READ, ORDERS: READ},
    "Bar": {ARTICLES: READ, TABLES: READ, ORDERS: READ},
}


def permissions_of(roles: Iterable[str]) -> dict[str, bool]:
    """permission → may write."""
    held: dict[str, bool] = {}
    for role in roles:
        for permission, write in ROLES[role].items():
            held[permission] = held.get(permission, False) or write
    return held
