"""Option templates ask their questions, and price rules change prices, at the hour and the table they are for."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from libs.contracts.pos.commands import Item, PlaceOrder
from services.pos.facts import ArticleFact, SaleFacts, TableFact
from services.pos.offers import OptionFact, RuleFact, TemplateFact, decisive, in_force, rules_of
from services.pos.settings import SETTINGS
from tests.unit.given import Outcome, given
from tests.unit.pos.inn import PLACE_ORDER, d, item, option

SIZES = TemplateFact(
    "opt_size", "Größe", {"opt_half": OptionFact("opt_half", "halbe", d(0), "1/2"), "opt_full": OptionFact("opt_full", "ganze")}
)
SAUCES = TemplateFact(
    "opt_sauce", "Soße", {f"opt_{name}": OptionFact(f"opt_{name}", name, d("0.80")) for name in ("pepper", "mushroom", "herbs")}, 1, 2
)


def facts(*templates: TemplateFact, rules: tuple[RuleFact, ...] = (), price: str = "17.90") -> SaleFacts:
    steak = ArticleFact("art_steak", "Steak", d(price), 0, "artgrp_1", templates=templates, rules=rules)
    return SaleFacts({"art_steak": steak}, {0: d(19)}, {"tbl_1": TableFact("tbl_1", area="tblgrp_bar"), "tbl_2": TableFact("tbl_2")})


def ordered(known: SaleFacts, *items: Item, table: str = "tbl_1") -> Outcome:
    return given().when(PLACE_ORDER, PlaceOrder(table=table, items=items), facts=known)


def faults(outcome: Outcome) -> list[tuple[str, str]]:
    assert outcome.error is not None
    return [(fault.path, fault.reason) for fault in outcome.error.fields]


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ([], "too_few_choices"),
        ([option("pepper", 2), option("herbs")], "too_many_choices"),
        ([option("pepper", 3)], "too_many_choices"),
        ([option("pepper")], None),
        ([option("pepper"), option("herbs")], None),
    ],
)
def test_a_template_asks_as_often_as_it_must(chosen: list[Any], reason: str | None) -> None:
    outcome = ordered(facts(SAUCES), item("steak", options=tuple(chosen)))
    if reason is not None:
        assert faults(outcome) == [("items[0].options", reason)]
    else:
        [line] = outcome.reply.lines
        assert line.unit_price == d("17.90") + d("0.80") * len(chosen)


def test_an_optional_template_may_stay_unanswered_and_knows_only_its_own() -> None:
    assert ordered(facts(SIZES), item("steak")).reply.lines[0].unit_price == d("17.90")
    assert faults(ordered(facts(SIZES), item("steak", options=(option("ketchup"),)))) == [
        ("items[0].options[0].option", "option_not_offered")
    ]


@pytest.mark.parametrize(("price", "unit"), [("17.90", "8.95"), ("0.01", "0.01"), ("9.99", "5")])
def test_a_part_of_an_article_costs_that_part(price: str, unit: str) -> None:
    [line] = ordered(facts(SIZES, price=price), item("steak", 3, options=(option("half"),))).reply.lines
    assert (line.price, line.unit_price) == (d(price), d(unit))
    assert line.total == int(d(unit) * 300)


def test_an_article_is_divided_once() -> None:
    third = TemplateFact("opt_x", "Teil", {"opt_third": OptionFact("opt_third", "Drittel", d(0), "1/3")})
    twice = ordered(facts(SIZES, third), item("steak", options=(option("half"), option("third"))))
    assert ("items[0].options", "one_fraction_only") in faults(twice)
    assert faults(ordered(facts(SIZES), item("steak", options=(option("half", 2),)))) == [("items[0].options[0].quantity", "out_of_range")]


def rule(id_: int, distance: int = 0, area: str | None = None, **change: Any) -> RuleFact:
    return RuleFact(f"prule_{id_}", id_, distance, area, **change)


def test_a_rule_makes_the_price_and_the_line_says_which() -> None:
    known = facts(rules=(rule(1, amount=d("-1.90")),))
    [line] = ordered(known, item("steak", 2)).reply.lines
    assert (line.price, line.unit_price, line.total, line.price_rule) == (d("16"), d("16"), 3200, "prule_1")
    [line] = ordered(known, item("steak", price=d("20"))).reply.lines
    assert (line.price, line.price_rule) == (d("20"), None), "a price that was given beats every rule"


@pytest.mark.parametrize(
    ("change", "price"),
    [
        ({"percent": d("-50")}, "8.95"),
        ({"percent": d("10")}, "19.69"),
        ({"percent": d("-33.33")}, "11.93"),
        ({"amount": d("-100")}, "0"),
        ({"percent": d("-100")}, "0"),
    ],
)
def test_changes_of_a_price(change: dict[str, Decimal], price: str) -> None:
    [line] = ordered(facts(rules=(rule(1, **change),)), item("steak")).reply.lines
    assert line.price == d(price)


def test_rules_of_an_area_hold_at_its_tables_only() -> None:
    known = facts(rules=(rule(1, amount=d(-1)), rule(2, area="tblgrp_bar", amount=d(-2))))
    assert [ordered(known, item("steak"), table=table).reply.lines[0].price_rule for table in ("tbl_1", "tbl_2")] == ["prule_2", "prule_1"]


def test_the_more_specific_rule_wins_then_the_newer() -> None:
    rules = [rule(9, 2), rule(5, 1), rule(6, 1), rule(3, 0, "tblgrp_bar"), rule(2, 0)]
    order = []
    while (best := decisive(rules, "tblgrp_bar")) is not None:
        order.append(best.id)
        rules.remove(best)
    assert order == [3, 2, 6, 5, 9]


def row(**values: Any) -> dict[str, Any]:
    names = (
        "key",
        "id",
        "article_key",
        "group_key",
        "area_key",
        "time_from",
        "time_to",
        "starts_on",
        "ends_on",
        "change_amount",
        "change_percent",
    )
    return {**dict.fromkeys(names), "weekdays": None, "is_active": True, **values}


@pytest.mark.parametrize(
    ("values", "at", "holds"),
    [
        ({"time_from": "17:00", "time_to": "19:00"}, datetime(2026, 3, 5, 16, 0, tzinfo=UTC), True),  # 17:00 in Berlin
        ({"time_from": "17:00", "time_to": "19:00"}, datetime(2026, 3, 5, 15, 59, 59, tzinfo=UTC), False),
        ({"time_from": "17:00", "time_to": "19:00"}, datetime(2026, 3, 5, 18, 0, tzinfo=UTC), False),
        ({"time_from": "17:00", "time_to": "19:00"}, datetime(2026, 7, 5, 15, 0, tzinfo=UTC), True),  # summer time
        (
            {"time_from": "22:00", "time_to": "02:00", "weekdays": "[5]"},
            datetime(2026, 3, 7, 0, 30, tzinfo=UTC),
            True,
        ),  # still Friday's evening
        ({"time_from": "22:00", "time_to": "02:00", "weekdays": "[6]"}, datetime(2026, 3, 7, 0, 30, tzinfo=UTC), False),
        ({"time_from": "22:00", "time_to": "02:00"}, datetime(2026, 3, 7, 1, 0, tzinfo=UTC), False),
        ({"starts_on": date(2026, 3, 5), "ends_on": date(2026, 3, 5)}, datetime(2026, 3, 6, 2, 0, tzinfo=UTC), True),  # 3 in the morning
        ({"starts_on": date(2026, 3, 6)}, datetime(2026, 3, 6, 2, 0, tzinfo=UTC), False),
        ({"ends_on": date(2026, 3, 5)}, datetime(2026, 3, 6, 4, 0, tzinfo=UTC), False),
        ({"is_active": False}, datetime(2026, 3, 5, 12, 0, tzinfo=UTC), False),
        ({"weekdays": [4]}, datetime(2026, 3, 5, 12, 0, tzinfo=UTC), True),
    ],
)
def test_a_rule_holds_by_the_clock_and_calendar_of_the_house(values: dict[str, Any], at: datetime, holds: bool) -> None:
    assert bool(in_force([row(**values)], at, SETTINGS)) is holds


def test_a_rule_of_a_group_holds_for_all_below_it_even_in_a_ring() -> None:
    rules = [row(key="a", id=1, group_key="top"), row(key="b", id=2, article_key="art_1"), row(key="c", id=3, group_key="elsewhere")]
    found = rules_of("art_1", "low", rules, {"low": "top", "top": "low"})
    assert [(one.key, one.distance) for one in found] == [("a", 2), ("b", 0)]


@examples(
    price=st.decimals(min_value=0, max_value=1000, places=2),
    percent=st.none() | st.decimals(min_value=-100, max_value=200, places=2),
    amount=st.decimals(min_value=-50, max_value=50, places=2),
    quantity=st.integers(min_value=1, max_value=20),
    half=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_the_rule_and_the_part_the_line_adds_up(
    price: Decimal, percent: Decimal | None, amount: Decimal, quantity: int, half: bool
) -> None:
    change = rule(1, percent=percent) if percent is not None else rule(1, amount=amount)
    known = facts(SIZES, rules=(change,), price=str(price))
    [line] = ordered(known, item("steak", quantity, options=(option("half"),) if half else ())).reply.lines
    assert line.price == change.price(price) >= 0
    assert line.unit_price == line.price + sum(one.surcharge * one.quantity for one in line.options) >= 0
    assert line.total == int((line.unit_price * quantity * 100).quantize(Decimal(1), rounding="ROUND_HALF_UP"))
