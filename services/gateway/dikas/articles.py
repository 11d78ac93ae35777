"""Section Articles: articles, their groups and price rules."""

from __future__ import annotations

import types
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.inventory.records import ARTICLE, ARTICLE_GROUP, ArticleOption
from libs.domain.errors import FieldError, invalid, not_found
from libs.records.lists import VALUE_MAX_CHARS, Listing
from libs.records.wanted import SEARCH_MAX_CHARS
from services.gateway import limits
from services.gateway.bodies import Whole
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.listing import CHANGED_SINCE, list_params, listing_of
from services.gateway.dikas.names import dialect_name
from services.gateway.dikas.params import IF_NONE_MATCH, Form, Param
from services.gateway.dikas.records import Section
from services.gateway.dikas.tags import tag

IMAGE_VERSION_CHARS: Final = 12  # of its id, in its address: another image, another address


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
    option_template_keys: list[str] | UnsetType | None = UNSET
    allergens: list[str] | UnsetType | None = UNSET
    deposit: Decimal | UnsetType | None = UNSET
    station_ticket_1: str | UnsetType | None = UNSET
    station_ticket_2: str | UnsetType | None = UNSET
    consolidated_ticket: bool | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET


class Inherited(msgspec.Struct, kw_only=True):
    """What an article takes from its group, and a group from the one above, unless it has a value of its own."""

    allergens: tuple[str, ...] | None = None
    deposit: Decimal | None = None
    station_ticket_1: str | None = None
    station_ticket_2: str | None = None
    consolidated_ticket: bool | None = None


_NOTHING_SAID: Final = Inherited()


class InheritedOut(msgspec.Struct, omit_defaults=True, rename="camel", kw_only=True):
    allergens: tuple[str, ...] | None = None
    deposit: Decimal | None = None
    station_ticket_1: str | None = msgspec.field(default=None, name="stationTicket1")
    station_ticket_2: str | None = msgspec.field(default=None, name="stationTicket2")
    consolidated_ticket: bool | None = None


def _inherited(values: Inherited) -> dict[str, Any]:
    return {
        "allergens": values.allergens,
        "deposit": None if values.deposit is None else shapes.price(values.deposit),
        "station_ticket_1": values.station_ticket_1,
        "station_ticket_2": values.station_ticket_2,
        "consolidated_ticket": values.consolidated_ticket,
    }


def _effective(values: Inherited) -> InheritedOut | None:
    """What holds, whoever said it; None if nothing was said anywhere."""
    return None if values == _NOTHING_SAID else InheritedOut(**_inherited(values))


class ArticleValues(Inherited, kw_only=True):
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
    option_template_keys: tuple[str, ...] | None = ()
    image_id: str | None = None


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
    option_template_ids: tuple[str, ...] = ()
    image_id: str | None = None
    image_url: str | None = None
    allergens: tuple[str, ...] | None = None
    deposit: Decimal | None = None
    station_ticket_1: str | None = msgspec.field(default=None, name="stationTicket1")
    station_ticket_2: str | None = msgspec.field(default=None, name="stationTicket2")
    consolidated_ticket: bool | None = None
    effective: InheritedOut | None = None


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
        option_template_ids=values.option_template_keys or (),
        image_id=values.image_id,
        image_url=None if values.image_id is None else f"/api/v1/articles/{view.key}/image?v={values.image_id[:IMAGE_VERSION_CHARS]}",
        **_inherited(values),
        effective=_effective(view.effective),
    )


class GroupBody(msgspec.Struct, rename=dialect_name):
    name: str | UnsetType = UNSET
    number: Whole | UnsetType | None = UNSET
    parent_key: str | UnsetType | None = UNSET
    colour: str | UnsetType | None = UNSET
    sort_order: Whole | UnsetType | None = UNSET
    allergens: list[str] | UnsetType | None = UNSET
    deposit: Decimal | UnsetType | None = UNSET
    station_ticket_1: str | UnsetType | None = UNSET
    station_ticket_2: str | UnsetType | None = UNSET
    consolidated_ticket: bool | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET


class GroupValues(Inherited, kw_only=True):
    name: str
    is_active: bool
    number: int | None = None
    parent_key: str | None = None
    colour: str | None = None
    sort_order: int | None = None


