"""The operations of the ERP's API, resource by resource, and which of them this gateway answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

KINDS: Final[Mapping[str, str]] = {
    "list": "POST",
    "create": "PUT",
    "get": "GET",
    "exists": "HEAD",
    "update": "PATCH",
    "delete": "DELETE",
}
READ: Final = ("list", "get", "exists")
WRITTEN: Final = (
    "accounts", "actionsteps", "addresses", "appointments", "associations", "campaigns", "categories", "channels", "comments", "components",
    "contacts", "contacts2contacts", "contracts", "couponcodes", "coupons", "davservers", "devices", "dunning", "dunning2transactions",
    "entities2channels", "events", "feedservers", "files", "follows", "invitations", "items", "ledgers", "likes", "mailinglists",
    "mailservers", "messagereads", "messages", "notes", "objects", "opportunities", "participants", "payments", "pricelists",
    "pricelists2accounts", "prices", "projects", "records", "stocktransactions", "storages", "suppliers", "tasks", "tickets",
    "transactions",
)  # fmt: skip
ONLY_READ: Final = ("applications", "binfiles", "groups", "groups2users", "permissions", "resources", "services", "users", "weblets")
OPERATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(WRITTEN, tuple(KINDS)),
    **dict.fromkeys(ONLY_READ, READ),
    "links": ("list",),
    "config": ("get",),
    "settings": ("get",),
}
OURS: Final[Mapping[str, tuple[str, ...]]] = {"settlements": READ, "stocklevels": READ}  # what Theke shows beyond that API
