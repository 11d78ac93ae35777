"""Section Articles: articles and their groups."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.inventory.records import ARTICLE, ARTICLE_GROUP, ArticleOption
from services.gateway.bodies import Whole
from services.gateway.dikas import shapes
from services.gateway.dikas.names import dialect_name
from services.gateway.dikas.records import Section


class OptionShape(msgspec.Struct, rename="camel"):
    """An option an article offers; ``price`` is the surcharge."""

    id: str
    name: str
    price: Decimal = Decimal(0)


class ArticleBody(msgspec.Struct, rename=dialect_name):
    name: str | UnsetType = UNSET
    price: Decimal | UnsetType = UNSET
    tax_class: Whole | UnsetType = UNSET
    group_key: str | UnsetType = UNSET
    plu: str | UnsetType | None = UNSET
    barcode: str | UnsetType | None = UNSET
    short_name: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    unit: str | UnsetType | None = UNSET
    colour: str | UnsetType | None = UNSET
    sort_order: Whole | UnsetType | None = UNSET
    course: Whole | UnsetType | None = UNSET
    options: list[OptionShape] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class ArticleValues(msgspec.Struct):
    name: str
    price: Decimal
    tax_class: int
    group_key: str
    is_active: bool
    plu: str | None = None
    barcode: str | None = None
    short_name: str | None = None
    description: str | None = None
    unit: str | None = None
    colour: str | None = None
    sort_order: int | None = None
    course: int | None = None
    options: tuple[ArticleOption, ...] = ()


class _ArticleHead(msgspec.Struct, rename="camel"):
    id: str
    name: str
    price: Decimal
    tax_class: int
    group_id: str
    is_active: bool
    created_date: str
    changed_date: str


class ArticleOut(_ArticleHead, omit_defaults=True, rename="camel"):
    """What every article has, then what this one has besides."""

    plu: str | None = None
    barcode: str | None = None
    short_name: str | None = None
    description: str | None = None
    unit: str | None = None
    color: str | None = None
    sort_order: int | None = None
    course: int | None = None
    options: tuple[OptionShape, ...] = ()


def article_out(view: Any) -> ArticleOut:
    values: ArticleValues = view.values
    return ArticleOut(
        id=view.key,
        name=values.name,
        price=shapes.price(values.price),
        tax_class=values.tax_class,
        group_id=values.group_key,
        is_active=values.is_active,
        created_date=shapes.moment(view.created_at),
        changed_date=shapes.moment(view.changed_at),
        plu=values.plu,
        barcode=values.barcode,
        short_name=values.short_name,
        description=values.description,
        unit=values.unit,
        color=values.colour,
        sort_order=values.sort_order,
        course=values.course,
        options=tuple(OptionShape(option.id, option.name, shapes.price(option.price)) for option in values.options),
    )


class GroupBody(msgspec.Struct, rename=dialect_name):
    name: str | UnsetType = UNSET
    number: Whole | UnsetType | None = UNSET
    parent_key: str | UnsetType | None = UNSET
    colour: str | UnsetType | None = UNSET
    sort_order: Whole | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET


class GroupValues(msgspec.Struct):
    name: str
    is_active: bool
    number: int | None = None
    parent_key: str | None = None
    colour: str | None = None
    sort_order: int | None = None


class GroupOut(msgspec.Struct, rename="camel"):
    id: str
    name: str
    number: int | None
    parent_id: str | None
    color: str | None
    sort_order: int | None
    is_active: bool
    created_date: str
    changed_date: str


def group_out(view: Any) -> GroupOut:
    values: GroupValues = view.values
    return GroupOut(
        id=view.key,
        name=values.name,
        number=values.number,
        parent_id=values.parent_key,
        color=values.colour,
        sort_order=values.sort_order,
        is_active=values.is_active,
        created_date=shapes.moment(view.created_at),
        changed_date=shapes.moment(view.changed_at),
    )


ROUTES = (
    *Section("Articles", "/api/v1/articles", ARTICLE, ArticleBody, ArticleValues, article_out).routes(),
    *Section("Articles", "/api/v1/article-groups", ARTICLE_GROUP, GroupBody, GroupValues, group_out).routes(),
)
