"""What other services may read of pos's query tables: table → columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "table_groups": ("key",),
    "tables": ("key", "number", "name", "is_active", "needs_cleaning"),
    "receipts": ("key", "register", "number", "business_day", "date", "gross", "table_key", "customer", "staff", "voids", "void_receipt"),
}
