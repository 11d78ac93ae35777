"""Orders, courses and cleaning: a table goes from free to occupied, to be cleaned, and free again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from libs.contracts.pos.commands import CallCourse, MarkCleaned, PlaceOrder, PlaceOrders, TableStatus
from libs.contracts.pos.events import CourseCalled, LineOption, OrderLine, OrderPlaced, TableCleaned, TableState
from libs.domain.errors import Kind
from libs.domain.ids import derived, key_of
from services.pos.tabs import TAB, Tab, line_keys, tab_refs
from tests.unit.given import NOON, STAFF, Outcome, given
from tests.unit.pos.inn import (
    CALL_COURSE,
    FACTS,
    MARK_CLEANED,
    PLACE_ORDER,
    PLACE_ORDERS,
    TYPES,
    d,
    free,
    ids,
    item,
    option,
    order,
    order_all,
    pay,
)


def tab(outcome: Outcome, table: str = "tbl_1") -> Tab:
    state: Tab = outcome.log.state(tab_refs([table])[0])
    return state


def status(outcome: Outcome, table: str = "tbl_1") -> TableState:
    return tab(outcome, table).state


def test_an_order_occupies_the_table_and_is_answered_with_an_id_per_line() -> None:
    outcome = order(given(), "tbl_1", item("cola", 2, seat=3), item("burger", options=(option("cheese"),), course=2, note="medium"))
    command = outcome.command.id
    outcome.then(
        OrderPlaced(
            table="tbl_1",
            order=key_of("ord", derived(command, "order:0")),
            lines=(
                OrderLine(
                    id=line_keys(command, 0)(0),
                    name="Cola 0,3l",
                    quantity=d(2),
                    price=d("3.50"),
                    unit_price=d("3.50"),
                    total=700,
                    tax_class=0,
                    tax_rate=d(19),
                    article="art_cola",
                    group="artgrp_drinks",
                    seat=3,
                ),
                OrderLine(
                    id=line_keys(command, 0)(1),
                    name="Burger",
                    quantity=d(1),
                    price=d("8.90"),
                    unit_price=d("10.10"),
                    total=1010,
                    tax_class=1,
                    tax_rate=d(7),
                    article="art_burger",
                    options=(LineOption(option="opt_cheese", name="Extra Käse", surcharge=d("1.20")),),
                    course=2,
                    note="medium",
                ),
            ),
            staff=STAFF,
            at=NOON,
        )
    )
    assert status(outcome) is TableState.OCCUPIED
    reply = outcome.reply
    assert (reply.id, reply.table, reply.staff, reply.placed_at) == (outcome.events[0].order, "tbl_1", STAFF, NOON)  # type: ignore[attr-defined]
    assert reply.lines == outcome.events[0].lines  # type: ignore[attr-defined]


def test_ids_follow_from_the_command_and_are_never_shared() -> None:
    one, other = UUID(int=2**128 - 1), UUID(int=7)
    made = [line_keys(command, order)(ix) for command in (one, other) for order in range(200) for ix in range(500)]
    assert len(set(made)) == len(made)
    assert line_keys(one, 3)(4) == line_keys(one, 3)(4)
    assert all(id_.startswith("obn_") and len(id_) == 30 for id_ in made)


def test_two_devices_adding_lines_lose_none() -> None:
    first = order(given(), "tbl_1", item("cola"), by="usr_anna")
    second = order(first, "tbl_1", item("cola"), item("soup"), by="usr_ben")
    assert list(tab(second).lines) == [*ids(first), *ids(second)]
    assert len(set(tab(second).lines)) == 3
    assert first.repeated() == first.reply
    assert [line.placed.staff for line in tab(second).lines.values()] == ["usr_anna", "usr_ben", "usr_ben"]


def test_a_batch_serves_several_tables_and_one_of_them_twice() -> None:
    outcome = order_all(given(), ("tbl_1", item("cola")), ("tbl_2", item("soup")), ("tbl_1", item("wine"), item("five")))
    assert [(reply.table, len(reply.lines)) for reply in outcome.reply.orders] == [("tbl_1", 1), ("tbl_2", 1), ("tbl_1", 2)]
    assert len({line.id for reply in outcome.reply.orders for line in reply.lines}) == 4
    assert [event.stream for event in outcome.recorded] == ["tab-tbl_1", "tab-tbl_1", "tab-tbl_2"]
    later = pay(outcome, "tbl_1")
    assert later.reply.gross == 350 + 1000 + 5
    assert outcome.repeated() == outcome.reply


def test_a_batch_is_all_or_nothing_and_names_every_fault() -> None:
    outcome = order_all(given(), ("tbl_1", item("cola")), ("tbl_2", item("soup", 0)), ("tbl_9", item("cola"), item("soup", seat=0)))
    outcome.refused(Kind.INVALID, "invalid_fields", "orders[1].items[0].quantity", "orders[2].items[1].seat")
    assert outcome.log.recorded == []
    only_table = order_all(given(), ("tbl_1", item("cola")), ("tbl_9", item("cola")))
    only_table.refused(Kind.NOT_FOUND, "table_not_found", "orders[1].table")
    assert only_table.log.recorded == []


def test_a_batch_is_bounded() -> None:
    given().when(PLACE_ORDERS, PlaceOrders(orders=()), facts=FACTS).refused(Kind.INVALID, "invalid_fields", "orders: empty")
    orders = (PlaceOrder(table="tbl_1", items=(item("cola"),)),) * 201
    given().when(PLACE_ORDERS, PlaceOrders(orders=orders), facts=FACTS).refused(Kind.INVALID, "invalid_fields", "orders: too_many")
    assert len(given().when(PLACE_ORDERS, PlaceOrders(orders=orders[:200]), facts=FACTS).reply.orders) == 200


@pytest.mark.parametrize("table", ["tbl_9", "", "a b", "x" * 65, "nul\x00", "tbl_1\n", "ü"])
def test_an_unknown_table_is_not_found(table: str) -> None:
    order(given(), table, item("cola")).refused(Kind.NOT_FOUND, "table_not_found", "table")
    pay(given(), table).refused(Kind.NOT_FOUND, "table_not_found", "table")
    given().when(CALL_COURSE, CallCourse(table=table, course=1), facts=FACTS).refused(Kind.NOT_FOUND, "table_not_found", "table")
    given().when(MARK_CLEANED, MarkCleaned(table=table), facts=FACTS).refused(Kind.NOT_FOUND, "table_not_found", "table")


def test_a_table_out_of_use_takes_no_orders() -> None:
    order(given(), "tbl_shut", item("cola")).refused(Kind.CONFLICT, "table_inactive", "table")


def test_a_table_takes_lines_up_to_its_limit_and_all_of_them_can_be_paid() -> None:
    outcome = order(given(), "tbl_1", *[item("five")] * 500)
    for _ in range(3):
        outcome = order(outcome, "tbl_1", *[item("five")] * 500)
    order(outcome, "tbl_1", item("five")).refused(Kind.CONFLICT, "too_many_open_lines", "table")
    pay(outcome).refused(Kind.CONFLICT, "too_many_open_lines", "table")
    lines = list(tab(outcome).lines)
    for start in range(0, 1500, 500):
        outcome = pay(outcome, items=[(line, None) for line in lines[start : start + 500]])
        assert outcome.reply.gross == 2500
    assert pay(outcome).reply.gross == 2500


def test_a_table_that_is_never_quite_paid_does_not_remember_for_ever() -> None:
    outcome = order(given(), "tbl_1", item("wine"))
    kept = ids(outcome)
    for _ in range(6):
        outcome = order(outcome, "tbl_1", *[item("five")] * 500)
        assert outcome.repeated() == outcome.reply
        outcome = pay(outcome, items=[(line.line.id, None) for line in tab(outcome).open_lines()[1:]])
    assert len(tab(outcome).lines) <= 2000
    assert [line.line.id for line in tab(outcome).open_lines()] == kept


def test_limits_count_across_a_batch() -> None:
    outcome = order_all(given(), *[("tbl_1", *[item("five")] * 500)] * 4, ("tbl_2", item("five")))
    assert len(tab(outcome).lines) == 2000
    order_all(given(), *[("tbl_1", *[item("five")] * 500)] * 5).refused(Kind.CONFLICT, "too_many_open_lines", "orders[4].table")


def call(at: Outcome, course: int, table: str = "tbl_1") -> Outcome:
    return at.when(CALL_COURSE, CallCourse(table=table, course=course), facts=FACTS)


def test_courses_are_called_as_they_were_ordered() -> None:
    placed = order(given(), "tbl_1", item("soup", course=1), item("burger", course=2), item("cola"))
    called = call(placed, 1)
    called.then(CourseCalled(table="tbl_1", course=1, staff=STAFF, at=NOON))
    assert called.reply == TableStatus(table="tbl_1", state=TableState.OCCUPIED, course=1, open_lines=3, open_amount=1830)
    second = call(called, 2)
    assert second.reply.course == 2
    assert call(second, 2).reply.course == 2, "the kitchen may be reminded"
    assert called.repeated().course == 1


def test_a_later_order_does_not_take_the_called_course_back() -> None:
    called = call(order(given(), "tbl_1", item("soup", course=1)), 1)
    assert tab(order(called, "tbl_1", item("wine"))).course == 1


def test_a_course_nobody_ordered_is_not_called() -> None:
    placed = order(given(), "tbl_1", item("soup", course=1), item("cola"))
    call(placed, 2).refused(Kind.CONFLICT, "course_not_ordered", "course")
    call(placed, 0).refused(Kind.INVALID, "invalid_fields", "course: out_of_range")
    call(placed, 21).refused(Kind.INVALID, "invalid_fields", "course: out_of_range")
    call(placed, 1, table="tbl_2").refused(Kind.CONFLICT, "table_not_occupied", "table")


def test_a_course_paid_beforehand_is_still_called() -> None:
    placed = order(given(), "tbl_1", item("soup", course=1), item("cola"))
    paid = pay(placed, items=[(ids(placed)[0], None)])
    assert call(paid, 1).reply == TableStatus(table="tbl_1", state=TableState.OCCUPIED, course=1, open_lines=1, open_amount=350)


def clean(at: Outcome, table: str) -> Outcome:
    return at.when(MARK_CLEANED, MarkCleaned(table=table), facts=FACTS, at=NOON + timedelta(hours=1))


def test_a_paid_table_waits_to_be_cleaned_and_is_then_free() -> None:
    placed = order(given(), "tbl_clean", item("soup", course=1))
    paid = pay(call(placed, 1, "tbl_clean"), "tbl_clean")
    assert status(paid, "tbl_clean") is TableState.NEEDS_CLEANING
    order(paid, "tbl_clean", item("cola")).refused(Kind.CONFLICT, "table_needs_cleaning", "table")
    call(paid, 1, "tbl_clean").refused(Kind.CONFLICT, "table_not_occupied", "table")
    cleaned = clean(paid, "tbl_clean")
    cleaned.then(TableCleaned(table="tbl_clean", staff=STAFF, at=NOON + timedelta(hours=1)))
    assert cleaned.reply == TableStatus(table="tbl_clean", state=TableState.FREE, course=None, open_lines=0, open_amount=0)
    assert status(order(cleaned, "tbl_clean", item("cola")), "tbl_clean") is TableState.OCCUPIED


def test_only_a_table_that_waits_for_it_is_cleaned() -> None:
    placed = order(given(), "tbl_clean", item("soup"))
    clean(placed, "tbl_clean").refused(Kind.CONFLICT, "table_needs_no_cleaning", "table")
    clean(placed, "tbl_2").refused(Kind.CONFLICT, "table_needs_no_cleaning", "table")
    cleaned = clean(pay(placed, "tbl_clean"), "tbl_clean")
    clean(cleaned, "tbl_clean").refused(Kind.CONFLICT, "table_needs_no_cleaning", "table")


def test_a_free_table_is_at_rest_and_as_new() -> None:
    assert TAB.at_rest is not None
    placed = order(given(), "tbl_1", item("soup", course=1))
    assert not TAB.at_rest(tab(placed))
    paid = pay(call(placed, 1))
    assert TAB.at_rest(tab(paid))
    assert tab(paid) == TAB.initial
    dirty = pay(order(given(), "tbl_clean", item("soup")), "tbl_clean")
    assert not TAB.at_rest(tab(dirty, "tbl_clean"))
    assert tab(clean(dirty, "tbl_clean"), "tbl_clean") == TAB.initial


def test_an_order_without_items_is_refused() -> None:
    order(given(), "tbl_1").refused(Kind.INVALID, "invalid_fields", "items: empty")


def test_a_free_article_and_a_discount_go_on_the_tab() -> None:
    reply = order(given(), "tbl_1", free("Kuchen", "2.80", discount_percent=d(25)), item("cola", discount_amount=50)).reply
    assert [(line.name, line.discount, line.discount_percent, line.total) for line in reply.lines] == [
        ("Kuchen", 70, d(25), 210),
        ("Cola 0,3l", 50, None, 300),
    ]


def test_every_command_has_a_right_and_a_name_of_its_own() -> None:
    assert set(TYPES) == {
        "tab.place_order",
        "tab.place_orders",
        "tab.call_course",
        "tab.mark_cleaned",
        "tab.change_line",
        "tab.cancel_line",
        "tab.set_kitchen_state",
        "tab.move",
        "tab.merge",
        "tab.split",
        "tab.move_line",
        "tab.transfer",
        "tab.print_interim_bill",
        "receipt.sell",
        "receipt.pay_table",
        "receipt.void",
        "receipt.refund",
        "house.change_settings",
        "shift.open",
    }
    assert {type_.permission for type_ in TYPES.values()} == {
        "pos.orders",
        "pos.kitchen",
        "pos.transfer",
        "pos.payments",
        "pos.own_voids",
        "pos.settings",
    }
    assert PLACE_ORDER.body is PlaceOrder
