"""Every resource of the ERP, by name: records as they are declared, and what the till has under another name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.contracts.auth.applications import APPLICATIONS
from libs.contracts.auth.users import USERS
from libs.contracts.billing.settlement import SETTLEMENTS
from libs.contracts.erp import RECORDS
from libs.contracts.inventory.items import ITEMS
from libs.contracts.inventory.stock_levels import STOCK_LEVELS
from libs.domain.resources import Resource, resource_of

RESOURCES: Final[Mapping[str, Resource]] = {
    **{resource.name: resource for resource in (APPLICATIONS, ITEMS, USERS, SETTLEMENTS, STOCK_LEVELS)},
    **{name: resource_of(record) for name, record in RECORDS.items()},
}
