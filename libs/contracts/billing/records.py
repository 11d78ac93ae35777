"""Quotes, orders, deliveries, invoices and credits; how they are paid, dunned, agreed upon and made cheaper."""

from __future__ import annotations

from typing import Final

from libs.contracts.line_items import LINES_MAX_BYTES, TAX_RATES, lines
from libs.domain.fields import (
    ACTIVITY,
    CALCULATION,
    COUNTRY,
    CURRENCY,
    OBJECT,
    VISIBILITY,
    choice,
    flag,
    json,
    line,
    moment,
    number,
    owner_group,
    ref,
    stamps,
    text,
    whole,
)
from libs.domain.records import OnDelete, RecordType, Unique
from libs.domain.rules import AtMostOne, ChoiceWhen, NotZero, OnlyWhen, Ordered, Positive, RequiredWhen, When

CONTRACT_STATUS: Final = {
    0: "DRAFT",
    1: "AWAITINGAPPROVAL",
    2: "APPROVED",
    3: "DISMISSED",
    4: "ACTIVE",
    5: "INACTIVE",
    6: "EXPIRED",
    7: "CANCELLED",
    8: "CLOSED",
}
COUPON_CODE_FLAG: Final = {0: "BOOKED", 1: "RESERVED", 2: "CANCELLED"}
COUPON_TYPE: Final = {0: "PROMOTION", 1: "INDIVIDUAL"}
DUNNING_NOTICE_STATUS: Final = {0: "DRAFT", 1: "BOOKED", 2: "CANCELLED", 3: "CLOSED"}
DUNNING_NOTICE_TYPE: Final = {0: "LISTING", 1: "REMINDER", 2: "NOTICE"}
LEDGER_PAYMENT_STATUS: Final = {0: "DRAFT", 1: "COMPLETED", 2: "CANCELLED", 3: "BOOKED"}
TRANSACTION_STATUS: Final = {
    0: "DRAFT",
    1: "BOOKED",
    2: "HOLD",
    3: "CANCELLED",
    4: "CLOSED",
    5: "PARTLYORDERED",
    6: "PARTLYORDERED_CANCELLED",
    7: "PARTLYORDERED_CLOSED",
    8: "ORDERED",
    9: "PARTLYDELIVERED",
    10: "PARTLYDELIVERED_CANCELLED",
    11: "PARTLYDELIVERED_CLOSED",
    12: "DELIVERED",
    13: "PARTLYINVOICED",
    14: "PARTLYINVOICED_CANCELLED",
    15: "PARTLYINVOICED_CLOSED",
    16: "INVOICED",
    17: "PARTLYPAID",
    18: "PARTLYPAID_CANCELLED",
    19: "PARTLYPAID_CLOSED",
    20: "PAID",
    21: "OVERPAID",
    22: "PROCESSED",
    23: "PROCESSED_CANCELLED",
}
TRANSACTION_TYPE: Final = {
    0: "BILLING_QUOTE",
    1: "BILLING_ORDER",
    2: "BILLING_DELIVERY",
    3: "BILLING_INVOICE",
    4: "BILLING_CREDIT",
    5: "PROCUREMENT_REQUEST",
    6: "PROCUREMENT_ORDER",
    7: "PROCUREMENT_DELIVERY",
    8: "PROCUREMENT_INVOICE",
    9: "PROCUREMENT_CREDIT",
    10: "PRODUCTION_FABRICATION",
    11: "PRODUCTION_DISASSEMBLY",
}
PRODUCTION: Final = (10, 11)
NO_PRODUCTION: Final = When("type", PRODUCTION, otherwise=True)
ALWAYS: Final = (0, 1, 2, 3, 4)  # draft, booked, on hold, cancelled, closed
# how far a transaction can have come, by its type
STATUSES: Final = (
    ChoiceWhen("status", (*ALWAYS, *range(5, 9)), When("type", (0, 5))),
    ChoiceWhen("status", (*ALWAYS, *range(9, 17)), When("type", (1, 6))),
    ChoiceWhen("status", (*ALWAYS, *range(13, 17)), When("type", (2, 7))),
    ChoiceWhen("status", (*ALWAYS, *range(17, 22)), When("type", (3, 4, 8, 9))),
    ChoiceWhen("status", (*ALWAYS, 22, 23), When("type", PRODUCTION)),
)
# nobody receives what is produced
ADDRESSED: Final = (
    "billingcity", "billingcountry", "billingpostalcode", "billingrecipient", "billingregion",
    "shippingcity", "shippingcountry", "shippingpostalcode", "shippingrecipient", "shippingregion", "taxid",
)  # fmt: skip


