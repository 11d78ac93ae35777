"""Decisions on the floor: what a move, a change, a cancellation and a hand-over write, and when they are refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from libs.contracts.pos.events import CourseCalled, PaymentTaken, TableState
from libs.contracts.pos.floor import (
    CancelLine,
    ChangeLine,
    MergeTables,
    MoveLine,
    MoveTable,
    PrintInterimBill,
    SetKitchenState,
    SplitItem,
    SplitTable,
    TransferTable,
)
from libs.contracts.pos.tab_events import (
    KitchenState,
    KitchenStateSet,
    LineCancelled,
    LineChanged,
    LinesMovedIn,
    LinesMovedOut,
    MovedPart,
    TableHandedOver,
)
from libs.domain.errors import DomainError, Kind
from services.pos.self_order import SelfOrderTokens
from services.pos.tabs import Tab, tab_refs
from services.pos.tabs.moving import LINES_PER_EVENT_MAX
from services.pos.tabs.waiting import HandOverFacts
from tests.unit.given import NOON, STAFF, Given, Outcome, given
from tests.unit.pos.inn import (
    CALL_COURSE,
    FACTS,
    HAND_OVER,
    MOVE,
    TYPES,
    d,
    ids,
    item,
    order,
    pay,
)


def tab(outcome: Outcome, table: str = "tbl_1") -> Tab:
    state: Tab = outcome.log.state(tab_refs([table])[0])
    return state


def do(house: Given | Outcome, body: Any, **how: Any) -> Outcome:
    type_ = next(type_ for type_ in TYPES.values() if type_.body is type(body))
    return house.when(type_, body, facts=FACTS, **how)


def test_a_table_moves_in_one_append_and_the_free_one_takes_over_everything() -> None:
    placed = order(given(), "tbl_1", item("cola", 2), item("soup", course=2), by="usr_ben")
    cola, soup = ids(placed)
    called = placed.when(CALL_COURSE, CALL_COURSE.body(table="tbl_1", course=2), facts=FACTS)
    moved = do(called, MoveTable(table="tbl_1", target="tbl_2"), at=NOON + timedelta(minutes=5))
    out, came = moved.events
    assert out == LinesMovedOut(
        table="tbl_1",
        target="tbl_2",
        parts=(MovedPart(line=cola, quantity=d(2), amount=700), MovedPart(line=soup, quantity=d(1), amount=590)),
        leaves=TableState.FREE,
        staff=STAFF,
        at=NOON + timedelta(minutes=5),
    )
    assert isinstance(came, LinesMovedIn)
    assert (came.table, came.source, came.waiter, came.since, came.course) == ("tbl_2", "tbl_1", "usr_ben", NOON, 2)
    assert tab(moved, "tbl_1") == Tab()
    assert (tab(moved, "tbl_2").waiter, tab(moved, "tbl_2").since, tab(moved, "tbl_2").course) == ("usr_ben", NOON, 2)
    assert list(tab(moved, "tbl_2").lines) == [cola, soup]


def test_guests_who_join_others_leave_those_their_waiter_and_course() -> None:
    placed = order(order(given(), "tbl_1", item("soup", course=3), by="usr_ben"), "tbl_2", item("soup", course=2), by="usr_cleo")
    fired = placed.when(CALL_COURSE, CALL_COURSE.body(table="tbl_1", course=3), facts=FACTS)
    joined = tab(do(fired, MoveTable(table="tbl_1", target="tbl_2")), "tbl_2")
    assert (joined.waiter, joined.course, joined.fired) == ("usr_cleo", 0, 0)
    assert [joined.kitchen_state(line) for line in joined.open_lines()] == [KitchenState.HELD, KitchenState.ORDERED]


def test_only_what_is_open_of_a_paid_item_moves_and_it_keeps_its_id() -> None:
    placed = order(given(), "tbl_1", item("cola", 3, discount_amount=1))
    [cola] = ids(placed)
    paid = pay(placed, items=[(cola, "1")])
    moved = do(paid, MoveTable(table="tbl_1", target="tbl_2"))
    [line] = tab(moved, "tbl_2").open_lines()
    assert (line.line.id, line.line.quantity, line.line.total) == (cola, d(2), 1049 - paid.reply.gross)
    back = do(moved, MoveTable(table="tbl_2", target="tbl_1"))
    assert [one.line.id for one in tab(back).open_lines()] == [cola]
    assert pay(back).reply.gross + paid.reply.gross == 1049


def test_a_full_table_moves_in_pieces_that_fit_the_log() -> None:
    outcome = order(given(), "tbl_1", *[item("five")] * 120)
    moved = do(outcome, MoveTable(table="tbl_1", target="tbl_2"))
    sizes = [len(event.items) for event in moved.events if isinstance(event, LinesMovedIn)]
    assert sizes == [LINES_PER_EVENT_MAX, LINES_PER_EVENT_MAX, 20]
    assert (len(tab(moved, "tbl_2").open_lines()), tab(moved)) == (120, Tab())
    assert [moved_.before for moved_ in moved.reply.items] == ids(outcome)
    assert moved.repeated() == moved.reply


def test_a_merge_leaves_every_table_before_it_arrives() -> None:
    placed = order(order(given(), "tbl_1", item("cola")), "tbl_clean", item("soup"))
    merged = do(placed, MergeTables(table="tbl_2", sources=("tbl_1", "tbl_clean")))
    assert [type(event) for event in merged.events] == [LinesMovedOut, LinesMovedOut, LinesMovedIn, LinesMovedIn]
    assert tab(merged, "tbl_clean").state is TableState.NEEDS_CLEANING
    assert [status.open_lines for status in merged.reply.tables] == [0, 0, 2]


def test_a_target_takes_no_more_than_its_limit() -> None:
    outcome = given()
    for table in ("tbl_1", "tbl_1", "tbl_1", "tbl_2", "tbl_2"):
        outcome = order(outcome, table, *[item("five")] * 500)
    do(outcome, MoveTable(table="tbl_1", target="tbl_2")).refused(Kind.CONFLICT, "too_many_open_lines", "target")


@pytest.mark.parametrize(
    ("body", "kind", "reason", "path"),
    [
        (MoveTable(table="tbl_1", target="tbl_1"), Kind.INVALID, "invalid_fields", "target: same_table"),
        (MoveTable(table="tbl_1", target="tbl_9"), Kind.NOT_FOUND, "table_not_found", "target"),
        (MoveTable(table="tbl_1", target="a b"), Kind.NOT_FOUND, "table_not_found", "target"),
        (MoveTable(table="tbl_1", target="tbl_shut"), Kind.CONFLICT, "table_inactive", "target"),
        (MoveTable(table="tbl_1", target="tbl_clean"), Kind.CONFLICT, "table_needs_cleaning", "target"),
        (MoveTable(table="tbl_2", target="tbl_1"), Kind.CONFLICT, "table_not_occupied", "table"),
        (MergeTables(table="tbl_1", sources=("tbl_2",)), Kind.CONFLICT, "table_not_occupied", "sources[0]"),
        (MergeTables(table="tbl_1", sources=tuple(f"tbl_{ix}" for ix in range(21))), Kind.INVALID, "invalid_fields", "sources: too_many"),
        (SplitTable(table="tbl_1", items=(), target="tbl_2"), Kind.INVALID, "invalid_fields", "items: empty"),
        (SplitTable(table="tbl_1", items=(SplitItem(line="x"),), target="tbl_2"), Kind.NOT_FOUND, "line_not_found", "items[0].line"),
        (MoveLine(line="x", seat=1), Kind.NOT_FOUND, "line_not_found", "line"),
        (MoveLine(line="x", seat=1, table="tbl_1"), Kind.CONFLICT, "line_moved_on", "line"),
        (ChangeLine(line="x", note="y", table="tbl_1"), Kind.CONFLICT, "line_moved_on", "line"),
        (CancelLine(line="x", reason=" ", table="tbl_1"), Kind.INVALID, "invalid_fields", "reason: required"),
        (CancelLine(line="x", reason="z" * 201, table="tbl_1"), Kind.INVALID, "invalid_fields", "reason: too_long"),
        (SetKitchenState(line="x", state=KitchenState.HELD, table="tbl_1"), Kind.INVALID, "invalid_fields", "status: not_allowed"),
        (PrintInterimBill(table="tbl_2"), Kind.CONFLICT, "nothing_to_pay", "table"),
        (PrintInterimBill(table="tbl_1", seat=5), Kind.CONFLICT, "nothing_to_pay", "table"),
    ],
)
def test_what_cannot_be_done(body: Any, kind: Kind, reason: str, path: str) -> None:
    house = pay(order(order(given(), "tbl_1", item("cola")), "tbl_clean", item("cola")), "tbl_clean")
    before = len(house.log.recorded)
    do(house, body).refused(kind, reason, path)
    assert len(house.log.recorded) == before


def test_guests_at_a_table_whose_record_is_gone_can_still_move() -> None:
    placed = order(given(), "tbl_1", item("cola"))
    gone = type(FACTS)(FACTS.articles, FACTS.rates, {key: table for key, table in FACTS.tables.items() if key != "tbl_1"})
    moved = placed.when(MOVE, MoveTable(table="tbl_1", target="tbl_2"), facts=gone)
    assert len(tab(moved, "tbl_2").open_lines()) == 1
    moved.when(MOVE, MoveTable(table="tbl_2", target="tbl_1"), facts=gone).refused(Kind.NOT_FOUND, "table_not_found", "target")


def test_a_cancellation_says_who_why_and_how_far_the_kitchen_was() -> None:
    placed = order(given(), "tbl_clean", item("burger", 2))
    [burger] = ids(placed)
    begun = do(placed, SetKitchenState(line=burger, state=KitchenState.PREPARING, table="tbl_clean"))
    taken = do(begun, CancelLine(line=burger, reason=" verbrannt ", quantity=d(1), table="tbl_clean"), by="usr_ben")
    taken.then(
        LineCancelled(
            table="tbl_clean",
            line=burger,
            quantity=d(1),
            amount=890,
            open_quantity=d(1),
            open_amount=890,
            reason="verbrannt",
            state=KitchenState.PREPARING,
            leaves=TableState.OCCUPIED,
            staff="usr_ben",
            at=NOON,
        )
    )
    rest = do(taken, CancelLine(line=burger, reason="weg", table="tbl_clean"))
    assert tab(rest, "tbl_clean") == Tab(TableState.NEEDS_CLEANING)
    assert taken.repeated() == taken.reply


def test_less_is_a_cancellation_and_more_keeps_price_and_discount() -> None:
    placed = order(given(), "tbl_1", item("wine", 2, discount_percent=d(10), price=d("12.00")))
    [wine] = ids(placed)
    more = do(placed, ChangeLine(line=wine, quantity=d(3), table="tbl_1"))
    assert (more.reply.open_amount, more.reply.line.unit_price) == (3240, d("12.00"))
    do(more, ChangeLine(line=wine, quantity=d(1), table="tbl_1")).refused(Kind.INVALID, "invalid_fields", "reason: required")
    less = do(more, ChangeLine(line=wine, quantity=d(1), reason="zu viel", table="tbl_1"))
    assert [type(event) for event in less.events] == [LineCancelled, LineChanged]
    assert (less.events[0].amount, less.reply.open_amount) == (2160, 1080)  # type: ignore[attr-defined]


def test_more_of_what_is_being_made_is_a_new_order() -> None:
    placed = order(given(), "tbl_1", item("soup"))
    [soup] = ids(placed)
    begun = do(placed, SetKitchenState(line=soup, state=KitchenState.READY, table="tbl_1"))
    begun.then(KitchenStateSet(table="tbl_1", line=soup, state=KitchenState.READY, staff=STAFF, at=NOON))
    do(begun, ChangeLine(line=soup, quantity=d(2), table="tbl_1")).refused(Kind.CONFLICT, "line_begun", "quantity")
    assert do(begun, ChangeLine(line=soup, note="scharf", table="tbl_1")).reply.line.note == "scharf"


def test_later_courses_are_held_until_called_and_stay_called() -> None:
    placed = order(given(), "tbl_1", item("soup", course=1), item("burger", course=2), item("cake"))
    soup, burger, cake = ids(placed)

    def states(at: Outcome) -> list[KitchenState]:
        return [tab(at).kitchen_state(line) for line in tab(at).open_lines()]

    assert states(placed) == [KitchenState.ORDERED, KitchenState.HELD, KitchenState.HELD], "the article's course is the default"
    do(placed, SetKitchenState(line=cake, state=KitchenState.READY, table="tbl_1")).refused(Kind.CONFLICT, "line_held", "line")
    later = do(placed, ChangeLine(line=soup, course=4, table="tbl_1"))
    assert later.reply.state is KitchenState.HELD
    assert do(later, ChangeLine(line=soup, course=1, table="tbl_1")).reply.state is KitchenState.ORDERED
    sooner = do(later, ChangeLine(line=burger, course=1, table="tbl_1"))
    assert states(sooner) == [KitchenState.ORDERED, KitchenState.ORDERED, KitchenState.HELD]
    third = do(sooner, CALL_COURSE.body(table="tbl_1", course=3))
    third.then(CourseCalled(table="tbl_1", course=3, staff=STAFF, at=NOON))
    assert states(third) == [KitchenState.ORDERED] * 3
    assert states(do(third, CALL_COURSE.body(table="tbl_1", course=1))) == [KitchenState.ORDERED] * 3


def test_a_table_is_handed_to_an_active_employee() -> None:
    placed = order(given(), "tbl_1", item("soup"))

    def hand_over(table: str, works: bool | None) -> Outcome:
        return placed.when(HAND_OVER, TransferTable(table=table, waiter="usr_ben"), facts=HandOverFacts(FACTS, works))

    hand_over("tbl_1", None).refused(Kind.NOT_FOUND, "user_not_found", "waiter")
    hand_over("tbl_1", False).refused(Kind.CONFLICT, "user_inactive", "waiter")
    hand_over("tbl_2", True).refused(Kind.CONFLICT, "table_not_occupied", "table")
    done = hand_over("tbl_1", True)
    done.then(TableHandedOver(table="tbl_1", waiter="usr_ben", before=STAFF, staff=STAFF, at=NOON))
    assert tab(order(done, "tbl_1", item("soup"))).waiter == "usr_ben"
    assert tab(pay(done)).waiter == ""


def test_shown_bills_are_counted_and_move_with_the_guests() -> None:
    placed = order(given(), "tbl_1", item("soup", seat=1), item("cola", seat=2))
    shown = do(do(placed, PrintInterimBill(table="tbl_1")), PrintInterimBill(table="tbl_1", seat=2))
    assert (shown.reply.printed, shown.reply.gross, [line.name for line in shown.reply.lines]) == (2, 350, ["Cola 0,3l"])
    moved = do(shown, MoveTable(table="tbl_1", target="tbl_2"))
    assert tab(moved, "tbl_2").interim_bills == 2
    assert do(moved, PrintInterimBill(table="tbl_2")).reply.printed == 3
    assert shown.repeated() == shown.reply


def test_a_seat_pays_what_it_ordered() -> None:
    placed = order(given(), "tbl_1", item("soup", seat=1), item("cola", seat=2), item("wine"))
    paid = pay(placed, seat=2)
    assert (paid.reply.gross, paid.reply.payments) == (350, (PaymentTaken(type=0, amount=350),))
    pay(paid, seat=2).refused(Kind.CONFLICT, "nothing_to_pay", "table")
    pay(placed, seat=0).refused(Kind.INVALID, "invalid_fields", "seat: out_of_range")
    pay(placed, items=[(ids(placed)[0], None)], seat=1).refused(Kind.INVALID, "invalid_fields", "seat: either_items_or_seat")
    assert tab(paid).state is TableState.OCCUPIED


def test_commands_about_items_are_answered_from_what_they_wrote() -> None:
    """Where an item stands may be forgotten by the time a command is repeated."""
    placed = order(given(), "tbl_1", item("soup", 2))
    [soup] = ids(placed)
    for body in (
        CancelLine(line=soup, reason="kalt", table="tbl_1"),
        ChangeLine(line=soup, note="heiß", table="tbl_1"),
        SetKitchenState(line=soup, state=KitchenState.READY, table="tbl_1"),
        MoveLine(line=soup, target="tbl_2", table="tbl_1"),
    ):
        outcome = do(placed, body)
        assert outcome.recorded, "a repeat could not be answered"
        assert outcome.type.reply({}, outcome.command, outcome.recorded) == outcome.reply
        assert outcome.type.complete is not None
        placed = order(given(), "tbl_1", item("soup", 2))
        [soup] = ids(placed)


def test_table_codes_are_read_by_whom_they_were_made_by_only() -> None:
    tokens, others = SelfOrderTokens(b"k" * 32), SelfOrderTokens(b"o" * 32)
    token = tokens.token(17, "tbl_1")
    assert tokens.read(token) == (17, "tbl_1")
    assert token == tokens.token(17, "tbl_1")
    assert len({token, tokens.token(18, "tbl_1"), tokens.token(17, "tbl_2"), others.token(17, "tbl_1")}) == 4
    flipped = ("B" if token[0] == "A" else "A") + token[1:]
    for wrong in (others.token(17, "tbl_1"), flipped, token[:-4], "", "ü", "x" * 500):
        with pytest.raises(DomainError) as refused:
            tokens.read(wrong)
        assert (refused.value.kind, refused.value.reason) == (Kind.UNAUTHENTICATED, "table_code_invalid")
