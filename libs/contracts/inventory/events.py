"""Events of inventory's records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.contracts.inventory import pricing, stock
from libs.contracts.inventory.records import ARTICLE, ARTICLE_GROUP, OPTION_TEMPLATE, PRICE_RULE, TAX_RATE
from libs.domain.records import RecordEvents, record_events

ARTICLE_GROUP_EVENTS: Final = record_events(ARTICLE_GROUP, __name__)
ARTICLE_EVENTS: Final = record_events(ARTICLE, __name__)
TAX_RATE_EVENTS: Final = record_events(TAX_RATE, __name__)
OPTION_TEMPLATE_EVENTS: Final = record_events(OPTION_TEMPLATE, __name__)
PRICE_RULE_EVENTS: Final = record_events(PRICE_RULE, __name__)
RECORD_EVENTS: Final[Mapping[str, RecordEvents]] = {
    record.name: record_events(record, __name__) for record in (*stock.RECORDS, *pricing.RECORDS)
}
