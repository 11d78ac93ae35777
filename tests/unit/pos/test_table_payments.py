"""Paying a table: whole, by lines, by parts of a line, and what stays open."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from libs.contracts.pos.events import LinesPaid, PaidPart, PaymentTaken, TableState
from libs.domain.errors import Kind
from services.pos.facts import SaleFacts, TableFact
from services.pos.tabs import tab_refs
from tests.unit.given import NOON, STAFF, Outcome, given
from tests.unit.pos.inn import CARD, CASH, FACTS, card, cash, d, free, ids, item, option, order, pay


def open_amount(outcome: Outcome, table: str = "tbl_1") -> int:
    return sum(line.open_amount for line in outcome.log.state(tab_refs([table])[0]).open_lines())


def test_everything_open_is_paid_and_the_table_is_free() -> None:
    placed = order(given(), "tbl_1", item("cola", 2, seat=1, course=1), item("soup"))
    paid = pay(placed, payments=(card(1000), cash(500)), tip=100)
    cola, soup = ids(placed)
    assert paid.events[1] == LinesPaid(
        table="tbl_1",
        receipt=paid.reply.id,
        parts=(PaidPart(line=cola, quantity=d(2), amount=700), PaidPart(line=soup, quantity=d(1), amount=590)),
        leaves=TableState.FREE,
        staff=STAFF,
        at=NOON,
    )
    assert [event.stream for event in paid.recorded] == [f"receipt-{paid.reply.id}", "tab-tbl_1"]
    reply = paid.reply
    assert (reply.gross, reply.tip, reply.change, reply.table, reply.number) == (1290, 100, 110, "tbl_1", 1)
    assert reply.payments == (PaymentTaken(type=CARD, amount=1000), PaymentTaken(type=CASH, amount=500))
    assert [(line.id, line.seat, line.course) for line in reply.lines] == [(cola, 1, 1), (soup, None, None)]


def test_chosen_lines_are_paid_and_the_rest_stays() -> None:
    placed = order(given(), "tbl_1", item("cola"), item("soup"), item("wine"))
    cola, soup, wine = ids(placed)
    paid = pay(placed, items=[(wine, None), (cola, None)])
    assert [line.id for line in paid.reply.lines] == [wine, cola], "as the guests named them"
    assert paid.events[1].leaves is TableState.OCCUPIED  # type: ignore[attr-defined]
    assert open_amount(paid) == 590
    rest = pay(paid)
    assert [line.id for line in rest.reply.lines] == [soup]
    assert rest.events[1].leaves is TableState.FREE  # type: ignore[attr-defined]
    assert paid.repeated() == paid.reply


def test_one_of_three_colas_is_paid() -> None:
    placed = order(given(), "tbl_1", item("cola", 3))
    paid = pay(placed, items=[(ids(placed)[0], "1")])
    assert [(line.quantity, line.unit_price, line.total) for line in paid.reply.lines] == [(d(1), d("3.5"), 350)]
    assert open_amount(paid) == 700
    rest = pay(paid)
    assert [(line.quantity, line.total) for line in rest.reply.lines] == [(d(2), 700)]


def test_three_thirds_of_a_bottle_are_a_bottle() -> None:
    placed = order(given(), "tbl_1", item("wine"))
    wine = ids(placed)[0]
    first = pay(placed, items=[(wine, "0.333")])
    second = pay(first, items=[(wine, "0.333")])
    third = pay(second)
    assert [(paid.reply.lines[0].quantity, paid.reply.gross) for paid in (first, second, third)] == [
        (d("0.333"), 333),
        (d("0.333"), 333),
        (d("0.334"), 334),
    ]
    assert third.events[1].leaves is TableState.FREE  # type: ignore[attr-defined]


@pytest.mark.parametrize("parts", [["1", "1", "1"], ["2", "1"], ["1", "2"], ["0.5", "2.5"], ["0.001"] * 5 + ["2.995"]])
def test_parts_of_a_discounted_line_add_up_to_its_total(parts: list[str]) -> None:
    placed = order(given(), "tbl_1", item("cola", 3, discount_amount=50))  # 10.00 for three
    outcome: Outcome = placed
    amounts = []
    for part in parts:
        outcome = pay(outcome, items=[(ids(placed)[0], part)])
        amounts.append(outcome.reply.gross)
    assert sum(amounts) == 1000
    assert open_amount(outcome) == 0


def test_a_single_cent_is_paid_by_whoever_crosses_its_middle() -> None:
    placed = order(given(), "tbl_1", item("penny"))
    penny = ids(placed)[0]
    first = pay(placed, items=[(penny, "0.333")], payments=())
    second = pay(first, items=[(penny, "0.333")])
    third = pay(second, items=[(penny, "0.334")], payments=())
    assert [paid.reply.gross for paid in (first, second, third)] == [0, 1, 0]
    assert second.reply.lines[0].discount == -1, "0.333 of a cent is none, but this part brought one"


def test_half_portions_at_half_a_cent() -> None:
    placed = order(given(), "tbl_1", item("five", 2, discount_percent=d(50)))  # 0.05 for two
    first = pay(placed, items=[(ids(placed)[0], "1")])
    second = pay(first)
    assert [paid.reply.gross for paid in (first, second)] == [3, 2]
    assert [paid.reply.lines[0].discount for paid in (first, second)] == [2, 3]


def test_what_is_given_away_is_still_settled() -> None:
    placed = order(given(), "tbl_1", item("cola", discount_percent=d(100)))
    assert placed.log.state(tab_refs(["tbl_1"])[0]).state is TableState.OCCUPIED
    paid = pay(placed, payments=())
    assert (paid.reply.gross, paid.reply.payments, len(paid.reply.lines)) == (0, (), 1)
    assert paid.events[1].leaves is TableState.FREE  # type: ignore[attr-defined]


def test_options_stay_with_a_part_of_a_line() -> None:
    placed = order(given(), "tbl_1", item("burger", 2, options=(option("cheese"),)))
    line = pay(placed, items=[(ids(placed)[0], "1")]).reply.lines[0]
    assert (line.unit_price, line.total, [chosen.name for chosen in line.options]) == (d("10.10"), 1010, ["Extra Käse"])


def test_the_rate_is_the_one_of_the_order() -> None:
    placed = order(given(), "tbl_1", item("cola"))
    changed = msgspec.structs.replace(FACTS, rates={0: d(25)})
    assert pay(placed, facts=changed).reply.taxes[0].rate == d(19)


@pytest.mark.parametrize("items", [None, [("obn_x", None)]])
def test_a_table_with_nothing_open_has_nothing_to_pay(items: list[tuple[str, str | None]] | None) -> None:
    pay(given(), items=items).refused(Kind.CONFLICT, "nothing_to_pay", "table")
    placed = order(given(), "tbl_clean", item("cola"))
    pay(pay(placed, "tbl_clean"), "tbl_clean").refused(Kind.CONFLICT, "nothing_to_pay", "table")


def test_lines_that_are_not_there_are_not_found() -> None:
    placed = order(given(), "tbl_1", item("cola"))
    elsewhere = order(placed, "tbl_2", item("soup"))
    outcome = pay(elsewhere, items=[("obn_x", None), (ids(placed)[0], None), (ids(elsewhere)[0], None)])
    outcome.refused(Kind.NOT_FOUND, "line_not_found", "items[0].line", "items[2].line")


def test_more_than_is_open_is_refused() -> None:
    placed = order(given(), "tbl_1", item("cola", 3), item("soup"))
    cola, soup = ids(placed)
    part = pay(placed, items=[(cola, "2.5"), (soup, None)])
    outcome = pay(part, items=[(cola, "0.501")])
    outcome.refused(Kind.CONFLICT, "line_quantity_exceeds_open", "items[0].quantity")
    assert outcome.error is not None
    assert outcome.error.params == {"id": cola, "open": "0.5"}
    pay(part, items=[(cola, None), (soup, None)]).refused(Kind.CONFLICT, "line_quantity_exceeds_open", "items[1].quantity")
    assert pay(part, items=[(cola, "0.5")]).reply.gross == 175


def test_two_waiters_cannot_take_the_money_twice() -> None:
    placed = order(given(), "tbl_1", item("cola"), item("soup"))
    cola = ids(placed)[0]
    first = pay(placed, items=[(cola, None)])
    pay(first, items=[(cola, None)]).refused(Kind.CONFLICT, "line_quantity_exceeds_open")


def test_faults_in_the_request_are_named_together() -> None:
    placed = order(given(), "tbl_1", item("cola", 3))
    cola = ids(placed)[0]
    outcome = pay(placed, items=[(cola, "0"), (cola, None), (cola, "1"), ("obn_x", "1.0001")], tip=-1, register="")
    outcome.refused(
        Kind.INVALID,
        "invalid_fields",
        "tip: out_of_range",
        "register: not_a_key",
        "items[0].quantity: out_of_range",
        "items[2].line: repeated",
        "items[3].quantity: too_many_places",
    )
    pay(placed, items=[]).refused(Kind.INVALID, "invalid_fields", "items: empty")
    pay(placed, items=[(f"obn_{ix}", None) for ix in range(501)]).refused(Kind.INVALID, "invalid_fields", "items: too_many")


def test_too_little_money_leaves_the_table_as_it_was() -> None:
    placed = order(given(), "tbl_1", item("cola"))
    outcome = pay(placed, payments=(cash(349),))
    outcome.refused(Kind.UNPROCESSABLE, "payment_short", "payments")
    assert len(outcome.log.recorded) == 1


def test_guests_of_a_table_whose_record_is_gone_can_still_pay() -> None:
    placed = order(given(), "tbl_clean", item("cola"))
    gone = SaleFacts(articles=FACTS.articles, rates=FACTS.rates)
    assert pay(placed, "tbl_clean", facts=gone).events[1].leaves is TableState.FREE  # type: ignore[attr-defined]


def test_guests_of_a_table_taken_out_of_use_can_still_pay() -> None:
    placed = order(given(), "tbl_1", item("cola"))
    shut = msgspec.structs.replace(FACTS, tables={"tbl_1": TableFact("tbl_1", is_active=False, needs_cleaning=True)})
    assert pay(placed, facts=shut).events[1].leaves is TableState.NEEDS_CLEANING  # type: ignore[attr-defined]


def test_taxes_of_a_mixed_table_are_per_rate() -> None:
    placed = order(given(), "tbl_1", item("cola", 3), item("soup", 2), free("Trinkhalm", "0.10", tax_class=2), item("wine"))
    reply = pay(placed, payments=(cash(5000),)).reply
    assert [(tax.rate, tax.gross) for tax in reply.taxes] == [(d(19), 2050), (d(7), 1180), (d(0), 10)]
    assert all(tax.net + tax.tax == tax.gross for tax in reply.taxes)
    assert (reply.net + reply.tax, reply.gross, reply.change) == (3240, 3240, 1760)
    assert reply.payments == (PaymentTaken(type=CASH, amount=5000),)


def test_quantities_are_exact_however_they_are_cut() -> None:
    placed = order(given(), "tbl_1", item("cola", "0.3"))
    outcome: Outcome = placed
    for _ in range(3):
        outcome = pay(outcome, items=[(ids(placed)[0], "0.1")])
    assert open_amount(outcome) == 0
    assert outcome.events[1].leaves is TableState.FREE  # type: ignore[attr-defined]
    assert outcome.log.recorded[-1].data.parts[0].quantity == Decimal("0.1")
