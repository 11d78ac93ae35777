"""The records of inventory. Articles are what a till sells and what the ERP calls items."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from libs.domain.fields import INT64_MAX
from libs.domain.records import INT32_MAX, Field, FieldType, RecordType

ARTICLES: Final = "inventory.articles"
PRICE_MAX: Final = Decimal(1_000_000)
DEPOSIT_MAX: Final = Decimal(1_000)
WEIGHT_MAX: Final = Decimal(100_000)
PRICE_PLACES: Final = 4
TEMPLATES_PER_ARTICLE_MAX: Final = 20
CHOICES_MAX: Final = 99
PRICE_RULES_MAX: Final = 500  # of an instance: all of them are looked at when something is priced
# the fourteen that must be declared in the European Union
ALLERGENS: Final = (
    "celery", "crustaceans", "eggs", "fish", "gluten", "lupin", "milk", "molluscs", "mustard", "nuts", "peanuts", "sesame", "soybeans",
    "sulphites",
)  # fmt: skip
# of articles as the ERP sees them
APPLICABILITY: Final = {0: "ALWAYS", 1: "NEVER", 2: "BILLINGONLY", 3: "PROCUREMENTONLY"}
FORCED_STOCK: Final = {0: "STORAGE", 1: "LOCATION"}
ITEM_TYPE: Final = {
    0: "SIMPLE", 1: "SERIALS", 2: "CHARGES", 3: "SERIALSANDCHARGES", 4: "SET", 5: "CONTAINER", 6: "NOSTOCK", 7: "MODEL",
}  # fmt: skip
MODEL: Final = 7


class ArticleOption(msgspec.Struct, frozen=True, kw_only=True):
    """A choice that goes with an article (extra, side dish, preparation); ``price`` is the surcharge, gross, in major units."""

    id: str
    name: str
    price: Decimal = Decimal(0)


class TemplateOption(msgspec.Struct, frozen=True, kw_only=True):
    """A choice of a template; ``price`` is the surcharge, gross, in major units. With a ``fraction`` (``1/2``) only that part of the
    article is served, and its price is that part too."""

    id: str
    name: str
    price: Decimal = Decimal(0)
    fraction: str | None = None


# of an article and of a group, where it holds for everything below unless said otherwise there
INHERITED: Final = (
    Field(name="allergens", type=FieldType.LIST, item=str, choices=ALLERGENS, inherited=True),
    Field(name="deposit", type=FieldType.DECIMAL, low=Decimal(0), high=DEPOSIT_MAX, inherited=True, doc="per unit, gross"),
    Field(name="station_ticket_1", type=FieldType.TEXT, max_chars=50, inherited=True, doc="the printer of the station that prepares it"),
    Field(name="station_ticket_2", type=FieldType.TEXT, max_chars=50, inherited=True, doc="a second one"),
    Field(name="consolidated_ticket", type=FieldType.BOOLEAN, inherited=True, doc="also on the ticket that shows the whole order"),
)
OPTION_FIELDS: Final = (
    Field(name="id", type=FieldType.TEXT, required=True, max_chars=64, unique=True),
    Field(name="name", type=FieldType.TEXT, required=True, max_chars=100),
    Field(name="price", type=FieldType.DECIMAL, required=True, low=-PRICE_MAX, high=PRICE_MAX, places=4, doc="may lower the price"),
)

ARTICLE_GROUP: Final = RecordType(
    name="article_group",
    service="inventory",
    table="article_groups",
    prefix="artgrp",
    permission=ARTICLES,
    fields=(
        Field(name="name", type=FieldType.TEXT, required=True, searchable=True, doc="what the till shows"),
        Field(name="number", type=FieldType.INTEGER, low=0, unique=True, searchable=True, doc="orders the tree; may change at any time"),
        Field(name="parent_key", type=FieldType.REFERENCE, refers="article_group", doc="the group above"),
        Field(name="colour", type=FieldType.TEXT, max_chars=30),
        Field(name="sort_order", type=FieldType.INTEGER, default=0),
        Field(name="is_active", type=FieldType.BOOLEAN, default=True),
        *INHERITED,
    ),
    above="parent_key",
)

OPTION_TEMPLATE: Final = RecordType(
    name="option_template",
    service="inventory",
    table="option_templates",
    prefix="opt",
    permission=ARTICLES,
    fields=(
        Field(name="name", type=FieldType.TEXT, required=True, searchable=True, doc="what the guest is asked"),
        Field(name="is_mandatory", type=FieldType.BOOLEAN, default=False, doc="at least one must be chosen"),
        Field(name="min_choices", type=FieldType.INTEGER, low=0, high=CHOICES_MAX, default=0, doc="counted with their quantities"),
        Field(name="max_choices", type=FieldType.INTEGER, low=1, high=CHOICES_MAX, doc="without one, any number"),
        Field(
            name="options",
            type=FieldType.LIST,
            item=TemplateOption,
            item_fields=(*OPTION_FIELDS, Field(name="fraction", type=FieldType.TEXT, max_chars=7, doc="a part of the article: 1/2")),
            default=(),
        ),
        Field(name="is_active", type=FieldType.BOOLEAN, default=True, doc="else it is neither offered nor asked for"),
    ),
)

# what an article has for the ERP alone
OF_THE_ERP: Final = (
    Field(name="applicability", type=FieldType.INTEGER, choices=tuple(APPLICABILITY), default=0, erp=True),
    Field(name="forcestock", type=FieldType.INTEGER, choices=tuple(FORCED_STOCK), erp=True),
    Field(name="foreigntaxrates", type=FieldType.JSON, erp=True),
    Field(name="model", type=FieldType.ID, low=1, high=INT64_MAX, erp=True, doc="the ID of an article of type MODEL"),
    Field(name="ownergroup", type=FieldType.ID, low=1, high=INT64_MAX, erp=True, doc="the ERP shows it to this group alone"),
    Field(name="picbinfile", type=FieldType.ID, low=1, high=INT64_MAX, erp=True, doc="a row of `binfiles`"),
    Field(name="subitems", type=FieldType.JSON, erp=True),
    Field(name="type", type=FieldType.INTEGER, choices=tuple(ITEM_TYPE), default=0, erp=True),
    Field(name="discarded", type=FieldType.BOOLEAN, default=False, erp=True, doc="of what is not active: the ERP calls it deleted"),
    Field(name="chosen_id", type=FieldType.ID, low=1, high=INT32_MAX, erp=True, doc="the ID, if a client chose it"),
    Field(name="given_creator", type=FieldType.ID, low=1, high=INT64_MAX, erp=True, doc="the user a client named as the one who made it"),
    Field(name="given_date", type=FieldType.LONG, low=-INT64_MAX, high=INT64_MAX, erp=True, doc="when, as a client named it"),
)

ARTICLE: Final = RecordType(
    name="article",
    service="inventory",
    table="articles",
    prefix="art",
    permission=ARTICLES,
    fields=(
        Field(name="name", type=FieldType.TEXT, required=True, searchable=True, doc="as printed on receipts"),
        Field(name="price", type=FieldType.DECIMAL, required=True, low=Decimal(0), high=PRICE_MAX, places=4, doc="gross, per unit"),
        Field(name="tax_class", type=FieldType.INTEGER, required=True, low=0, high=999, known_in="inventory.tax_rates.tax_class"),
        Field(name="group_key", type=FieldType.REFERENCE, required=True, refers="article_group"),
        Field(name="plu", type=FieldType.TEXT, max_chars=30, unique=True, searchable=True, doc="article number"),
        Field(name="barcode", type=FieldType.TEXT, max_chars=50, searchable=True),
        Field(name="short_name", type=FieldType.TEXT, max_chars=50, searchable=True),
        Field(name="description", type=FieldType.TEXT, max_chars=2_000),
        Field(name="unit", type=FieldType.TEXT, max_chars=20),
        Field(name="colour", type=FieldType.TEXT, max_chars=30),
        Field(name="sort_order", type=FieldType.INTEGER),
        Field(name="course", type=FieldType.INTEGER, low=1, high=20, doc="the course it is served in unless the order says otherwise"),
        Field(name="options", type=FieldType.LIST, item=ArticleOption, item_fields=OPTION_FIELDS, default=()),
        Field(name="is_active", type=FieldType.BOOLEAN, default=True),
        Field(
            name="option_template_keys",
            type=FieldType.LIST,
            item=str,
            refers="option_template",
            max_items=TEMPLATES_PER_ARTICLE_MAX,
            default=(),
        ),
        Field(name="image_id", type=FieldType.TEXT, max_chars=64, doc="the SHA-256 of what was uploaded"),
        Field(name="manufacturer", type=FieldType.TEXT, max_chars=100, searchable=True, doc="brand or company"),
        Field(name="purchase_price", type=FieldType.DECIMAL, low=Decimal(0), high=PRICE_MAX, places=4, doc="per unit"),
        Field(name="weight", type=FieldType.DECIMAL, low=Decimal(0), high=WEIGHT_MAX, places=4, doc="for shipping, kilograms per unit"),
        *INHERITED,
        *OF_THE_ERP,
    ),
    indexes=(("barcode",), ("plu",), ("model",), ("ownergroup",)),
    revision=3,
    version=3,
    above="group_key",
    tags=True,
    extdata=True,
)

PRICE_RULE: Final = RecordType(
    name="price_rule",
    service="inventory",
    table="price_rules",
    prefix="prule",
    permission=ARTICLES,
    fields=(
        Field(name="name", type=FieldType.TEXT, required=True, searchable=True),
        Field(name="article_key", type=FieldType.REFERENCE, refers="article", doc="either for one article"),
        Field(name="group_key", type=FieldType.REFERENCE, refers="article_group", doc="or for a group with all below it"),
        Field(name="area_key", type=FieldType.REFERENCE, known_in="pos.table_groups.key", doc="only at tables of this area"),
        Field(name="weekdays", type=FieldType.LIST, item=int, choices=(1, 2, 3, 4, 5, 6, 7), default=(), doc="Monday is 1; none means all"),
        Field(name="time_from", type=FieldType.TEXT, max_chars=5, doc="HH:MM by the clock of the house"),
        Field(name="time_to", type=FieldType.TEXT, max_chars=5, doc="exclusive; before time_from it is on the next morning"),
        Field(name="starts_on", type=FieldType.DATE, doc="the first business day"),
        Field(name="ends_on", type=FieldType.DATE, doc="the last one"),
        Field(name="change_amount", type=FieldType.DECIMAL, low=-PRICE_MAX, high=PRICE_MAX, places=4, doc="gross, per unit"),
        Field(name="change_percent", type=FieldType.DECIMAL, low=Decimal(-100), high=Decimal(1_000)),
        Field(name="is_active", type=FieldType.BOOLEAN, default=True),
    ),
    most=PRICE_RULES_MAX,
)

TAX_RATE: Final = RecordType(
    name="tax_rate",
    service="inventory",
    table="tax_rates",
    prefix="tax",
    permission=ARTICLES,
    fields=(
        Field(name="tax_class", type=FieldType.INTEGER, required=True, low=0, high=999),
        Field(name="name", type=FieldType.TEXT, required=True),
        Field(name="rate", type=FieldType.DECIMAL, required=True, low=Decimal(0), high=Decimal(100), doc="percent"),
        Field(name="valid_from", type=FieldType.DATE, required=True, doc="the first business day it applies to"),
    ),
)
