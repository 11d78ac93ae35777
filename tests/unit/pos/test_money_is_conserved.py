"""Whatever happens at the tables, in whatever order: no cent and no line is lost, made up or paid twice."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import given as for_any
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from libs.contracts.pos.commands import (
    CallCourse,
    Item,
    MarkCleaned,
    PaidItem,
    Payment,
    PayTable,
    PlaceOrder,
    PlaceOrders,
    Receipt,
    Sell,
    VoidReceipt,
)
from libs.contracts.pos.events import OrderLine, PaymentTaken, ReceiptLine, TableState
from libs.contracts.pos.floor import (
    CancelLine,
    ChangeLine,
    MergeTables,
    MovedItem,
    MoveLine,
    MoveTable,
    PrintInterimBill,
    SetKitchenState,
    SplitItem,
    SplitTable,
)
from libs.contracts.pos.payment_kinds import PAYMENT_KINDS
from libs.contracts.pos.tab_events import KitchenState
from libs.domain.decider import CommandType
from libs.domain.errors import DomainError, Kind
from libs.domain.money import times
from services.pos.pricing import part_amount, receipt_line, taxes_of
from services.pos.tabs import TAB, Tab, TabLine, tab_refs
from services.pos.tabs.projections import FREE, TABS
from services.pos.tender import settle
from tests.unit.given import Given, Log, Outcome, given
from tests.unit.pos.inn import (
    CALL_COURSE,
    CANCEL_LINE,
    CHANGE_LINE,
    FACTS,
    INTERIM_BILL,
    MARK_CLEANED,
    MERGE,
    MOVE,
    MOVE_LINE,
    PAY_TABLE,
    PLACE_ORDER,
    PLACE_ORDERS,
    SELL,
    SET_KITCHEN_STATE,
    SPLIT,
    VOID,
    d,
    option,
)
from tests.unit.projections.histories import fold

SEATED = ("tbl_1", "tbl_2", "tbl_clean")

tables = st.sampled_from(SEATED)
quantities = st.one_of(
    st.integers(1, 12).map(Decimal),
    st.sampled_from([d("0.5"), d("0.333"), d("0.001"), d("1.5")]),
    st.decimals("0.001", "30", places=3),
)
prices = st.one_of(st.sampled_from([d("0.01"), d("0.05"), d("3.333333"), d("0.005")]), st.decimals("0", "50", places=2))
percents = st.one_of(st.sampled_from([d(100), d(50), d("33.33")]), st.decimals("0", "100", places=2))
courses = st.one_of(st.none(), st.integers(1, 4))
rests = {"quantity": quantities, "course": courses, "seat": st.one_of(st.none(), st.integers(1, 6))}
reductions = st.one_of(
    st.just({}), st.builds(lambda p: {"discount_percent": p}, percents), st.builds(lambda a: {"discount_amount": a}, st.integers(0, 9))
)


def _item(common: dict[str, object], reduction: dict[str, object]) -> Item:
    return Item(**common, **reduction)  # type: ignore[arg-type]


articles = st.fixed_dictionaries(
    {
        "article": st.sampled_from(["art_cola", "art_soup", "art_wine", "art_penny", "art_five", "art_voucher"]),
        "price": st.one_of(st.none(), prices),
        **rests,
    }
)
burgers = st.fixed_dictionaries(
    {
        "article": st.just("art_burger"),
        "options": st.sampled_from([(), (option("cheese"),), (option("cheese", 3), option("onions"))]),
        **rests,
    }
)
free_goods = st.fixed_dictionaries({"name": st.just("Kuchen"), "price": prices, "tax_class": st.sampled_from([0, 1, 2]), **rests})
items = st.builds(_item, st.one_of(articles, burgers, free_goods), reductions)
orders = st.lists(items, min_size=1, max_size=4).map(tuple)
tips = st.one_of(st.just(0), st.integers(0, 500))


def tenders(due: int) -> st.SearchStrategy[tuple[Payment, ...]]:
    """Ways to pay what is due, most of them mixed, some with change, one left open."""

    def mixed(card: int, over: int, leave_open: bool) -> tuple[Payment, ...]:
        rest = Payment(type=0) if leave_open else Payment(type=0, amount=due - card + over)
        return tuple(payment for payment in (Payment(type=1, amount=card), rest) if payment.amount is None or payment.amount > 0)

    exact = st.sampled_from([1, 3, 4, 5]).map(lambda type_: (Payment(type=type_, amount=due),) if due else ())
    cards = st.integers(0, max(0, due))
    return st.one_of(exact, st.builds(mixed, cards, st.integers(0, 5000), st.booleans()).map(_without_zero))


def _without_zero(payments: tuple[Payment, ...]) -> tuple[Payment, ...]:
    return tuple(payment for payment in payments if payment.amount != 0)


def check_receipt(receipt: Receipt) -> None:
    """What holds for every receipt and every void."""
    sign = -1 if receipt.voided_receipt else 1
    assert receipt.gross == sum(line.total for line in receipt.lines) == sum(tax.gross for tax in receipt.taxes)
    assert receipt.net == sum(tax.net for tax in receipt.taxes)
    assert receipt.tax == sum(tax.tax for tax in receipt.taxes)
    assert receipt.net + receipt.tax == receipt.gross
    assert len({tax.rate for tax in receipt.taxes}) == len(receipt.taxes)
    for tax in receipt.taxes:
        assert tax.net + tax.tax == tax.gross
        assert abs(tax.tax * (100 + tax.rate) - tax.gross * tax.rate) <= Decimal("0.5") * (100 + tax.rate), "half a cent at most"
    assert sum(payment.amount for payment in receipt.payments) == receipt.gross + receipt.tip + receipt.change
    cash = sum(payment.amount for payment in receipt.payments if PAYMENT_KINDS[payment.type].gives_change)
    assert 0 <= sign * receipt.change <= sign * cash
    assert all(sign * payment.amount > 0 for payment in receipt.payments)
    for line in receipt.lines:
        assert sign * line.quantity > 0
        assert sign * line.total >= 0
        assert times(line.unit_price, line.quantity).minor - line.discount == line.total


class Evening(RuleBasedStateMachine):
    """Guests come, order, pay in every way they can think of, and complain."""

    def __init__(self) -> None:
        super().__init__()
        self.log: Log = given().log
        self.owed: dict[str, tuple[Decimal, int]] = {}  # what was ordered, moved to or taken off a line, in quantity and cents
        self.billed: list[ReceiptLine] = []
        self.receipts: dict[str, Receipt] = {}
        self.voids: dict[str, Receipt] = {}
        self.answers: list[Outcome] = []

    def when(self, type_: CommandType, body: object) -> Outcome:
        before = len(self.log.recorded)
        outcome = Given(self.log).when(type_, body, facts=FACTS)
        if outcome.error is not None:
            assert len(self.log.recorded) == before, "a refusal wrote something"
        else:
            self.answers.append(outcome)
        return outcome

    def tab(self, table: str) -> Tab:
        tab: Tab = self.log.state(tab_refs([table])[0])
        return tab

    def paid_for(self, data: st.DataObject, type_: CommandType, body: Sell | PayTable) -> Outcome:
        """Asks what is due by paying nothing, then pays it."""
        asked = self.when(type_, body)
        if asked.error is None or asked.error.reason != "payment_short":
            return asked
        due = asked.error.params["due"]
        assert isinstance(due, int)
        return self.when(type_, msgspec.structs.replace(body, payments=data.draw(tenders(due))))

    def accepted(self, outcome: Outcome) -> bool:
        """A discount may be more than the line; nothing else that is tried here is refused as invalid."""
        if outcome.error is None:
            return True
        assert {field.path.rsplit(".")[-1] for field in outcome.error.fields} == {"discount_amount"}, str(outcome.error)
        return False

    def placed(self, lines: Sequence[OrderLine]) -> None:
        for line in lines:
            assert line.id not in self.owed
            self.owed[line.id] = (line.quantity, line.total)

    def owes(self, line: str, quantity: Decimal, amount: int) -> None:
        before = self.owed.get(line, (Decimal(0), 0))
        self.owed[line] = (before[0] + quantity, before[1] + amount)

    def moved(self, items: Sequence[MovedItem]) -> None:
        for moved in items:
            line, quantity, amount = moved.item.line, moved.item.open_quantity, moved.item.open_amount
            assert (line.quantity, line.total) == (quantity, amount)
            assert times(line.unit_price, quantity).minor - line.discount == amount
            self.owes(moved.before, -quantity, -amount)
            self.owes(line.id, quantity, amount)
        self.query_tables_say_what_the_log_says()

    def some_part(self, data: st.DataObject, line: TabLine) -> Decimal | None:
        most = int(line.open_quantity * 1000)
        return data.draw(st.one_of(st.none(), st.integers(1, most).map(lambda thousandths: Decimal(thousandths).scaleb(-3))))

    @initialize(one=orders, two=orders)
    def guests_sit_already(self, one: tuple[Item, ...], two: tuple[Item, ...]) -> None:
        self.order("tbl_1", one)
        self.order("tbl_2", two)

    @rule(table=tables, items=orders)
    def order(self, table: str, items: tuple[Item, ...]) -> None:
        dirty = self.tab(table).state is TableState.NEEDS_CLEANING
        outcome = self.when(PLACE_ORDER, PlaceOrder(table=table, items=items))
        if outcome.error is not None and outcome.error.reason == "table_needs_cleaning":
            assert dirty
        elif self.accepted(outcome):
            assert not dirty
            self.placed(outcome.reply.lines)

    @rule(batch=st.lists(st.tuples(st.sampled_from(SEATED[:2]), orders), min_size=1, max_size=4))
    def order_for_several(self, batch: list[tuple[str, tuple[Item, ...]]]) -> None:
        body = PlaceOrders(orders=tuple(PlaceOrder(table=table, items=items) for table, items in batch))
        outcome = self.when(PLACE_ORDERS, body)
        if self.accepted(outcome):
            for answer in outcome.reply.orders:
                self.placed(answer.lines)

    @rule(table=tables, course=st.integers(1, 4))
    def call_course(self, table: str, course: int) -> None:
        before = self.tab(table)
        outcome = self.when(CALL_COURSE, CallCourse(table=table, course=course))
        after = self.tab(table)
        assert after.lines == before.lines
        assert after.course == (before.course if outcome.error else course)

    @rule(data=st.data(), table=tables, tip=tips)
    def pay_everything(self, data: st.DataObject, table: str, tip: int) -> None:
        still_open = self.tab(table).open_lines()
        outcome = self.paid_for(data, PAY_TABLE, PayTable(table=table, tip=tip))
        if not still_open:
            outcome.refused(Kind.CONFLICT, "nothing_to_pay")
            return
        self.issued(outcome.reply)
        assert self.tab(table).state is (TableState.NEEDS_CLEANING if table == "tbl_clean" else TableState.FREE)

    @rule(data=st.data(), table=tables, tip=tips)
    def pay_something(self, data: st.DataObject, table: str, tip: int) -> None:
        still_open = self.tab(table).open_lines()
        assume(still_open)
        chosen = data.draw(st.lists(st.sampled_from(still_open), min_size=1, unique_by=lambda line: line.line.id))
        items = []
        for line in chosen:
            part = self.some_part(data, line)
            items.append(PaidItem(line=line.line.id, quantity=part))
        outcome = self.paid_for(data, PAY_TABLE, PayTable(table=table, items=tuple(items), tip=tip))
        self.issued(outcome.reply)

    @rule(data=st.data(), table=tables)
    def try_to_pay_more_than_is_open(self, data: st.DataObject, table: str) -> None:
        lines = list(self.tab(table).lines.values())
        assume(lines)
        line = data.draw(st.sampled_from(lines))
        too_much = line.open_quantity + Decimal("0.001")
        outcome = self.when(PAY_TABLE, PayTable(table=table, items=(PaidItem(line=line.line.id, quantity=too_much),)))
        outcome.refused(Kind.CONFLICT, "line_quantity_exceeds_open")

    @rule(data=st.data(), items=orders, tip=tips)
    def sell(self, data: st.DataObject, items: tuple[Item, ...], tip: int) -> None:
        outcome = self.paid_for(data, SELL, Sell(items=items, tip=tip))
        if self.accepted(outcome):
            self.issued(outcome.reply, at_a_table=False)

    @precondition(lambda self: self.receipts)
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from([*self.receipts, *(void.id for void in self.voids.values())]))
        outcome = self.when(VOID, VoidReceipt(receipt=key))
        if key in self.voids:
            outcome.refused(Kind.CONFLICT, "receipt_already_voided")
        elif key not in self.receipts:
            outcome.refused(Kind.CONFLICT, "receipt_is_a_void")
        else:
            self.voids[key] = outcome.reply
            check_receipt(outcome.reply)
            check_sum_is_nothing(self.receipts[key], outcome.reply)

    @rule(table=tables)
    def clean(self, table: str) -> None:
        dirty = self.tab(table).state is TableState.NEEDS_CLEANING
        outcome = self.when(MARK_CLEANED, MarkCleaned(table=table))
        assert (outcome.error is None) == dirty

    def issued(self, receipt: Receipt, *, at_a_table: bool = True) -> None:
        check_receipt(receipt)
        self.receipts[receipt.id] = receipt
        if at_a_table:
            self.billed.extend(receipt.lines)

    # the floor

    def may_not_take(self, goal: str) -> bool:
        return self.tab(goal).state is TableState.NEEDS_CLEANING

    @rule(source=tables, goal=tables)
    def move_table(self, source: str, goal: str) -> None:
        still_open = self.tab(source).open_lines()
        dirty = self.may_not_take(goal)
        outcome = self.when(MOVE, MoveTable(table=source, target=goal))
        if outcome.error is not None:
            assert source == goal or not still_open or dirty, str(outcome.error)
            return
        assert [moved.before for moved in outcome.reply.items] == [moved.item.line.id for moved in outcome.reply.items]
        self.moved(outcome.reply.items)

    @rule(sources=st.lists(tables, min_size=1, max_size=2, unique=True), goal=tables)
    def merge_tables(self, sources: list[str], goal: str) -> None:
        fine = goal not in sources and all(self.tab(source).open_lines() for source in sources) and not self.may_not_take(goal)
        outcome = self.when(MERGE, MergeTables(table=goal, sources=tuple(sources)))
        assert (outcome.error is None) == fine, str(outcome.error)
        if fine:
            self.moved(outcome.reply.items)

    @rule(data=st.data(), source=tables, goal=tables, seat=st.one_of(st.none(), st.integers(1, 6)))
    def split_table(self, data: st.DataObject, source: str, goal: str, seat: int | None) -> None:
        still_open = self.tab(source).open_lines()
        assume(still_open)
        chosen = data.draw(st.lists(st.sampled_from(still_open), min_size=1, unique_by=lambda line: line.line.id))
        items = tuple(SplitItem(line=line.line.id, quantity=self.some_part(data, line)) for line in chosen)
        fine = not self.may_not_take(goal) and (source != goal or seat is not None)
        outcome = self.when(SPLIT, SplitTable(table=source, items=items, target=goal, seat=seat))
        assert (outcome.error is None) == fine, str(outcome.error)
        if fine:
            self.moved(outcome.reply.items)

    @rule(data=st.data(), source=tables, goal=st.one_of(st.none(), tables), seat=st.integers(1, 6))
    def move_line(self, data: st.DataObject, source: str, goal: str | None, seat: int) -> None:
        still_open = self.tab(source).open_lines()
        assume(still_open)
        line = data.draw(st.sampled_from(still_open))
        dirty = self.may_not_take(goal or source)
        part = self.some_part(data, line)
        outcome = self.when(MOVE_LINE, MoveLine(line=line.line.id, target=goal, seat=seat, quantity=part, table=source))
        assert (outcome.error is None) == (not dirty), str(outcome.error)
        if not dirty:
            self.moved([outcome.reply])

    @rule(data=st.data(), table=tables)
    def cancel_line(self, data: st.DataObject, table: str) -> None:
        still_open = self.tab(table).open_lines()
        assume(still_open)
        line = data.draw(st.sampled_from(still_open))
        body = CancelLine(line=line.line.id, reason="fiel herunter", quantity=self.some_part(data, line), table=table)
        taken = self.when(CANCEL_LINE, body).reply
        assert (line.open_quantity - taken.quantity, line.open_amount - taken.amount) == (taken.open_quantity, taken.open_amount)
        self.owes(line.line.id, -taken.quantity, -taken.amount)

    @rule(data=st.data(), table=tables, quantity=quantities, reduction=reductions, course=courses)
    def change_line(self, data: st.DataObject, table: str, quantity: Decimal, reduction: dict[str, object], course: int | None) -> None:
        still_open = self.tab(table).open_lines()
        assume(still_open)
        line = data.draw(st.sampled_from(still_open))
        begun = line.state is not KitchenState.ORDERED
        body = ChangeLine(line=line.line.id, quantity=quantity, course=course, reason="anders bestellt", table=table, **reduction)  # type: ignore[arg-type]
        outcome = self.when(CHANGE_LINE, body)
        if outcome.error is not None and outcome.error.reason == "line_begun":
            assert begun
            assert quantity > line.open_quantity
        elif self.accepted(outcome):
            assert outcome.reply.open_quantity == quantity
            self.owes(line.line.id, quantity - line.open_quantity, outcome.reply.open_amount - line.open_amount)

    @rule(data=st.data(), table=tables, state=st.sampled_from(KitchenState))
    def kitchen(self, data: st.DataObject, table: str, state: KitchenState) -> None:
        tab = self.tab(table)
        assume(tab.open_lines())
        line = data.draw(st.sampled_from(tab.open_lines()))
        held = tab.kitchen_state(line) is KitchenState.HELD
        outcome = self.when(SET_KITCHEN_STATE, SetKitchenState(line=line.line.id, state=state, table=table))
        impossible = state in (KitchenState.HELD, KitchenState.CANCELLED)
        assert (outcome.error is None) == (not held and not impossible)

    @rule(table=tables)
    def show_bill(self, table: str) -> None:
        still_open = self.tab(table).open_lines()
        outcome = self.when(INTERIM_BILL, PrintInterimBill(table=table))
        assert (outcome.error is None) == bool(still_open)
        if still_open:
            bill = outcome.reply
            assert bill.gross == sum(line.open_amount for line in still_open) == sum(line.total for line in bill.lines)
            assert all(times(line.unit_price, line.quantity).minor - line.discount == line.total for line in bill.lines)
            assert bill.printed == self.tab(table).interim_bills > 0

    # what always holds

    @invariant()
    def what_was_ordered_is_billed_or_open(self) -> None:
        open_amount = sum(line.open_amount for table in SEATED for line in self.tab(table).open_lines())
        assert sum(line.total for line in self.billed) + open_amount == sum(amount for _, amount in self.owed.values())

    @invariant()
    def no_line_is_lost_paid_twice_or_negative(self) -> None:
        found: dict[str, tuple[Decimal, int]] = {}
        for line in (line for table in SEATED for line in self.tab(table).open_lines()):
            assert line.line.id not in found, "a line is open at two tables"
            assert line.open_quantity > 0
            assert line.open_amount >= 0
            found[line.line.id] = (line.open_quantity, line.open_amount)
        for part in self.billed:
            before = found.get(part.id, (Decimal(0), 0))
            found[part.id] = (before[0] + part.quantity, before[1] + part.total)
        assert found == {line: owed for line, owed in self.owed.items() if owed != (0, 0)}

    @invariant()
    def a_table_is_occupied_exactly_while_something_is_open(self) -> None:
        assert TAB.at_rest is not None
        for table in SEATED:
            tab = self.tab(table)
            assert bool(tab.open_lines()) == (tab.state is TableState.OCCUPIED)
            assert TAB.at_rest(tab) == (tab == TAB.initial), "nothing may be remembered across a rest"

    @invariant()
    def numbers_have_no_gaps(self) -> None:
        numbers = [recorded.number for recorded in self.log.recorded if recorded.type == "receipt.issued"]
        assert numbers == list(range(1, len(self.receipts) + len(self.voids) + 1))

    def teardown(self) -> None:
        self.query_tables_say_what_the_log_says()
        for answer in self.answers:
            assert answer.repeated() == answer.reply, "a repeat must be answered alike, whatever came after"

    def query_tables_say_what_the_log_says(self) -> None:
        rows = fold(TABS, self.log.recorded)
        for table in SEATED:
            tab = self.tab(table)
            still_open = tab.open_lines()
            assert rows.get(("tabs", (table,)), FREE) == {
                "state": tab.state,
                "course": tab.course,
                "fired": tab.fired,
                "open_lines": len(still_open),
                "open_amount": sum(line.open_amount for line in still_open),
                "waiter": tab.waiter or None,
                "occupied_at": tab.since,
                "served_at": tab.served_at,
                "interim_bills": tab.interim_bills,
                "version": tab.version,
            }
            shown = [row | {"key": key[0]} for (name, key), row in rows.items() if name == "open_lines" and row["table_key"] == table]
            shown.sort(key=lambda row: row["place"])
            assert [
                (row["key"], row["open_quantity"], row["open_amount"], row["state"], row["fired"], row["order_key"]) for row in shown
            ] == [(line.line.id, line.open_quantity, line.open_amount, line.state, line.fired, line.placed.order) for line in still_open]
            lines = [msgspec.json.decode(row["line"], type=OrderLine) for row in shown]
            assert lines == [line.line for line in still_open]
            assert [(row["course"], row["seat"]) for row in shown] == [(line.course, line.seat) for line in lines]


Evening.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestEvening = Evening.TestCase


def check_sum_is_nothing(receipt: Receipt, void: Receipt) -> None:
    for figure in ("gross", "net", "tax", "tip", "change"):
        assert getattr(receipt, figure) + getattr(void, figure) == 0, figure
    for mine, its in zip(receipt.lines, void.lines, strict=True):
        assert (mine.id, mine.unit_price, mine.tax_rate) == (its.id, its.unit_price, its.tax_rate)
        assert mine.quantity + its.quantity == mine.total + its.total == mine.discount + its.discount == 0
    for sold, back in zip(receipt.taxes, void.taxes, strict=True):
        assert sold.rate == back.rate
        assert sold.gross + back.gross == sold.net + back.net == sold.tax + back.tax == 0
    for given_, returned in zip(receipt.payments, void.payments, strict=True):
        assert (given_.type, given_.amount + returned.amount) == (returned.type, 0)


def a_line(quantity: Decimal, total: int, rate: Decimal = Decimal(19), unit_price: Decimal = Decimal(1)) -> OrderLine:
    return OrderLine(
        id="obn_1",
        name="Platte",
        quantity=quantity,
        price=unit_price,
        unit_price=unit_price,
        total=total,
        tax_class=0,
        tax_rate=rate,
    )


thousandths = st.integers(1, 9_999_000)


@settings(derandomize=True, deadline=None, max_examples=300)
@for_any(cuts=st.lists(thousandths, min_size=1, max_size=12), total=st.integers(0, 10**10))
def test_parts_of_a_line_add_up_whatever_the_cuts(cuts: list[int], total: int) -> None:
    assume(sum(cuts) <= 9_999_000)
    parts = [Decimal(cut).scaleb(-3) for cut in cuts]
    line = a_line(sum(parts, Decimal(0)), total)
    paid_quantity, paid_amount = Decimal(0), 0
    for part in parts:
        amount = part_amount(line, paid_quantity, paid_amount, part)
        assert amount >= 0
        fair = total * part / line.quantity
        assert abs(amount - fair) <= 1, "nobody pays a cent more than a fair share rounded twice"
        billed = receipt_line(line, part, amount, "EUR")
        assert times(billed.unit_price, billed.quantity).minor - billed.discount == billed.total == amount
        paid_quantity, paid_amount = paid_quantity + part, paid_amount + amount
    assert (paid_quantity, paid_amount) == (line.quantity, line.total)


@settings(derandomize=True, deadline=None, max_examples=300)
@for_any(st.lists(st.tuples(st.integers(0, 10**10), st.sampled_from(["19", "7", "0", "5.5", "19.00", "16"])), max_size=30))
def test_taxes_per_rate_add_up(lines: list[tuple[int, str]]) -> None:
    billed = [receipt_line(a_line(Decimal(1), total, Decimal(rate)), Decimal(1), total, "EUR") for total, rate in lines]
    taxes = taxes_of(billed)
    assert sum(tax.gross for tax in taxes) == sum(total for total, _ in lines)
    assert all(tax.net + tax.tax == tax.gross and 0 <= tax.tax <= tax.gross for tax in taxes)
    assert [tax.rate for tax in taxes] == sorted({Decimal(rate) for _, rate in lines}, reverse=True)


payments = st.lists(st.builds(Payment, type=st.sampled_from([0, 1, 3, 4, 5]), amount=st.integers(1, 5_000)), max_size=5)


@settings(derandomize=True, deadline=None, max_examples=500)
@for_any(payments=payments, due=st.integers(0, 12_000), open_ended=st.sampled_from([None, 0, 1]))
def test_a_tender_is_settled_to_the_cent_or_refused(payments: list[Payment], due: int, open_ended: int | None) -> None:
    tendered = sum(payment.amount or 0 for payment in payments)
    cash = sum(payment.amount or 0 for payment in payments if payment.type in (0, 3))
    offered = [*payments, *([Payment(type=open_ended)] if open_ended is not None else [])]
    short = tendered < due and open_ended is None
    if short or tendered - due > cash:
        with pytest.raises(DomainError, match="payment_short" if short else "change_exceeds_cash") as refusal:
            settle(offered, due)
        assert refusal.value.kind is Kind.UNPROCESSABLE
        return
    settlement = settle(offered, due)
    assert sum(payment.amount for payment in settlement.payments) == due + settlement.change
    assert 0 <= settlement.change <= cash
    given_ = [PaymentTaken(type=payment.type, amount=payment.amount or 0) for payment in payments]
    assert list(settlement.payments[: len(payments)]) == given_, "amounts are kept as tendered"
    assert all(payment.amount > 0 for payment in settlement.payments)
