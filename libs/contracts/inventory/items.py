"""Articles as the ERP sees them: items. ``ITEM`` says what clients may write, ``ITEMS`` how rows show it; ``STORED`` which field of the
article holds what has another name there."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from libs.contracts.inventory.records import (
    APPLICABILITY,
    ARTICLE,
    FORCED_STOCK,
    ITEM_TYPE,
    MODEL,
    PRICE_MAX,
    PRICE_PLACES,
    WEIGHT_MAX,
)
from libs.contracts.line_items import TAX_RATES, lines
from libs.domain.fields import VISIBILITY, choice, file, json, line, owner_group, ref, stamps, text
from libs.domain.records import Field, FieldType, RecordType
from libs.domain.resources import Column, Join, Resource, resource_of
from libs.domain.rules import OnlyWhen, When

TODAY: Final = "(now() at time zone 'Europe/Berlin')::date"  # business days may begin later; rates change at new year
TAX_RATE_TODAY: Final = (
    "(select r.rate from {inventory.tax_rates} r where r.instance = $1 and r.tax_class = @.tax_class "
    f"and r.valid_from <= {TODAY} order by r.valid_from desc limit 1)"
)
# IDs that clients may choose: Theke's own count up from 1 and never come there
CHOSEN_ID_MIN: Final = 1_000_000_000
UNIT_MAX_CHARS: Final = 3


def _decimal(name: str, doc: str, high: Decimal) -> Field:
    """What a till has to reckon with is bounded there."""
    return Field(name=name, type=FieldType.DECIMAL, doc=doc, low=Decimal(0), high=high, places=PRICE_PLACES, default=Decimal(0))


def _as_article(field: Field, stored: str) -> Field:
    return msgspec.structs.replace(field, max_chars=ARTICLE.field(stored).max_chars)


ITEM: Final = RecordType(
    name="item", resource="items", service="inventory", table="articles",
    read=("inventory",), write=("inventory",),
    tags=True, extdata=True,
    fields=(
        choice("applicability", APPLICABILITY),
        _as_article(line("barcode", "EAN", search=True), "barcode"),
        *stamps(),
        _as_article(text("description"), "description"),
        choice("forcestock", FORCED_STOCK, default=None),
        json("foreigntaxrates", "percent by country", shape=TAX_RATES),
        _as_article(line("itemnum", "the article's number at the till (PLU), unique", search=True), "plu"),
        _as_article(line("manufacturer", "brand or company", search=True), "manufacturer"),
        ref("model", "items", doc="an item of type MODEL"),
        _as_article(line("name", "as printed on receipts", required=True, search=True), "name"),
        owner_group(),
        file("picbinfile", "beside the picture of the till"),
        _decimal("purchaseprice", "per unit", PRICE_MAX),
        _decimal("sellingprice", "gross, per unit: what the till charges", PRICE_MAX),
        lines("subitems"),
        Field(
            name="taxrate", type=FieldType.DECIMAL, low=Decimal(0), high=Decimal(100), places=PRICE_PLACES, default=Decimal(0),
            doc="percent; a write takes the first tax class whose rate this is today",
        ),
        choice("type", ITEM_TYPE, fixed=True),
        line("unit", max_chars=UNIT_MAX_CHARS),
        choice("visibility", VISIBILITY, "a till sells what is REGULAR"),
        _decimal("weight", "kilograms per unit", WEIGHT_MAX),
    ),
    rules=(OnlyWhen("model", When("type", tuple(type_ for type_ in ITEM_TYPE if type_ != MODEL))),),
)  # fmt: skip

# field of the item → field of the article, where the names differ; visibility and taxrate stand for several or other things
STORED: Final[Mapping[str, str]] = {
    "creationdate": "given_date",
    "creator": "given_creator",
    "itemnum": "plu",
    "purchaseprice": "purchase_price",
    "sellingprice": "price",
    "taxrate": "tax_class",
    "visibility": "is_active",
}
_CREATOR: Final = "coalesce(@.given_creator, (select u.id from {auth.users} u where u.instance = $1 and u.key = @.creator))"
_SHOWN: Final[Mapping[str, str]] = {
    **{name: f"coalesce(@.{STORED.get(name, name)}, '')" for name in ("barcode", "description", "itemnum", "manufacturer", "unit")},
    **{name: f"coalesce(@.{STORED.get(name, name)}, 0)" for name in ("purchaseprice", "sellingprice", "weight")},
    "creationdate": "coalesce(@.given_date, floor(extract(epoch from @.created_at))::bigint)",
    "creator": _CREATOR,
    "lastmodified": "floor(extract(epoch from @.changed_at))::bigint",
    "taxrate": f"coalesce({TAX_RATE_TODAY}, 0)",
    "visibility": "(case when @.is_active then 0 when @.discarded then 2 else 1 end)",
}
_ORDERED: Final[Mapping[str, str]] = {
    name: f"coalesce(@.{STORED.get(name, name)}_order, '')" for name in ("barcode", "itemnum", "manufacturer", "name")
}


def _column(column: Column) -> Column:
    """Shown as every record's, only read from where the article has it."""
    return msgspec.structs.replace(column, sql=_SHOWN.get(column.name, column.sql), order=_ORDERED.get(column.name, ""))


_declared: Final = resource_of(ITEM)
ITEMS: Final[Resource] = msgspec.structs.replace(
    _declared,
    type=ARTICLE.name,
    keyed=True,
    columns=tuple(_column(column) for column in _declared.columns),
    joins={**_declared.joins, "creator": Join(resource="users", on=f"@.id = {_CREATOR.replace('@', 't')}")},
)
