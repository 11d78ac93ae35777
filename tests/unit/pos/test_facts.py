"""What the till asks of the query tables, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from libs.contracts.pos.commands import Item, PayTable, PlaceOrder, PlaceOrders, Sell
from libs.domain.decider import Command, RowsKept
from libs.domain.principal import Principal
from services.pos.facts import ArticleFact, OptionFact, SaleFacts, TableFact
from tests.unit.given import INSTANCE, NOON, given
from tests.unit.pos.inn import PAY_TABLE, PLACE_ORDER, PLACE_ORDERS, SELL, VOID, cash, d, free, item

OPTIONS = '[{"id": "opt_cheese", "name": "Extra Käse", "price": 1.20}, {"id": "opt_onions", "name": "ohne Zwiebeln", "price": 0}]'


def article(key: str, price: str, tax_class: int, options: Any = None) -> dict[str, Any]:
    return {
        "key": key,
        "name": key.title(),
        "price": Decimal(price),
        "tax_class": tax_class,
        "group_key": "artgrp_1",
        "is_active": True,
        "options": options,
        "course": None,
        "option_template_keys": None,
    }


def rate(tax_class: int, percent: str, valid_from: date) -> dict[str, Any]:
    return {"tax_class": tax_class, "rate": Decimal(percent), "valid_from": valid_from}


TABLES: dict[str, dict[str, list[dict[str, Any]]]] = {
    "inventory.articles": {
        "art_cola": [article("art_cola", "3.500000", 0)],
        "art_burger": [article("art_burger", "8.90", 1, OPTIONS)],
    },
    "inventory.tax_rates": {
        str(INSTANCE): [
            rate(0, "19.00", date(2021, 1, 1)),
            rate(1, "7.00", date(2026, 1, 1)),
            rate(0, "16.00", date(2020, 7, 1)),
            rate(2, "0", date(2030, 1, 1)),
            rate(0, "20", date(2026, 3, 6)),
        ]
    },
    "pos.tables": {
        "tbl_1": [{"key": "tbl_1", "number": 1, "name": "Tisch 1", "is_active": True, "needs_cleaning": True, "group_key": None}]
    },
    "inventory.price_rules": {},
    "inventory.option_templates": {},
    "inventory.article_groups": {},
}

RATES = ("inventory.tax_rates", (str(INSTANCE),))  # few rows, asked for at once with the articles
RULES = ("inventory.price_rules", (str(INSTANCE),))
BY_INSTANCE = ("inventory.tax_rates", "inventory.price_rules", "inventory.article_groups")


class Shelf:
    """Query tables in memory; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    async def rows(
        self, table: str, instance: int, keys: Sequence[str], columns: tuple[str, ...], by: str = "key"
    ) -> Mapping[str, Sequence[Any]]:
        assert instance == INSTANCE
        assert by == ("instance" if table in BY_INSTANCE else "key")
        assert len(set(keys)) == len(keys)
        if keys:  # a question without keys is none
            self.asked.append((table, tuple(keys)))
        found = {key: TABLES[table][key] for key in keys if key in TABLES[table]}
        return {key: [{column: row[column] for column in columns} for row in rows] for key, rows in found.items()}

    async def kept(self, what: RowsKept, instance: int, keys: Sequence[str]) -> Mapping[str, Any]:
        found = await self.rows(what.table, instance, keys, what.columns, what.by)
        return {key: what.made(rows) for key, rows in found.items()}

    async def referenced(self, table: str, column: str, instance: int, key: str, *, listed: bool = False) -> bool:
        raise AssertionError("the till asks for nothing by reference")


async def load(type_: Any, body: Any, at: datetime = NOON) -> tuple[SaleFacts, Shelf]:
    shelf = Shelf()
    facts = await type_.facts(Command(UUID(int=1), at, Principal(INSTANCE, "usr_anna"), body), shelf)
    return facts, shelf


async def test_a_sale_asks_for_its_articles_and_the_tax_rates() -> None:
    items = (item("cola"), item("burger"), item("cola"), item("gone"), free("Kuchen", "1.00", tax_class=2))
    facts, shelf = await load(SELL, Sell(items=items))
    assert shelf.asked == [
        ("inventory.articles", ("art_burger", "art_cola", "art_gone")),
        RULES,
        RATES,
    ]
    assert facts.articles == {
        "art_cola": ArticleFact("art_cola", "Art_Cola", d("3.5"), 0, "artgrp_1"),
        "art_burger": ArticleFact(
            "art_burger",
            "Art_Burger",
            d("8.9"),
            1,
            "artgrp_1",
            options={
                "opt_cheese": OptionFact("opt_cheese", "Extra Käse", d("1.20")),
                "opt_onions": OptionFact("opt_onions", "ohne Zwiebeln", d(0)),
            },
        ),
    }
    assert facts.rates == {0: d(19), 1: d(7)}, "class 2 has no rate yet"
    assert str(facts.rates[0]) == "19"


