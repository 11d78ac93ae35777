"""Wiring of inventory: records, stock and prices, and how the ERP sees articles."""

from __future__ import annotations

from libs.contracts.inventory import pricing, stock
from libs.contracts.inventory.events import RECORD_EVENTS
from libs.runtime.erp import Forgetting, erp_parts
from libs.runtime.records import record_parts
from libs.runtime.service import Host, Service
from services.inventory.queries import QUERIES
from services.inventory.records import ARTICLES, GROUPS, OPTION_TEMPLATES, PRICE_RULES, TAX_RATES

_parts = record_parts(GROUPS, OPTION_TEMPLATES, ARTICLES, PRICE_RULES, TAX_RATES)
_erp = erp_parts("inventory", {"stock": stock.RECORDS, "pricing": pricing.RECORDS}, RECORD_EVENTS)


async def _extend(host: Host) -> None:
    await Forgetting(host, _erp.family, also={"article.delete": "items"}).start()


SERVICE = Service(
    "inventory",
    commands=(*_parts.commands, *_erp.commands),
    projections=(*_parts.projections, *_erp.projections),
    queries=(*_parts.queries, *_erp.queries, *QUERIES),
    extend=_extend,
)
