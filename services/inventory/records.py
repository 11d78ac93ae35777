"""Inventory's records, as the engine runs them."""

from __future__ import annotations

from typing import Final

from libs.contracts.inventory.events import (
    ARTICLE_EVENTS,
    ARTICLE_GROUP_EVENTS,
    OPTION_TEMPLATE_EVENTS,
    PRICE_RULE_EVENTS,
    TAX_RATE_EVENTS,
)
from libs.contracts.inventory.records import ARTICLE, ARTICLE_GROUP, OPTION_TEMPLATE, PRICE_RULE, TAX_RATE
from libs.records.engine import Records
from services.inventory.checks import check_option_template, check_price_rule

GROUPS: Final = Records(ARTICLE_GROUP, ARTICLE_GROUP_EVENTS)
OPTION_TEMPLATES: Final = Records(OPTION_TEMPLATE, OPTION_TEMPLATE_EVENTS, check=check_option_template)
ARTICLES: Final = Records(ARTICLE, ARTICLE_EVENTS, siblings=(GROUPS, OPTION_TEMPLATES))
PRICE_RULES: Final = Records(PRICE_RULE, PRICE_RULE_EVENTS, siblings=(ARTICLES, GROUPS), check=check_price_rule)
TAX_RATES: Final = Records(TAX_RATE, TAX_RATE_EVENTS)
