"""Price lists, the prices on them and the accounts they are for."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import ACTIVITY, CURRENCY, choice, flag, line, moment, number, owner_group, ref, stamps, text
from libs.domain.records import OnDelete, RecordType, Unique
from libs.domain.rules import Ordered

PRICE_LIST_TYPE: Final = {0: "BILLING_MIN", 1: "BILLING_MAX", 2: "PROCUREMENT_MIN", 3: "PROCUREMENT_MAX"}

PRICE_LIST: Final = RecordType(
    name="price_list", resource="pricelists", service="inventory", table="pricelists",
    read=("pricelists",), write=("pricelists",),
    tags=True, extdata=True,
    fields=(
        choice("activity", ACTIVITY),
        flag("applytoall", "of every account, named or not"),
        *stamps(),
        line("currency", "ISO 4217", required=True, pattern=CURRENCY),
        moment("datefrom"),
        moment("dateto"),
        text("description"),
        number("discount", "percent, of prices that say none", low=-100, high=100),
        line("name", required=True, search=True),
        owner_group(),
        choice("type", PRICE_LIST_TYPE),
    ),
    rules=(Ordered("datefrom", "dateto"),),
)  # fmt: skip

PRICE_LIST_ACCOUNT: Final = RecordType(
    name="price_list_account", resource="pricelists2accounts", service="inventory", table="pricelists2accounts",
    read=("pricelists", "accounts"), write=("pricelists", "accounts"),
    parents=("account", "pricelist"), stamped=False,
    fields=(
        ref("account", "accounts", OnDelete.DELETE, required=True),
        *stamps(),
        ref("pricelist", "pricelists", OnDelete.DELETE, required=True),
    ),
    uniques=(Unique(fields=("pricelist", "account")),),
)  # fmt: skip

PRICE: Final = RecordType(
    name="price", resource="prices", service="inventory", table="prices",
    read=("inventory", "pricelists"), write=("inventory", "pricelists"),
    parents=("item", "pricelist"),
    fields=(
        *stamps(),
        number("discount", "percent, after the rebate; null: that of the list", low=-100, high=100, default=None),
        ref("item", "items", OnDelete.DELETE, required=True),
        number("minamount", "from this quantity on", low=0),
        number("price", "null: that of the item", low=0, default=None),
        ref("pricelist", "pricelists", OnDelete.DELETE, required=True),
        number("rebate", "an amount per unit, before the discount", low=0),
    ),
)  # fmt: skip

RECORDS: Final = (PRICE_LIST, PRICE_LIST_ACCOUNT, PRICE)
