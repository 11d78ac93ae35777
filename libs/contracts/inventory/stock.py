"""Where things are, what moved, what they consist of and who supplies them."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import VISIBILITY, choice, flag, line, listed, moment, number, owner_group, ref, stamps, text, whole
from libs.domain.records import OnDelete, RecordType, Unique
from libs.domain.rules import Distinct, ExactlyOne, NotZero, OnlyWhen, PositiveWhenSet, When

STOCK_TRANSACTION_FLAG: Final = {0: "BOOKED", 1: "RESERVED", 2: "CANCELLED"}

COMPONENT: Final = RecordType(
    name="component", resource="components", service="inventory", table="components",
    read=("inventory",), write=("inventory",),
    parents=("item",),
    fields=(
        number("amount", "how many are in it", low=0, default=1),
        ref("component", "items", OnDelete.DELETE, required=True),
        *stamps(),
        flag("fixed", "the amount cannot be chosen"),
        ref("item", "items", OnDelete.DELETE, required=True),
        number("price", "per unit within the item", default=None),
    ),
    uniques=(Unique(fields=("item", "component")),),
    rules=(Distinct("component", "item"),),
)  # fmt: skip

DEVICE: Final = RecordType(
    name="device", resource="devices", service="inventory", table="devices",
    read=("inventory",), write=("inventory",),
    tags=True, extdata=True,
    fields=(
        line("chargenum", "number of the charge", search=True),
        ref("contract", "contracts"),
        *stamps(),
        text("description"),
        moment("expdate", "when it expires"),
        ref("item", "items", OnDelete.DELETE, required=True),
        owner_group(),
        line("serialnum", search=True),
        choice("visibility", VISIBILITY),
    ),
    uniques=(Unique(fields=("item", "serialnum", "chargenum"), blank=True),),
    rules=(ExactlyOne(("chargenum", "serialnum")),),
)  # fmt: skip

STOCK_TRANSACTION: Final = RecordType(
    name="stock_transaction", resource="stocktransactions", service="inventory", table="stocktransactions",
    read=("inventory",), write=("inventory",),
    parents=("item",), extdata=True,
    fields=(
        number("amount", required=True),
        line("chargenum", "number of the charge", search=True),
        *stamps(),
        moment("date", on_create=True),
        choice("flag", STOCK_TRANSACTION_FLAG),
        ref("item", "items", OnDelete.DELETE, required=True),
        line("location", "where in the storage"),
        number("purchaseprice"),
        line("reference", search=True),
        number("sellingprice"),
        listed("serials", str, search=True),
        ref("storage", "storages"),
        listed("subtransactions", int, "those of its parts"),
        ref("transaction", "transactions"),
        ref("transfer", "stocktransactions", doc="the one this is the other side of"),
    ),
    uniques=(Unique(fields=("transfer",)),),
    rules=(
        NotZero("amount"),
        PositiveWhenSet("amount", "transfer"),
        Distinct("transfer", "ID"),
        OnlyWhen("transfer", When("flag", (1,), otherwise=True)),
    ),
)  # fmt: skip

STORAGE: Final = RecordType(
    name="storage", resource="storages", service="inventory", table="storages",
    read=("inventory",), write=("inventory",),
    tags=True, extdata=True,
    fields=(
        *stamps(),
        text("description"),
        line("name", required=True, search=True),
        owner_group(),
        choice("visibility", VISIBILITY),
    ),
)  # fmt: skip

SUPPLIER: Final = RecordType(
    name="supplier", resource="suppliers", service="inventory", table="suppliers",
    read=("inventory", "accounts"), write=("inventory", "accounts"),
    parents=("account", "item"),
    fields=(
        ref("account", "accounts", OnDelete.DELETE, required=True),
        *stamps(),
        whole("deliverytime", "days", low=0, high=32767, default=None),
        ref("item", "items", OnDelete.DELETE, required=True),
        line("itemnum", "theirs", search=True),
        number("minamount", "of an order", low=0),
        number("price", low=0, default=None),
        number("stock", "what they are expected to have", default=None),
    ),
    uniques=(Unique(fields=("item", "account")),),
)  # fmt: skip

RECORDS: Final = (COMPONENT, DEVICE, STOCK_TRANSACTION, STORAGE, SUPPLIER)
