"""What a decision at the till rests on besides the streams, read from query tables before deciding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.contracts.pos.commands import (
    ITEMS_PER_ORDER_MAX,
    ORDERS_PER_BATCH_MAX,
    CallCourse,
    Item,
    MarkCleaned,
    PayTable,
    PlaceOrder,
    PlaceOrders,
    Sell,
)
from libs.domain.decider import Command, Lookup, RowsKept
from services.pos.faults import is_key, plain
from services.pos.offers import (
    GROUP_COLUMNS,
    RULE_COLUMNS,
    TEMPLATE_COLUMNS,
    OptionFact,
    RuleFact,
    TemplateFact,
    in_force,
    keys_of,
    options_of,
    rules_of,
    template_of,
)
from services.pos.settings import MAIN, SETTINGS, Settings, business_day

ARTICLE_COLUMNS = ("key", "name", "price", "tax_class", "group_key", "is_active", "options", "course", "option_template_keys")
TAX_RATE_COLUMNS = ("tax_class", "rate", "valid_from")
DAYS_KEPT_MAX = 100  # on which the tax rates were asked for
TABLE_COLUMNS = ("key", "is_active", "needs_cleaning", "group_key")


class ArticleFact(msgspec.Struct, frozen=True):
    """``price`` in major units, gross, per unit; ``options`` of its own, ``templates`` with more of them; ``rules`` that may change its
    price now."""

    key: str
    name: str
    price: Decimal
    tax_class: int
    group: str | None = None
    is_active: bool = True
    options: Mapping[str, OptionFact] = msgspec.field(default_factory=dict)
    course: int | None = None
    templates: tuple[TemplateFact, ...] = ()
    rules: tuple[RuleFact, ...] = ()


class TableFact(msgspec.Struct, frozen=True):
    """``needs_cleaning``: guests who have paid leave it to be cleaned first; ``area``: the table group it stands in."""

    key: str
    is_active: bool = True
    needs_cleaning: bool = False
    area: str | None = None


class TaxRates:
    """All rates of a house, by class. Percent."""

    def __init__(self, rows: Sequence[Any] = ()) -> None:
        self._by_class: dict[int, list[Any]] = {}
        for row in rows:
            self._by_class.setdefault(row["tax_class"], []).append(row)
        self._days: dict[date, Mapping[int, Decimal]] = {}

    def on(self, day: date) -> Mapping[int, Decimal]:
        """The rate of each class that came into force last, up to and on ``day``; a class of which none had yet is absent."""
        rates = self._days.get(day)
        if rates is None:
            if len(self._days) >= DAYS_KEPT_MAX:
                self._days.clear()
            rates = {class_: rate for class_, rows in self._by_class.items() if (rate := _rate_on(day, rows)) is not None}
            self._days[day] = rates
        return rates


def _rate_on(day: date, rows: Sequence[Any]) -> Decimal | None:
    valid = [row for row in rows if row["valid_from"] <= day]
    return plain(max(valid, key=lambda row: row["valid_from"])["rate"]) if valid else None


NO_RATES: Final = TaxRates()


class SaleFacts(msgspec.Struct, frozen=True):
    """Articles and tables by key and tax rates (percent) by class, as they are on the command's business day."""

    articles: Mapping[str, ArticleFact] = msgspec.field(default_factory=dict)
    rates: Mapping[int, Decimal] = msgspec.field(default_factory=dict)
    tables: Mapping[str, TableFact] = msgspec.field(default_factory=dict)
    settings: Settings = SETTINGS
    taxes: TaxRates = NO_RATES

    def on(self, settings: Settings, at: datetime) -> SaleFacts:
        """The same in a house that keeps its books by ``settings``: rates as they are on its business day."""
        if settings == self.settings:
            return self
        return msgspec.structs.replace(self, settings=settings, rates=self.taxes.on(business_day(at, settings)) or self.rates)


async def order_facts(command: Command[PlaceOrder], lookup: Lookup) -> SaleFacts:
    return await _load(command, lookup, tables=[command.body.table], items=command.body.items[:ITEMS_PER_ORDER_MAX])


async def orders_facts(command: Command[PlaceOrders], lookup: Lookup) -> SaleFacts:
    orders = command.body.orders[:ORDERS_PER_BATCH_MAX]
    items = (item for order in orders for item in order.items[:ITEMS_PER_ORDER_MAX])
    return await _load(command, lookup, tables=[order.table for order in orders], items=items)


async def sale_facts(command: Command[Sell], lookup: Lookup) -> SaleFacts:
    return await _load(command, lookup, items=command.body.items[:ITEMS_PER_ORDER_MAX])