class _GroupHead(msgspec.Struct, rename="camel"):
    id: str
    name: str
    number: int | None
    parent_id: str | None
    color: str | None
    sort_order: int | None
    is_active: bool
    created_date: str
    changed_date: str


class GroupOut(_GroupHead, omit_defaults=True, rename="camel"):
    """What every group has, then what this one says for all below it."""

    allergens: tuple[str, ...] | None = None
    deposit: Decimal | None = None
    station_ticket_1: str | None = msgspec.field(default=None, name="stationTicket1")
    station_ticket_2: str | None = msgspec.field(default=None, name="stationTicket2")
    consolidated_ticket: bool | None = None
    effective: InheritedOut | None = None


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
        **_inherited(values),
        effective=_effective(view.effective),
    )


Q: Final = Param("q", Form.TEXT, "What is looked for.", max_chars=SEARCH_MAX_CHARS, required=True, example="schnitzel")
PLU: Final = Param("plu", Form.TEXT, "The article's number.", max_chars=VALUE_MAX_CHARS, example="{plu}")
BARCODE: Final = Param("barcode", Form.TEXT, "What the scanner reads.", max_chars=VALUE_MAX_CHARS, example="{barcode}")


class Articles(Section):
    """Articles are also found by what a guest calls them and by what a scanner reads."""

    async def search(self, call: Call) -> AsyncIterator[list[Any]]:
        """Those whose name, short name, number or barcode holds every word of ``q``, the best names first."""
        listing = listing_of(call, ARTICLE)
        wanted = call.given(Q.name).strip()
        if not wanted:
            raise invalid(FieldError("q", "required"))
        page = msgspec.structs.replace(listing, search=wanted, sort=listing.sort or ("name",), page=listing.page or 1)
        async for views in call.stream("inventory", "article.list", page, self.view):
            yield [self.out(view) for view in views]

    async def by_plu(self, call: Call) -> Any:
        """The article with this number (PLU)."""
        return await self._by(call, "plu", ("id",))

    async def by_barcode(self, call: Call) -> Any:
        """The article with this barcode (EAN); if several have it, the one that is sold, and of those the first."""
        return await self._by(call, "barcode", ("-is_active", "id"))

    async def _by(self, call: Call, field: str, sort: tuple[str, ...]) -> Any:
        text = call.params[field]
        if not text.isprintable() or len(text) > VALUE_MAX_CHARS:
            raise not_found("article_not_found", id=text[: limits.ID_MAX_CHARS] if text.isprintable() else "")
        one = Listing(filters={field: text}, sort=sort, page=1, page_size=1)
        async for views in call.stream("inventory", "article.list", one, self.view):
            for view in views:
                tag(call, ARTICLE.name, view, live=self.live)
                return self.out(view)
        raise not_found("article_not_found", id=text[: limits.ID_MAX_CHARS])

    def routes(self) -> tuple[Route, ...]:
        searched = tuple(param for param in list_params(self.type) if param.name not in (CHANGED_SINCE, "search"))
        found: Any = types.GenericAlias(list, self.answer)
        fixed = (
            Route(
                "GET",
                f"{self.path}/search",
                self.section,
                self.search,
                stream=True,
                asks=self.asks("list"),
                params=(Q, *searched),
                answer=found,
            ),
            Route(
                "GET",
                f"{self.path}/by-plu/{{plu}}",
                self.section,
                self.by_plu,
                asks=self.asks("list"),
                params=(PLU, IF_NONE_MATCH),
                answer=self.answer,
            ),
            Route(
                "GET",
                f"{self.path}/by-barcode/{{barcode}}",
                self.section,
                self.by_barcode,
                asks=self.asks("list"),
                params=(BARCODE, IF_NONE_MATCH),
                answer=self.answer,
            ),
        )
        return (*fixed, *super().routes())


ARTICLES: Final = Articles("Articles", "/api/v1/articles", ARTICLE, ArticleBody, ArticleValues, article_out, effective=Inherited)
GROUPS: Final = Section("Articles", "/api/v1/article-groups", ARTICLE_GROUP, GroupBody, GroupValues, group_out, effective=Inherited)
ROUTES = (*ARTICLES.routes(), *GROUPS.routes())
