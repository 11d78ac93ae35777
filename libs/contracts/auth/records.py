"""The records of auth."""

from __future__ import annotations

from typing import Final, Literal

from libs.contracts.auth.rights import STAFF
from libs.domain.records import Field, FieldType, RecordType

Role = Literal["Admin", "Manager", "Cashier", "Waiter", "Kitchen", "Bar"]

USER: Final = RecordType(
    name="user",
    service="auth",
    table="users",
    prefix="usr",
    permission=STAFF,
    fields=(
        Field(name="username", type=FieldType.TEXT, required=True, max_chars=100, unique=True, doc="case does not matter"),
        Field(name="first_name", type=FieldType.TEXT, max_chars=100),
        Field(name="last_name", type=FieldType.TEXT, max_chars=100),
        Field(name="short_name", type=FieldType.TEXT, max_chars=30, doc="as printed on receipts"),
        Field(name="email", type=FieldType.TEXT, max_chars=200),
        Field(name="roles", type=FieldType.LIST, item=Role, default=()),
        Field(name="is_active", type=FieldType.BOOLEAN, default=True),
    ),
)
