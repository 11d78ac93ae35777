"""The modules of the ERP that permissions are about, and what roles and rights of the till amount to there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.contracts.inventory.records import ARTICLES

# what a permission of a group may name
MODULES: Final = (
    "accounts", "actionsteps", "admin", "billing", "calendar", "campaigns", "collection", "contacts", "contracts", "coupons", "dev",
    "devices", "documents", "inventory", "links", "mailinglists", "messages", "notes", "objects", "opportunities", "payments",
    "pricelists", "procurement", "production", "projects", "tasks", "tickets",
)  # fmt: skip

READ, WRITE = False, True
ADMIN: Final = "Admin"  # may do everything and sees every row
ROLE_MODULES: Final[Mapping[str, Mapping[str, bool]]] = {
    "Manager": {
        **dict.fromkeys(("accounts", "calendar", "contacts", "inventory", "notes", "pricelists", "tasks"), WRITE),
        **dict.fromkeys(("billing", "payments"), READ),
    },
}
# what a right at the till amounts to, for reading or writing as it is held there: articles are the ERP's items
RIGHT_MODULES: Final[Mapping[str, str]] = {ARTICLES: "inventory"}