CONTRACT: Final = RecordType(
    name="contract", resource="contracts", service="billing", table="contracts",
    read=("contracts",), write=("contracts",),
    tags=True, extdata=True,
    fields=(
        ref("account", "accounts"),
        ref("assigneduser", "users"),
        json("autobilling", "how bills are made of it: type, book, assigneduser, tag", as_text=True, shape=OBJECT),
        whole("billingcycle", "months", low=1, high=32767, default=None),
        lines("billingitems"),
        choice("calculation", CALCULATION),
        line("contractnum", search=True),
        *stamps(),
        line("currency", "ISO 4217", required=True, pattern=CURRENCY),
        moment("datecancel"),
        moment("datefrom"),
        moment("dateto"),
        text("description"),
        number("exchangerate", "of its currency, in that of the house", low=0, default=1),
        moment("lastbilling"),
        line("name", required=True, search=True),
        owner_group(),
        lines("procurementitems"),
        choice("status", CONTRACT_STATUS),
        choice("visibility", VISIBILITY),
    ),
    rules=(
        Ordered("datefrom", "dateto"),
        Positive("exchangerate"),
        OnlyWhen("autobilling", When("billingcycle", (None,), otherwise=True)),
    ),
)  # fmt: skip

COUPON_CODE: Final = RecordType(
    name="coupon_code", resource="couponcodes", service="billing", table="couponcodes",
    read=("pricelists",), write=("pricelists",),
    parents=("coupon",), extdata=True,
    fields=(
        line("code", "what a customer shows", required=True, search=True),
        ref("coupon", "coupons", OnDelete.DELETE, required=True),
        *stamps(),
        moment("date", on_create=True),
        moment("datefrom"),
        moment("dateto"),
        choice("flag", COUPON_CODE_FLAG),
        ref("transaction", "transactions"),
        number("value", low=0),
    ),
    uniques=(Unique(fields=("code",), unless=When("flag", (2,)), shared="coupon"),),  # a promotion's code is none of these
    rules=(Ordered("datefrom", "dateto"),),
)  # fmt: skip

COUPON: Final = RecordType(
    name="coupon", resource="coupons", service="billing", table="coupons",
    read=("pricelists",), write=("pricelists",),
    tags=True, extdata=True,
    fields=(
        choice("activity", ACTIVITY),
        line("code", "what customers enter"),
        *stamps(),
        moment("datefrom"),
        moment("dateto"),
        text("description"),
        json("foreigntaxrates", "percent by country", shape=TAX_RATES),
        line("name", required=True, search=True),
        flag("neutral"),
        owner_group(),
        number("taxrate", "percent", low=0, high=100),
        choice("type", COUPON_TYPE, fixed=True),
        number("value", "unless its code says otherwise", low=0),
    ),
    uniques=(Unique(fields=("code",)),),
    rules=(
        OnlyWhen("code", When("type", (0,))),
        Ordered("datefrom", "dateto"),
        RequiredWhen("code", When("type", (0,))),
    ),
)  # fmt: skip

DUNNING_NOTICE: Final = RecordType(
    name="dunning_notice", resource="dunning", service="billing", table="dunning",
    read=("billing", "procurement", "collection"), write=("billing", "procurement", "collection"),
    tags=True, extdata=True,
    fields=(
        ref("account", "accounts"),
        text("address"),
        ref("assigneduser", "users"),
        line("city"),
        line("country", "ISO 3166-1, two letters", pattern=COUNTRY),
        *stamps(),
        moment("date", on_create=True),
        moment("duedate"),
        line("dunningnum", required=True, search=True),
        number("fee", "for the notice", low=0),
        owner_group(),
        line("postalcode"),
        line("recipient"),
        line("region"),
        choice("status", DUNNING_NOTICE_STATUS),
        choice("type", DUNNING_NOTICE_TYPE),
    ),
    uniques=(Unique(fields=("dunningnum", "type"), unless=When("status", (2,))),),
)  # fmt: skip

