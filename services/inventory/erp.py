"""Inventory's records of the ERP, as the engine runs them, and what follows from what."""

from __future__ import annotations

from typing import Final

from libs.contracts.inventory import pricing, stock
from libs.contracts.inventory.events import RECORD_EVENTS
from libs.contracts.inventory.items import ITEM
from libs.contracts.inventory.records import PRICE_RULE
from libs.records.keyed import Keyed
from libs.runtime.erp import erp_parts
from services.inventory.records import ARTICLES, PRICE_RULES
from services.inventory.stock import Stocking

_prices_at_the_till: Final = Keyed(PRICE_RULES, PRICE_RULE)
ERP: Final = erp_parts(
    "inventory",
    {"stock": stock.RECORDS, "pricing": pricing.RECORDS},
    RECORD_EVENTS,
    others=(Keyed(ARTICLES, ITEM, {"article_key": _prices_at_the_till}), _prices_at_the_till),
    effects=(Stocking(),),
)
