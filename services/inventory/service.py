"""Wiring of inventory: records, stock and prices, and how the ERP sees articles."""

from __future__ import annotations

from typing import Final

from libs.contracts.inventory import pricing, stock
from libs.contracts.inventory.events import RECORD_EVENTS
from libs.contracts.inventory.items import ITEM, ITEMS
from libs.contracts.inventory.records import PRICE_RULE
from libs.records.keyed import Keyed
from libs.runtime.erp import Forgetting, erp_parts
from libs.runtime.records import record_parts
from libs.runtime.resources import ResourceReads, shown_after
from libs.runtime.service import Host, Service
from services.inventory.items import Items
from services.inventory.records import ARTICLES, GROUPS, OPTION_TEMPLATES, PRICE_RULES, TAX_RATES

_parts = record_parts(GROUPS, OPTION_TEMPLATES, ARTICLES, PRICE_RULES, TAX_RATES)
_prices_at_the_till: Final = Keyed(PRICE_RULES, PRICE_RULE)
_erp = erp_parts(
    "inventory",
    {"stock": stock.RECORDS, "pricing": pricing.RECORDS},
    RECORD_EVENTS,
    others=(Keyed(ARTICLES, ITEM, {"article_key": _prices_at_the_till}), _prices_at_the_till),
)


async def _extend(host: Host) -> None:
    for command in ("item.create", "item.change"):
        host.dispatcher.wait_after(command, shown_after(ITEMS, host.tables))
    await Forgetting(host, _erp.family, also={"article.delete": "items", "item.delete": "items"}).start()


SERVICE = Service(
    "inventory",
    commands=(*_parts.commands, *_erp.commands, *Items(_erp.family).commands()),
    projections=(*_parts.projections, *_erp.projections),
    queries=(*_parts.queries, *_erp.queries, *ResourceReads(ITEMS).queries()),
    extend=_extend,
)
