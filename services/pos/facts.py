"""What a decision at the till rests on besides the streams, read from query tables before deciding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

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
from libs.domain.decider import Command, Lookup
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


class SaleFacts(msgspec.Struct, frozen=True):
    """Articles and tables by key and tax rates (percent) by class, as they are on the command's business day."""

    articles: Mapping[str, ArticleFact] = msgspec.field(default_factory=dict)
    rates: Mapping[int, Decimal] = msgspec.field(default_factory=dict)
    tables: Mapping[str, TableFact] = msgspec.field(default_factory=dict)
    settings: Settings = SETTINGS
    all_rates: Mapping[int, Sequence[Any]] = msgspec.field(default_factory=dict)

    def on(self, settings: Settings, at: datetime) -> SaleFacts:
        """The same in a house that keeps its books by ``settings``: rates as they are on its business day."""
        if settings == self.settings:
            return self
        day = business_day(at, settings)
        rates = {class_: rate for class_, rows in self.all_rates.items() if (rate := rate_on(day, rows)) is not None}
        return msgspec.structs.replace(self, settings=settings, rates=rates or self.rates)


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
    day = business_day(command.happened)
    instance = command.instance
    asked_tables = lookup.rows("pos.tables", instance, _keys(tables), TABLE_COLUMNS)
    asked_articles = lookup.rows("inventory.articles", instance, keys, ARTICLE_COLUMNS)
    asked_rates = lookup.rows("inventory.tax_rates", instance, [str(instance)] if items else [], TAX_RATE_COLUMNS, by="instance")
    asked_rules = lookup.rows("inventory.price_rules", instance, [str(instance)] if keys else [], RULE_COLUMNS, by="instance")
    found = {key: _table(key, rows[0]) for key, rows in (await asked_tables).items()}
    rows_of_articles = {key: rows[0] for key, rows in (await asked_articles).items()}
    all_rules = (await asked_rules).get(str(instance), ())
    rules = in_force(all_rules, command.happened, await _settings(instance, lookup)) if all_rules else []
    articles = await _articles(rows_of_articles, rules, instance, lookup)
    by_class: dict[int, list[Any]] = {}
    for row in (await asked_rates).get(str(instance), ()):
        by_class.setdefault(row["tax_class"], []).append(row)
    rates = {class_: rate for class_, rows in by_class.items() if (rate := rate_on(day, rows)) is not None}
    return SaleFacts(articles, rates, found, all_rates=by_class)


async def _settings(instance: int, lookup: Lookup) -> Settings:
    """How the house keeps its time, which only price rules need before deciding."""
    found = (await lookup.rows("pos.house", instance, [MAIN], ("settings",))).get(MAIN)
    return msgspec.json.decode(found[0]["settings"], type=Settings) if found else SETTINGS


def _keys(values: Iterable[str]) -> list[str]:
    return sorted({value for value in values if is_key(value)})


def rate_on(day: date, rows: Sequence[Any]) -> Decimal | None:
    """The rate of the row that came into force last, up to and on ``day``; None if none had yet."""
    valid = [row for row in rows if row["valid_from"] <= day]
    return plain(max(valid, key=lambda row: row["valid_from"])["rate"]) if valid else None


def _table(key: str, row: Any) -> TableFact:
    return TableFact(key, row["is_active"], row["needs_cleaning"], row["group_key"])


async def _articles(found: Mapping[str, Any], rules: Sequence[Any], instance: int, lookup: Lookup) -> dict[str, ArticleFact]:
    """Templates and groups are asked for only where there are any to ask for: most sales need neither."""
    named = {key: keys_of(row["option_template_keys"]) for key, row in found.items()}
    asked_templates = lookup.rows("inventory.option_templates", instance, _keys(sum(named.values(), ())), TEMPLATE_COLUMNS)
    by_group = [str(instance)] if any(row["group_key"] is not None for row in rules) else []
    asked_groups = lookup.rows("inventory.article_groups", instance, by_group, GROUP_COLUMNS, by="instance")
    templates = {key: template_of(rows[0]) for key, rows in (await asked_templates).items()}
    parents = {row["key"]: row["parent_key"] for row in (await asked_groups).get(str(instance), ())}
    articles = {}
    for key, row in found.items():
        offered = tuple(template for name in named[key] if (template := templates.get(name)) is not None)
        articles[key] = _article(key, row, offered, rules_of(key, row["group_key"], rules, parents))
    return articles


def _article(key: str, row: Any, templates: tuple[TemplateFact, ...], rules: tuple[RuleFact, ...]) -> ArticleFact:
    options = {option.id: option for option in options_of(row["options"])}
    price, group = plain(row["price"]), row["group_key"]
    return ArticleFact(key, row["name"], price, row["tax_class"], group, row["is_active"], options, row["course"], templates, rules)
