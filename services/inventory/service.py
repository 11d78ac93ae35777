"""Wiring of inventory: records, stock and prices, and how the ERP sees articles."""

from __future__ import annotations

from libs.contracts.inventory.items import ITEMS
from libs.contracts.inventory.stock_levels import STOCK_LEVELS
from libs.runtime.erp import Forgetting
from libs.runtime.records import record_parts
from libs.runtime.resources import ResourceReads, shown_after
from libs.runtime.service import Host, Service
from services.inventory import levels
from services.inventory.erp import ERP
from services.inventory.items import Items
from services.inventory.records import ARTICLES, GROUPS, OPTION_TEMPLATES, PRICE_RULES, TAX_RATES

_parts = record_parts(GROUPS, OPTION_TEMPLATES, ARTICLES, PRICE_RULES, TAX_RATES)


async def _extend(host: Host) -> None:
    for command in ("item.create", "item.change"):
        host.dispatcher.wait_after(command, shown_after(ITEMS, host.tables))
    await Forgetting(host, ERP.family, also={"article.delete": "items", "item.delete": "items"}).start()


SERVICE = Service(
    "inventory",
    commands=(*_parts.commands, *ERP.commands, *Items(ERP.family).commands()),
    projections=(*_parts.projections, *ERP.projections, levels.STOCK_LEVELS),
    queries=(*_parts.queries, *ERP.queries, *ResourceReads(ITEMS).queries(), *ResourceReads(STOCK_LEVELS).queries()),
    extend=_extend,
)