@pytest.mark.parametrize(
    ("at", "percent"),
    [
        (datetime(2020, 6, 30, 12, tzinfo=UTC), None),
        (datetime(2020, 7, 1, 12, tzinfo=UTC), 16),
        (datetime(2021, 1, 1, 1, tzinfo=UTC), 16),  # still the business day of New Year's Eve
        (datetime(2021, 1, 1, 12, tzinfo=UTC), 19),
        (NOON, 19),
        (datetime(2026, 3, 6, 12, tzinfo=UTC), 20),
    ],
)
async def test_the_rate_is_the_one_in_force_on_the_business_day(at: datetime, percent: int | None) -> None:
    facts, _ = await load(SELL, Sell(items=(item("cola"),)), at)
    assert facts.rates.get(0) == percent


async def test_options_may_come_parsed() -> None:
    parsed = [{"id": "opt_a", "name": "A", "price": 0.1}, {"id": "opt_b", "name": "B", "price": "0.35"}]
    TABLES["inventory.articles"]["art_parsed"] = [article("art_parsed", "1", 0, parsed)]
    try:
        facts, _ = await load(SELL, Sell(items=(item("parsed"),)))
    finally:
        del TABLES["inventory.articles"]["art_parsed"]
    assert [option.price for option in facts.articles["art_parsed"].options.values()] == [d("0.1"), d("0.35")]


async def test_orders_ask_for_tables_too() -> None:
    facts, shelf = await load(PLACE_ORDER, PlaceOrder(table="tbl_1", items=(item("cola"),)))
    assert facts.tables == {"tbl_1": TableFact("tbl_1", is_active=True, needs_cleaning=True)}
    assert sorted(shelf.asked) == [("inventory.articles", ("art_cola",)), RULES, RATES, ("pos.tables", ("tbl_1",))]
    batch = PlaceOrders(orders=tuple(PlaceOrder(table=table, items=(item("cola"),)) for table in ("tbl_1", "tbl_2", "tbl_1")))
    facts, shelf = await load(PLACE_ORDERS, batch)
    assert ("pos.tables", ("tbl_1", "tbl_2")) in shelf.asked
    assert set(facts.tables) == {"tbl_1"}


async def test_payments_ask_for_the_table_only_and_voids_for_nothing() -> None:
    assert VOID.facts is None
    _, shelf = await load(PAY_TABLE, PayTable(table="tbl_1"))
    assert shelf.asked == [("pos.tables", ("tbl_1",))]


async def test_what_can_be_no_key_is_never_looked_up() -> None:
    items = (Item(article="nul\x00", quantity=d(1)), Item(article="x" * 10_000, quantity=d(1)), free("Kuchen", "1", tax_class=10**30))
    _, shelf = await load(PLACE_ORDER, PlaceOrder(table="../etc", items=items))
    assert shelf.asked == [RATES]


async def test_an_endless_request_does_not_become_an_endless_look_up() -> None:
    items = tuple(item(str(ix)) for ix in range(1_000))
    _, shelf = await load(SELL, Sell(items=items))
    assert len(shelf.asked[0][1]) == 500
    orders = tuple(PlaceOrder(table=f"tbl_{ix}", items=(item("cola"),)) for ix in range(1_000))
    _, shelf = await load(PLACE_ORDERS, PlaceOrders(orders=orders))
    assert len(dict(shelf.asked)["pos.tables"]) == 200
    streams = PLACE_ORDERS.streams(Command(UUID(int=1), NOON, Principal(INSTANCE, "u"), PlaceOrders(orders=orders)))
    assert len([ref for ref in streams if not ref.reads]) == 200


async def test_a_sale_is_decided_on_what_was_loaded() -> None:
    body = Sell(items=(item("cola"), item("burger")), payments=(cash(),))
    facts, _ = await load(SELL, body)
    reply = given().when(SELL, body, facts=facts).reply
    assert (reply.gross, [line.group for line in reply.lines]) == (1240, ["artgrp_1", "artgrp_1"])
