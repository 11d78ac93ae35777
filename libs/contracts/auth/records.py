"""The records of auth."""

from __future__ import annotations

from typing import Final, Literal

from libs.contracts.auth.rights import OPERATE, STAFF, CashPointRight
from libs.domain.records import Field, FieldType, RecordType

Role = Literal["Admin", "Manager", "Cashier", "Waiter", "Kitchen", "Bar"]

USER: Final = RecordType(
    name="user",
    service="auth",
    table="users",
    prefix="usr",
    permission=STAFF,
    fields=(
        Field(name="username", type=FieldType.TEXT, required=True, max_chars=100, unique=True, searchable=True, doc="case does not matter"),
        Field(name="first_name", type=FieldType.TEXT, max_chars=100, searchable=True),
        Field(name="last_name", type=FieldType.TEXT, max_chars=100, searchable=True),
        Field(name="short_name", type=FieldType.TEXT, max_chars=30, searchable=True, doc="as printed on receipts"),
        Field(name="email", type=FieldType.TEXT, max_chars=200),
        Field(name="roles", type=FieldType.LIST, item=Role, default=()),
        Field(name="is_active", type=FieldType.BOOLEAN, default=True),
        Field(name="rights", type=FieldType.LIST, item=CashPointRight, default=(), doc="beside those of the roles"),
        Field(name="staff_number", type=FieldType.INTEGER, low=1, unique=True, doc="given out from 1000 on unless it is chosen"),
        Field(name="phone", type=FieldType.TEXT, max_chars=50),
        Field(name="mobile", type=FieldType.TEXT, max_chars=50),
        Field(name="street", type=FieldType.TEXT, max_chars=200, doc="with the house number"),
        Field(name="postal_code", type=FieldType.TEXT, max_chars=20),
        Field(name="city", type=FieldType.TEXT, max_chars=100),
        Field(name="country", type=FieldType.TEXT, max_chars=100),
        Field(name="gender", type=FieldType.TEXT, max_chars=20),
        Field(name="birth_date", type=FieldType.DATE),
        Field(name="birth_place", type=FieldType.TEXT, max_chars=100),
        Field(name="start_date", type=FieldType.DATE),
        Field(name="end_date", type=FieldType.DATE, doc="the last day on which a login is possible"),
        Field(name="nopublic", type=FieldType.BOOLEAN, default=False, doc="rows of the ERP without an owner are hidden"),
        Field(name="apionly", type=FieldType.BOOLEAN, default=False, doc="only for programs: no login at a till"),
        Field(name="contact", type=FieldType.ID, low=1, doc="the row of the ERP's contacts that tells more about this person"),
    ),
    revision=3,
    version=3,
)

ACTIVE: Final = 0
DEACTIVATED: Final = 1

APPLICATION: Final = RecordType(
    name="application",
    service="auth",
    table="applications",
    prefix="app",
    permission=OPERATE,
    fields=(
        Field(name="name", type=FieldType.TEXT, required=True, searchable=True),
        Field(
            name="identifier",
            type=FieldType.TEXT,
            required=True,
            max_chars=200,
            unique=True,
            searchable=True,
            doc="what OAuth2 calls the client's id",
        ),
        Field(name="vendor", type=FieldType.TEXT),
        Field(name="release", type=FieldType.INTEGER, low=10_000, default=10_000, doc="`version` of the ERP: 1.00-00 is 10000"),
        Field(name="activity", type=FieldType.INTEGER, choices=(0, 1, 2), default=ACTIVE, doc="active, deactivated, deleted"),
        Field(name="callbackurls", type=FieldType.LIST, item=str, default=(), max_items=20, doc="where OAuth2 may send a browser back to"),
    ),
    most=1_000,
    revision=2,
)