async def table_facts(command: Command[CallCourse] | Command[MarkCleaned] | Command[PayTable], lookup: Lookup) -> SaleFacts:
    return await _load(command, lookup, tables=[command.body.table])


async def facts_of_tables(command: Command[Any], lookup: Lookup, tables: Iterable[str]) -> SaleFacts:
    return await _load(command, lookup, tables=tables)


async def _load(command: Command[Any], lookup: Lookup, *, tables: Iterable[str] = (), items: Iterable[Item] = ()) -> SaleFacts:
    items = tuple(items)
    keys = _keys(item.article for item in items if item.article is not None)
    instance = command.instance
    all_of_it = [str(instance)]
    asked_tables = lookup.rows("pos.tables", instance, _keys(tables), TABLE_COLUMNS)
    asked_articles = lookup.kept(_ARTICLES, instance, keys)
    asked_rates = lookup.kept(_TAX_RATES, instance, all_of_it if items else [])
    asked_rules = lookup.kept(_PRICE_RULES, instance, all_of_it if keys else [])
    found = {key: _table(key, rows[0]) for key, rows in (await asked_tables).items()}
    listed: Mapping[str, _Listed] = await asked_articles
    all_rules = (await asked_rules).get(all_of_it[0], ())
    rules = in_force(all_rules, command.happened, await _settings(instance, lookup)) if all_rules else []
    articles = await _articles(listed, rules, instance, lookup)
    taxes: TaxRates = (await asked_rates).get(all_of_it[0], NO_RATES)
    return SaleFacts(articles, taxes.on(business_day(command.happened)), found, taxes=taxes)


async def _settings(instance: int, lookup: Lookup) -> Settings:
    """How the house keeps its time, which only price rules need before deciding."""
    found = (await lookup.rows("pos.house", instance, [MAIN], ("settings",))).get(MAIN)
    return msgspec.json.decode(found[0]["settings"], type=Settings) if found else SETTINGS


def _keys(values: Iterable[str]) -> list[str]:
    return sorted({value for value in values if is_key(value)})


def _table(key: str, row: Any) -> TableFact:
    return TableFact(key, row["is_active"], row["needs_cleaning"], row["group_key"])


class _Listed(msgspec.Struct, frozen=True):
    """An article as it stands in the catalogue, and the keys of its option templates."""

    article: ArticleFact
    templates: tuple[str, ...]


def _listed(rows: Sequence[Any]) -> _Listed:
    row = rows[0]
    options = {option.id: option for option in options_of(row["options"])}
    article = ArticleFact(
        row["key"], row["name"], plain(row["price"]), row["tax_class"], row["group_key"], row["is_active"], options, row["course"]
    )
    return _Listed(article, keys_of(row["option_template_keys"]))


_ARTICLES: Final = RowsKept("inventory.articles", ARTICLE_COLUMNS, _listed)
_TAX_RATES: Final = RowsKept("inventory.tax_rates", TAX_RATE_COLUMNS, TaxRates, by="instance")
_PRICE_RULES: Final = RowsKept("inventory.price_rules", RULE_COLUMNS, tuple, by="instance")
_TEMPLATES: Final = RowsKept("inventory.option_templates", TEMPLATE_COLUMNS, lambda rows: template_of(rows[0]))
_GROUPS: Final = RowsKept(
    "inventory.article_groups", GROUP_COLUMNS, lambda rows: {row["key"]: row["parent_key"] for row in rows}, "instance"
)


async def _articles(listed: Mapping[str, _Listed], rules: Sequence[Any], instance: int, lookup: Lookup) -> dict[str, ArticleFact]:
    """Templates and groups are asked for only where there are any to ask for: most sales need neither."""
    named = _keys(key for found in listed.values() for key in found.templates)
    if not named and not rules:
        return {key: found.article for key, found in listed.items()}
    by_group = [str(instance)] if any(row["group_key"] is not None for row in rules) else []
    asked_templates = lookup.kept(_TEMPLATES, instance, named)
    asked_groups = lookup.kept(_GROUPS, instance, by_group)
    templates: Mapping[str, TemplateFact | None] = await asked_templates
    parents = (await asked_groups).get(str(instance), {})
    articles = {}
    for key, found in listed.items():
        offered = tuple(template for name in found.templates if (template := templates.get(name)) is not None)
        concerned = rules_of(key, found.article.group, rules, parents)
        articles[key] = msgspec.structs.replace(found.article, templates=offered, rules=concerned)
    return articles
