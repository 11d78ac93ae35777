"""What other services may read of inventory's query tables: table → columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "articles": ("key", "name", "price", "tax_class", "group_key", "is_active", "options", "course"),
    "article_groups": ("key", "name", "number", "parent_key"),
    "tax_rates": ("key", "tax_class", "rate", "valid_from"),
}
