"""Inventory's records, as the engine runs them."""

from __future__ import annotations

from typing import Final

from libs.contracts.inventory.events import ARTICLE_EVENTS, ARTICLE_GROUP_EVENTS, TAX_RATE_EVENTS
from libs.contracts.inventory.records import ARTICLE, ARTICLE_GROUP, TAX_RATE
from libs.records.engine import Records

GROUPS: Final = Records(ARTICLE_GROUP, ARTICLE_GROUP_EVENTS)
ARTICLES: Final = Records(ARTICLE, ARTICLE_EVENTS, siblings=(GROUPS,))
TAX_RATES: Final = Records(TAX_RATE, TAX_RATE_EVENTS)
