"""The records of inventory. Articles are what a till sells and what the ERP calls items."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from libs.domain.records import Field, FieldType, RecordType

ARTICLES: Final = "inventory.articles"
PRICE_MAX: Final = Decimal(1_000_000)


class ArticleOption(msgspec.Struct, frozen=True, kw_only=True):
    """A choice that goes with an article (extra, side dish, preparation); ``price`` is the surcharge, gross, in major units."""

    id: str
    name: str
    price: Decimal = Decimal(0)


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
        Field(name="name", type=FieldType.TEXT, required=True, doc="what the till shows"),
        Field(name="number", type=FieldType.INTEGER, low=0, unique=True, doc="orders the tree; may change at any time"),
        Field(name="parent_key", type=FieldType.REFERENCE, refers="article_group", doc="the group above"),
        Field(name="colour", type=FieldType.TEXT, max_chars=30),
        Field(name="sort_order", type=FieldType.INTEGER, default=0),
        Field(name="is_active", type=FieldType.BOOLEAN, default=True),
    ),
)

ARTICLE: Final = RecordType(
    name="article",
    service="inventory",
    table="articles",
    prefix="art",
    permission=ARTICLES,
    fields=(
        Field(name="name", type=FieldType.TEXT, required=True, doc="as printed on receipts"),
        Field(name="price", type=FieldType.DECIMAL, required=True, low=Decimal(0), high=PRICE_MAX, places=4, doc="gross, per unit"),
        Field(name="tax_class", type=FieldType.INTEGER, required=True, low=0, high=999, known_in="inventory.tax_rates.tax_class"),
        Field(name="group_key", type=FieldType.REFERENCE, required=True, refers="article_group"),
        Field(name="plu", type=FieldType.TEXT, max_chars=30, unique=True, doc="article number"),
        Field(name="barcode", type=FieldType.TEXT, max_chars=50),
        Field(name="short_name", type=FieldType.TEXT, max_chars=50),
        Field(name="description", type=FieldType.TEXT, max_chars=2_000),
        Field(name="unit", type=FieldType.TEXT, max_chars=20),
        Field(name="colour", type=FieldType.TEXT, max_chars=30),
        Field(name="sort_order", type=FieldType.INTEGER),
        Field(name="course", type=FieldType.INTEGER, low=1, high=20, doc="the course it is served in unless the order says otherwise"),
        Field(name="options", type=FieldType.LIST, item=ArticleOption, item_fields=OPTION_FIELDS, default=()),
        Field(name="is_active", type=FieldType.BOOLEAN, default=True),
    ),
    indexes=(("barcode",),),
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
