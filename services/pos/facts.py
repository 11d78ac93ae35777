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
from services.pos.settings import SETTINGS, Settings, business_day

ARTICLE_COLUMNS = ("key", "name", "price", "tax_class", "group_key", "is_active", "options", "course")
TAX_RATE_COLUMNS = ("tax_class", "rate", "valid_from")
TABLE_COLUMNS = ("key", "is_active", "needs_cleaning")


class OptionFact(msgspec.Struct, frozen=True):
    """An option an article offers; ``price`` is the surcharge in major units, gross, per unit of the article."""

    id: str
    name: str
    price: Decimal = Decimal(0)


class ArticleFact(msgspec.Struct, frozen=True):
    """``price`` in major units, gross, per unit."""

    key: str
    name: str
    price: Decimal
    tax_class: int
    group: str | None = None
    is_active: bool = True
    options: Mapping[str, OptionFact] = msgspec.field(default_factory=dict)
    course: int | None = None


class TableFact(msgspec.Struct, frozen=True):
    """``needs_cleaning``: guests who have paid leave it to be cleaned first."""

    key: str
    is_active: bool = True
    needs_cleaning: bool = False


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
    found = {key: _table(key, rows[0]) for key, rows in (await asked_tables).items()}
    articles = {key: _article(key, rows[0]) for key, rows in (await asked_articles).items()}
    by_class: dict[int, list[Any]] = {}
    for row in (await asked_rates).get(str(instance), ()):
        by_class.setdefault(row["tax_class"], []).append(row)
    rates = {class_: rate for class_, rows in by_class.items() if (rate := rate_on(day, rows)) is not None}
    return SaleFacts(articles, rates, found, all_rates=by_class)


def _keys(values: Iterable[str]) -> list[str]:
    return sorted({value for value in values if is_key(value)})


def rate_on(day: date, rows: Sequence[Any]) -> Decimal | None:
    """The rate of the row that came into force last, up to and on ``day``; None if none had yet."""
    valid = [row for row in rows if row["valid_from"] <= day]
    return plain(max(valid, key=lambda row: row["valid_from"])["rate"]) if valid else None


def _table(key: str, row: Any) -> TableFact:
    return TableFact(key, row["is_active"], row["needs_cleaning"])


def _article(key: str, row: Any) -> ArticleFact:
    options = {option.id: option for option in _options(row["options"])}
    return ArticleFact(key, row["name"], plain(row["price"]), row["tax_class"], row["group_key"], row["is_active"], options, row["course"])


def _options(raw: Any) -> list[OptionFact]:
    """A jsonb list, as text or already parsed."""
    if raw is None:
        return []
    if isinstance(raw, str | bytes):
        return msgspec.json.decode(raw, type=list[OptionFact])
    return msgspec.convert(raw, list[OptionFact], strict=False)
