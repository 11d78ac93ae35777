"""Section Articles: price rules (happy hour)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.inventory.records import PRICE_RULE
from services.gateway.bodies import Whole
from services.gateway.dikas import shapes
from services.gateway.dikas.names import dialect_name
from services.gateway.dikas.records import Section


class PriceRuleBody(msgspec.Struct, rename=dialect_name):
    name: str | UnsetType = UNSET
    article_key: str | UnsetType | None = UNSET
    group_key: str | UnsetType | None = UNSET
    area_key: str | UnsetType | None = UNSET
    weekdays: list[Whole] | UnsetType | None = UNSET
    time_from: str | UnsetType | None = UNSET
    time_to: str | UnsetType | None = UNSET
    starts_on: str | UnsetType | None = UNSET
    ends_on: str | UnsetType | None = UNSET
    change_amount: Decimal | UnsetType | None = UNSET
    change_percent: Decimal | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET


class PriceRuleValues(msgspec.Struct):
    name: str
    is_active: bool
    article_key: str | None = None
    group_key: str | None = None
    area_key: str | None = None
    weekdays: tuple[int, ...] | None = ()
    time_from: str | None = None
    time_to: str | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    change_amount: Decimal | None = None
    change_percent: Decimal | None = None


class PriceRuleOut(msgspec.Struct, rename="camel"):
    id: str
    name: str
    article_id: str | None
    group_id: str | None
    area_id: str | None
    weekdays: tuple[int, ...]
    time_from: str | None
    time_to: str | None
    starts_on: date | None
    ends_on: date | None
    change_amount: Decimal | None
    change_percent: Decimal | None
    is_active: bool
    created_date: str
    changed_date: str


def price_rule_out(view: Any) -> PriceRuleOut:
    values: PriceRuleValues = view.values
    return PriceRuleOut(
        id=view.key,
        name=values.name,
        article_id=values.article_key,
        group_id=values.group_key,
        area_id=values.area_key,
        weekdays=values.weekdays or (),
        time_from=values.time_from,
        time_to=values.time_to,
        starts_on=values.starts_on,
        ends_on=values.ends_on,
        change_amount=None if values.change_amount is None else shapes.price(values.change_amount),
        change_percent=None if values.change_percent is None else shapes.quantity(values.change_percent),
        is_active=values.is_active,
        created_date=shapes.moment(view.created_at),
        changed_date=shapes.moment(view.changed_at),
    )


PRICE_RULES: Final = Section("Articles", "/api/v1/price-rules", PRICE_RULE, PriceRuleBody, PriceRuleValues, price_rule_out)
ROUTES = PRICE_RULES.routes()
