"""Section OptionTemplates: what a guest is asked about articles, once for many of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.inventory.records import OPTION_TEMPLATE, TemplateOption
from services.gateway.bodies import Whole
from services.gateway.dikas import shapes
from services.gateway.dikas.names import dialect_name
from services.gateway.dikas.records import Section


class TemplateOptionShape(msgspec.Struct, rename="camel", omit_defaults=True):
    """A choice; ``price`` is the surcharge, ``fraction`` (``1/2``) the part of the article that is served and paid."""

    id: str
    name: str
    price: Decimal = Decimal(0)
    fraction: str | None = None


class OptionTemplateBody(msgspec.Struct, rename=dialect_name):
    name: str | UnsetType = UNSET
    is_mandatory: bool | UnsetType = UNSET
    min_choices: Whole | UnsetType = UNSET
    max_choices: Whole | UnsetType | None = UNSET
    options: list[TemplateOptionShape] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class OptionTemplateValues(msgspec.Struct):
    name: str
    is_mandatory: bool
    min_choices: int
    is_active: bool
    max_choices: int | None = None
    options: tuple[TemplateOption, ...] = ()


class TemplateOptionOut(msgspec.Struct, rename="camel"):
    id: str
    name: str
    price: Decimal
    fraction: str | None


class OptionTemplateOut(msgspec.Struct, rename="camel"):
    id: str
    name: str
    is_mandatory: bool
    min_choices: int
    max_choices: int | None
    options: list[TemplateOptionOut]
    is_active: bool
    created_date: str
    changed_date: str


def option_template_out(view: Any) -> OptionTemplateOut:
    values: OptionTemplateValues = view.values
    return OptionTemplateOut(
        id=view.key,
        name=values.name,
        is_mandatory=values.is_mandatory,
        min_choices=values.min_choices,
        max_choices=values.max_choices,
        options=[TemplateOptionOut(one.id, one.name, shapes.price(one.price), one.fraction) for one in values.options],
        is_active=values.is_active,
        created_date=shapes.moment(view.created_at),
        changed_date=shapes.moment(view.changed_at),
    )


OPTION_TEMPLATES: Final = Section(
    "OptionTemplates", "/api/v1/option-templates", OPTION_TEMPLATE, OptionTemplateBody, OptionTemplateValues, option_template_out
)
ROUTES = OPTION_TEMPLATES.routes()
