"""What other services may read of inventory's query tables: table → columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.contracts.inventory import pricing, stock
from libs.contracts.inventory.records import OF_THE_ERP

TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "articles": (
        *("key", "name", "price", "tax_class", "group_key", "is_active", "options", "course", "option_template_keys"),
        # what items are made of
        *("id", "version", "created_at", "changed_at", "creator", "extdata", "tags", "search_text"),
        *("barcode", "description", "manufacturer", "plu", "purchase_price", "unit", "weight"),
        *("barcode_order", "manufacturer_order", "name_order", "plu_order"),
        *(field.name for field in OF_THE_ERP),
    ),
    "article_groups": ("key", "name", "number", "parent_key"),
    "option_templates": ("key", "name", "is_mandatory", "min_choices", "max_choices", "options", "is_active"),
    "price_rules": (
        "key",
        "id",
        "article_key",
        "group_key",
        "area_key",
        "weekdays",
        "time_from",
        "time_to",
        "starts_on",
        "ends_on",
        "change_amount",
        "change_percent",
        "is_active",
    ),
    "tax_rates": ("key", "tax_class", "rate", "valid_from"),
}
RECORD_TABLES: Final[Mapping[str, tuple[str, ...]]] = {record.table: record.columns for record in (*stock.RECORDS, *pricing.RECORDS)}