DUNNED_TRANSACTION: Final = RecordType(
    name="dunned_transaction", resource="dunning2transactions", service="billing", table="dunning2transactions",
    read=("billing", "procurement", "collection"), write=("billing", "procurement", "collection"),
    parents=("dunning", "transaction"), stamped=False,
    fields=(
        *stamps(),
        ref("dunning", "dunning", OnDelete.DELETE, required=True),
        ref("transaction", "transactions", OnDelete.DELETE, required=True),
    ),
    uniques=(Unique(fields=("dunning", "transaction")),),
)  # fmt: skip

LEDGER: Final = RecordType(
    name="ledger", resource="ledgers", service="billing", table="ledgers",
    read=("payments",), write=("payments",),
    tags=True, extdata=True,
    fields=(
        *stamps(),
        text("description"),
        line("name", required=True, search=True),
        owner_group(),
        choice("visibility", VISIBILITY),
    ),
)  # fmt: skip

LEDGER_PAYMENT: Final = RecordType(
    name="ledger_payment", resource="payments", service="billing", table="payments",
    read=("billing", "procurement", "payments"), write=("billing", "procurement", "payments"),
    tags=True, extdata=True,
    fields=(
        ref("account", "accounts"),
        number("amount", required=True),
        ref("assigneduser", "users"),
        flag("autoadvance", "goes on to the next transaction"),
        *stamps(),
        moment("date", on_create=True),
        text("description"),
        ref("ledger", "ledgers"),
        owner_group(),
        choice("status", LEDGER_PAYMENT_STATUS),
        line("subject", "as on the statement", search=True),
        ref("transaction", "transactions"),
    ),
    rules=(
        AtMostOne(("account", "transaction")),
        NotZero("amount"),
    ),
)  # fmt: skip

TRANSACTION: Final = RecordType(
    name="transaction", resource="transactions", service="billing", table="transactions",
    read=("billing", "procurement", "production"), write=("billing", "procurement", "production"),
    tags=True, extdata=True,
    fields=(
        ref("account", "accounts", doc="customer or supplier"),
        ref("assigneduser", "users"),
        text("billingaddress"),
        line("billingcity"),
        line("billingcountry", "ISO 3166-1, two letters", pattern=COUNTRY),
        line("billingpostalcode"),
        line("billingrecipient"),
        line("billingregion"),
        choice("calculation", CALCULATION),
        ref("contract", "contracts"),
        *stamps(),
        line("currency", "ISO 4217", required=True, pattern=CURRENCY),
        moment("date", on_create=True),
        number("discount", "total, an amount"),
        moment("duedate"),
        number("exchangerate", "of its currency, in that of the house", low=0, default=1),
        ref("item", "items", OnDelete.DELETE, "what is produced or taken apart"),
        lines("items", LINES_MAX_BYTES),
        number("margin", "total, an amount"),
        number("netamount"),
        owner_group(),
        whole("productionfactor", "how many", low=0, default=None),
        text("shippingaddress"),
        line("shippingcity"),
        line("shippingcountry", "ISO 3166-1, two letters", pattern=COUNTRY),
        line("shippingpostalcode"),
        line("shippingrecipient"),
        line("shippingregion"),
        choice("status", TRANSACTION_STATUS),
        number("tax"),
        line("taxid", "VAT or other tax number"),
        line("transactionnum", required=True, search=True),
        choice("type", TRANSACTION_TYPE, fixed=True),
        number("weight", "kilograms", low=0),
    ),
    uniques=(Unique(fields=("transactionnum", "type"), unless=When("status", (3,))),),
    rules=(
        OnlyWhen("account", NO_PRODUCTION),
        RequiredWhen("item", When("type", PRODUCTION)),
        OnlyWhen("item", When("type", PRODUCTION)),
        RequiredWhen("productionfactor", When("type", PRODUCTION)),
        OnlyWhen("productionfactor", When("type", PRODUCTION)),
        Positive("exchangerate"),
        Positive("productionfactor"),
        *(OnlyWhen(field, NO_PRODUCTION) for field in ADDRESSED),
        *STATUSES,
    ),
)  # fmt: skip

RECORDS: Final = (CONTRACT, COUPON_CODE, COUPON, DUNNING_NOTICE, DUNNED_TRANSACTION, LEDGER, LEDGER_PAYMENT, TRANSACTION)
