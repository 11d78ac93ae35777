"""What other services may read of auth's query tables: table → columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.contracts.auth import access

TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "users": (
        "key",
        "id",
        "username",
        "first_name",
        "last_name",
        "short_name",
        "is_active",
        "email",
        "end_date",
        "contact",
        "nopublic",
        "apionly",
        "created_at",
        "changed_at",
        "creator",
        "roles",
        "search_text",
    ),
    "logins": ("key", "at"),
    "applications": (
        *("key", "id", "version", "created_at", "changed_at", "creator"),
        *("name", "identifier", "vendor", "release", "activity", "search_text"),
    ),
}
RECORD_TABLES: Final[Mapping[str, tuple[str, ...]]] = {record.table: record.columns for record in access.RECORDS}
