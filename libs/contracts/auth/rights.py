"""Roles and the rights they give, as one table. Several roles add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

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
DOWNSTREAM: Final = "auth.downstream"  # reading all that happens; for writing, whom it is sent to
OPERATE: Final = "operate"  # nobody holds it: only who runs the installation

READ: Final = False
WRITE: Final = True

_HOUSE: Final = (ARTICLES, TABLES, ORDERS, KITCHEN, PAYMENTS, VOIDS, OWN_VOIDS, TRANSFER, SHIFTS, DAY_CLOSE, REPORTS, SETTINGS)
_FLOOR: Final = {ARTICLES: READ, TABLES: READ, ORDERS: WRITE, KITCHEN: WRITE, PAYMENTS: WRITE, TRANSFER: WRITE}
_DISPLAY: Final = {ARTICLES: READ, TABLES: READ, ORDERS: READ, KITCHEN: WRITE}

ROLES: Final[Mapping[str, Mapping[str, bool]]] = {
    "Admin": {STAFF: WRITE, DOWNSTREAM: WRITE, **dict.fromkeys(_HOUSE, WRITE)},
    "Manager": {**dict.fromkeys(_HOUSE, WRITE), STAFF: READ},
    "Cashier": {**_FLOOR, OWN_VOIDS: WRITE, SHIFTS: WRITE},
    "Waiter": _FLOOR,
    "Kitchen": _DISPLAY,
    "Bar": _DISPLAY,
}


CashPointRight = Literal[
    "takeOrders", "checkOut", "transferTable", "closeShift", "dayClose", "voidOwn", "voidAll", "reports",
    "manageArticles", "manageTables", "settings", "denyLogin",
]  # fmt: skip
DENY_LOGIN: Final = "denyLogin"

# what an employee may be given besides the roles: name in the API → permissions, all of them for writing
CASH_POINT_RIGHTS: Final[Mapping[str, tuple[str, ...]]] = {
    "takeOrders": (ORDERS,),
    "checkOut": (PAYMENTS,),
    "transferTable": (TRANSFER,),
    "closeShift": (SHIFTS,),
    "dayClose": (DAY_CLOSE,),
    "voidOwn": (OWN_VOIDS,),
    "voidAll": (OWN_VOIDS, VOIDS),
    "reports": (REPORTS,),
    "manageArticles": (ARTICLES,),
    "manageTables": (TABLES,),
    "settings": (SETTINGS,),
    DENY_LOGIN: (),  # gives nothing and takes the login
}


def permissions_of(roles: Iterable[str], rights: Iterable[str] = ()) -> dict[str, bool]:
    """permission → may write: everything that any of the roles or of the ``CASH_POINT_RIGHTS`` gives. Whoever has a right may also read
    what every display shows: without tables and articles on the screen there is nothing to use it on."""
    held: dict[str, bool] = {}
    for role in roles:
        for permission, write in ROLES[role].items():
            held[permission] = held.get(permission, False) or write
    for right in rights:
        given = CASH_POINT_RIGHTS[right]
        held |= dict.fromkeys(given, WRITE)
        if given:
            held = {**_DISPLAY, **held}
    if held.get(VOIDS):
        held[OWN_VOIDS] = WRITE  # who may void anybody's receipts may void one's own
    return held


def rights_of(permissions: Mapping[str, bool], own: Iterable[str] = ()) -> tuple[str, ...]:
    """The cash point rights that permissions amount to, in the table's order; ``own``: those given by name."""
    named = set(own)
    return tuple(
        right
        for right, needs in CASH_POINT_RIGHTS.items()
        if right in named or (needs and all(permissions.get(permission) for permission in needs))
    )
