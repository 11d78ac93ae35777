"""A small inn to test in: its articles, tax rates and tables, and short ways to say what happens there."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from libs.contracts.pos.commands import Item, OptionChoice, PaidItem, Payment, PayTable, PlaceOrder, PlaceOrders, Sell
from services.pos import house, receipts, tabs, taking_back
from services.pos.facts import ArticleFact, OptionFact, SaleFacts, TableFact
from tests.unit.given import Given, Outcome, given

TYPES = {type_.name: type_ for type_ in (*tabs.COMMANDS, *receipts.COMMANDS, *taking_back.COMMANDS, *house.COMMANDS)}
PLACE_ORDER = TYPES["tab.place_order"]
PLACE_ORDERS = TYPES["tab.place_orders"]
CALL_COURSE = TYPES["tab.call_course"]
MARK_CLEANED = TYPES["tab.mark_cleaned"]
SELL = TYPES["receipt.sell"]
PAY_TABLE = TYPES["receipt.pay_table"]
VOID = TYPES["receipt.void"]
REFUND = TYPES["receipt.refund"]
CHANGE_LINE = TYPES["tab.change_line"]
CANCEL_LINE = TYPES["tab.cancel_line"]
SET_KITCHEN_STATE = TYPES["tab.set_kitchen_state"]
MOVE = TYPES["tab.move"]
MERGE = TYPES["tab.merge"]
SPLIT = TYPES["tab.split"]
MOVE_LINE = TYPES["tab.move_line"]
HAND_OVER = TYPES["tab.transfer"]
INTERIM_BILL = TYPES["tab.print_interim_bill"]

CASH, CARD, NET_CASH, NET_CARD, TRANSFER = 0, 1, 3, 4, 5


def d(value: str | int) -> Decimal:
    return Decimal(value)


CHEESE = OptionFact("opt_cheese", "Extra Käse", d("1.20"))
NO_ONIONS = OptionFact("opt_onions", "ohne Zwiebeln")
NO_MEAT = OptionFact("opt_meat", "ohne Fleisch", d("-9.00"))

ARTICLES = {
    article.key: article
    for article in (
        ArticleFact("art_cola", "Cola 0,3l", d("3.50"), 0, group="artgrp_drinks"),
        ArticleFact("art_soup", "Tagessuppe", d("5.90"), 1),
        ArticleFact("art_cake", "Torte", d("4.80"), 1, course=3),
        ArticleFact("art_burger", "Burger", d("8.90"), 1, options={option.id: option for option in (CHEESE, NO_ONIONS, NO_MEAT)}),
        ArticleFact("art_wine", "Rotwein Flasche", d("10.00"), 0),
        ArticleFact("art_penny", "Zahnstocher", d("0.01"), 0),
        ArticleFact("art_five", "Bonbon", d("0.05"), 0),
        ArticleFact("art_voucher", "Gutschein 25", d("25.00"), 99),
        ArticleFact("art_old", "Sommerbowle", d("4.00"), 0, is_active=False),
        ArticleFact("art_strange", "Sonderposten", d("4.00"), 55),
    )
}
FACTS = SaleFacts(
    articles=ARTICLES,
    rates={0: d(19), 1: d(7), 2: d(0), 99: d(0)},
    tables={
        table.key: table
        for table in (
            TableFact("tbl_1"),
            TableFact("tbl_2"),
            TableFact("tbl_clean", needs_cleaning=True),
            TableFact("tbl_shut", is_active=False),
        )
    },
)


def item(article: str, quantity: str | int = 1, **more: Any) -> Item:
    return Item(article=f"art_{article}", quantity=d(quantity), **more)


def free(name: str, price: str, quantity: str | int = 1, tax_class: int = 0, **more: Any) -> Item:
    return Item(name=name, price=d(price), quantity=d(quantity), tax_class=tax_class, **more)


def option(name: str, quantity: int = 1) -> OptionChoice:
    return OptionChoice(option=f"opt_{name}", quantity=quantity)


def cash(amount: int | None = None) -> Payment:
    return Payment(type=CASH, amount=amount)


def card(amount: int | None = None) -> Payment:
    return Payment(type=CARD, amount=amount)


def order(at: Given | Outcome, table: str, *items: Item, **how: Any) -> Outcome:
    return at.when(PLACE_ORDER, PlaceOrder(table=table, items=items), facts=FACTS, **how)


def order_all(at: Given | Outcome, *orders: tuple[Any, ...], **how: Any) -> Outcome:
    """Each order a table's key and its items."""
    body = PlaceOrders(orders=tuple(PlaceOrder(table=table, items=tuple(items)) for table, *items in orders))
    return at.when(PLACE_ORDERS, body, facts=FACTS, **how)


def sell(*items: Item, payments: tuple[Payment, ...] = (cash(),), at: Given | Outcome | None = None, **more: Any) -> Outcome:
    return (at or given()).when(SELL, Sell(items=items, payments=payments, **more), facts=FACTS)


def pay(
    at: Given | Outcome,
    table: str = "tbl_1",
    items: list[tuple[str, str | None]] | None = None,
    payments: tuple[Payment, ...] = (cash(),),
    facts: SaleFacts = FACTS,
    **more: Any,
) -> Outcome:
    chosen = None
    if items is not None:
        chosen = tuple(PaidItem(line=line, quantity=None if quantity is None else d(quantity)) for line, quantity in items)
    return at.when(PAY_TABLE, PayTable(table=table, items=chosen, payments=payments, **more), facts=facts)


def ids(placed: Outcome) -> list[str]:
    """The line ids of an order's answer."""
    return [line.id for line in placed.reply.lines]
