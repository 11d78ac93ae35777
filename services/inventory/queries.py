"""What can be asked of inventory beside its records."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from libs.contracts.inventory.items import ITEMS, TODAY
from libs.contracts.inventory.records import ARTICLES
from libs.projections.tables import Statement
from libs.runtime.resources import ResourceReads
from libs.runtime.service import Ask, Query

CLASS_OF_RATE: Final = Statement(
    "select c.tax_class from (select distinct on (r.tax_class) r.tax_class, r.rate from {inventory.tax_rates} r "
    f"where r.instance = $1 and r.valid_from <= {TODAY} order by r.tax_class, r.valid_from desc) c "
    "where c.rate = $2 order by c.tax_class limit 1"
)


class OfRate(msgspec.Struct, frozen=True):
    """``rate`` in percent."""

    rate: Decimal


async def class_of_rate(ask: Ask) -> int | None:
    """The first tax class that has this rate today, None if none has."""
    row = await ask.tables.fetch_one(CLASS_OF_RATE, ask.instance, ask.body.rate)
    return row and int(row["tax_class"])


QUERIES: Final = (*ResourceReads(ITEMS).queries(), Query("tax_class.of_rate", OfRate, class_of_rate, ARTICLES))
