"""Customers, suppliers and the people one deals with."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import (
    COUNTRY,
    CURRENCY,
    URL_MAX_CHARS,
    VISIBILITY,
    choice,
    flag,
    line,
    moment,
    owner_group,
    owner_user,
    ref,
    stamps,
    text,
)
from libs.domain.records import OnDelete, RecordType, Unique
from libs.domain.rules import ONE_OWNER, AtLeastOne, Distinct, OnlyWhen, When

ACCOUNT_TYPE: Final = {0: "PROSPECT", 1: "CUSTOMER", 2: "SUPPLIER", 3: "CUSTOMERANDSUPPLIER", 4: "COMPETITOR", 5: "EMPLOYEE"}
ADDRESS_TYPE: Final = {0: "BILLING_SHIPPING", 1: "BILLING_BILLING", 2: "PROCUREMENT_SHIPPING", 3: "PROCUREMENT_BILLING", 4: "COLLECTION"}
CONTACT_TYPE: Final = {0: "COMPANY", 1: "PERSON"}

ACCOUNT: Final = RecordType(
    name="account", resource="accounts", service="crm", table="accounts",
    read=("accounts",), write=("accounts",),
    tags=True, extdata=True,
    fields=(
        ref("assigneduser", "users"),
        ref("contact", "contacts", doc="whose address and numbers are the usual ones"),
        *stamps(),
        line("currency", "ISO 4217", required=True, pattern=CURRENCY),
        line("customernum", "of who buys, or may some day", search=True),
        text("description"),
        flag("excludetax", "no tax is charged"),
        line("firstname", search=True),
        line("lastname", "of a company its name", search=True),
        flag("locked", "nothing more is booked for it"),
        owner_group(),
        line("suppliernum", "of who sells to us", search=True),
        line("taxid", "VAT or other tax number"),
        choice("type", ACCOUNT_TYPE),
        choice("visibility", VISIBILITY),
    ),
    rules=(
        OnlyWhen("customernum", When("type", (0, 1, 3, 5))),
        AtLeastOne(("firstname", "lastname")),
        OnlyWhen("suppliernum", When("type", (2, 3))),
    ),
)  # fmt: skip

ADDRESS: Final = RecordType(
    name="address", resource="addresses", service="crm", table="addresses",
    read=("accounts",), write=("accounts",),
    parents=("account",),
    fields=(
        ref("account", "accounts", OnDelete.DELETE, required=True),
        ref("contact", "contacts", OnDelete.DELETE, required=True),
        *stamps(),
        flag("default", "the usual one of its type"),
        choice("type", ADDRESS_TYPE),
    ),
    uniques=(Unique(fields=("account", "contact", "type")),),
)  # fmt: skip

CONTACT: Final = RecordType(
    name="contact", resource="contacts", service="crm", table="contacts",
    read=("contacts",), write=("contacts",),
    tags=True, extdata=True,
    fields=(
        text("address"),
        ref("assigneduser", "users"),
        moment("birthdate"),
        line("cell"),
        line("city"),
        line("company", "where the person works", search=True),
        line("country", "ISO 3166-1, two letters", pattern=COUNTRY),
        *stamps(),
        ref("davserver", "davservers", doc="where it is synchronised with"),
        line("department"),
        text("description"),
        line("email", search=True),
        line("email2", search=True),
        line("fax"),
        line("firstname", search=True),
        line("lastname", "of a company its name", search=True),
        owner_group(),
        owner_user(),
        line("phone"),
        line("phone2"),
        line("position"),
        line("postalcode"),
        line("region"),
        line("title", "title or salutation"),
        choice("type", CONTACT_TYPE),
        choice("visibility", VISIBILITY),
        line("website", max_chars=URL_MAX_CHARS),
    ),
    rules=(
        OnlyWhen("birthdate", When("type", (1,))),
        OnlyWhen("company", When("type", (1,))),
        OnlyWhen("department", When("type", (1,))),
        AtLeastOne(("firstname", "lastname")),
        OnlyWhen("position", When("type", (1,))),
        OnlyWhen("title", When("type", (1,))),
        ONE_OWNER,
    ),
)  # fmt: skip

CONTACT_LINK: Final = RecordType(
    name="contact_link", resource="contacts2contacts", service="crm", table="contacts2contacts",
    read=("contacts",), write=("contacts",),
    parents=("contact1", "contact2"), stamped=False,
    fields=(
        ref("contact1", "contacts", OnDelete.DELETE, required=True),
        ref("contact2", "contacts", OnDelete.DELETE, required=True),
        *stamps(),
    ),
    uniques=(Unique(fields=("contact1", "contact2"), unordered=True),),
    rules=(Distinct("contact1", "contact2"),),
)  # fmt: skip

RECORDS: Final = (ACCOUNT, ADDRESS, CONTACT, CONTACT_LINK)
