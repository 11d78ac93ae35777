"""Stock levels are the sum of all rows that count, whatever was written in whatever order; what is not there is not taken twice."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.domain.errors import DomainError, Kind
from libs.records.numbered import Change, Create
from services.inventory.erp import ERP
from services.inventory.levels import LEVELS, STOCK_LEVELS
from services.inventory.stock import BOOKED, CANCELLED, RESERVED
from tests.unit.desk import Desk
from tests.unit.projections.histories import fold

SIMPLE, SERIAL, CHARGE, BOTH, FORCED, FORCED_BY_PLACE = 1, 2, 3, 4, 5, 6
ITEMS: Mapping[int, Mapping[str, Any]] = {
    SIMPLE: {"type": 0},
    SERIAL: {"type": 1},
    CHARGE: {"type": 2},
    BOTH: {"type": 3},
    FORCED: {"type": 0, "forcestock": 0},
    FORCED_BY_PLACE: {"type": 0, "forcestock": 1},
}


class Storehouse(Desk):
    """Two storages, and an item of each kind."""

    def __init__(self) -> None:
        super().__init__(ERP.family, {"inventory.articles": ITEMS})
        self.north, self.south = self.create("storage", name="Nord"), self.create("storage", name="Süd")

    def move(self, amount: int | str, item: int = SIMPLE, **values: Any) -> int:
        return self.create("stock_transaction", item=item, amount=str(amount), **{"storage": self.north, **values})

    def refusal(self, amount: int, item: int = SIMPLE, **values: Any) -> DomainError:
        body = {"item": item, "amount": Decimal(amount), "storage": self.north, **values}
        return self.refused("stock_transaction.create", Create(values=body))

    def levels(self, cuts: tuple[int, ...] = ()) -> dict[tuple[int, int | None], dict[str, Any]]:
        tables = fold(STOCK_LEVELS, self.recorded, cuts)
        return {(key[0], row["storage"]): row for (name, key), row in tables.items() if name == LEVELS}

    def level(self, item: int = SIMPLE, storage: int | None = None) -> tuple[Decimal, Decimal, Decimal]:
        row = self.levels()[item, storage or self.north]
        return row["booked"], row["reserved"], row["expected"]


@pytest.fixture
def house() -> Storehouse:
    return Storehouse()


def test_a_level_is_booked_reserved_and_expected(house: Storehouse) -> None:
    house.move(10)
    out = house.move(-3, flag=RESERVED)
    house.move(5, flag=RESERVED)
    house.move(7, flag=CANCELLED)
    assert house.level() == (10, 3, 5)
    house.change("stock_transaction", out, flag=BOOKED)
    assert house.level() == (7, 0, 5)
    house.change("stock_transaction", out, flag=CANCELLED)
    assert house.level() == (10, 0, 5)


def test_a_transfer_moves_between_storages(house: Storehouse) -> None:
    house.move(10)
    out = house.move(-4)
    into = house.move(4, storage=house.south, transfer=out)
    assert (house.level(), house.level(storage=house.south)) == ((6, 0, 0), (4, 0, 0))
    assert house.refusal(4, transfer=out).reason == "claim_taken"  # the other side of one transfer only
    refusal = house.refused("stock_transaction.change", Change(id=into, values={"amount": Decimal(-4)}))
    assert refusal.kind is Kind.INVALID
    house.delete("stock_transaction", out)
    assert house.row("stock_transaction", into)["transfer"] is None
    assert house.level() == (10, 0, 0)


def test_a_level_goes_with_the_last_row_that_counts(house: Storehouse) -> None:
    one = house.move(2)
    other = house.move(-2)
    assert house.level() == (0, 0, 0)  # there are rows, and nothing is there
    house.delete("stock_transaction", one)
    house.change("stock_transaction", other, flag=CANCELLED)
    assert house.levels() == {}


def test_what_was_in_a_storage_that_goes_is_in_none(house: Storehouse) -> None:
    house.move(2)
    house.move(3, FORCED)
    house.delete("storage", house.north)
    assert {key: row["booked"] for key, row in house.levels().items()} == {(SIMPLE, None): 2, (FORCED, None): 3}
    house.forget("items", SIMPLE)
    assert set(house.levels()) == {(FORCED, None)}


@pytest.mark.parametrize(
    ("item", "values", "field"),
    [
        (SIMPLE, {"serials": ["a"]}, "serials"),
        (SIMPLE, {"chargenum": "L1"}, "chargenum"),
        (SERIAL, {}, "serials"),
        (SERIAL, {"serials": ["a", "b"]}, "serials"),
        (SERIAL, {"serials": ["a"], "chargenum": "L1"}, "chargenum"),
        (CHARGE, {}, "chargenum"),
        (CHARGE, {"chargenum": "L1", "serials": ["a"]}, "serials"),
        (BOTH, {"serials": ["a"]}, "chargenum"),
        (BOTH, {"chargenum": "L1"}, "serials"),
    ],
)
def test_numbers_are_those_of_the_type_of_item(house: Storehouse, item: int, values: dict[str, Any], field: str) -> None:
    assert [fault.path for fault in house.refusal(1, item, **values).fields] == [field]


def test_each_piece_has_a_number_of_its_own(house: Storehouse) -> None:
    assert [fault.reason for fault in house.refusal(2, SERIAL, serials=["a", "a"]).fields] == ["one_serial_each"]
    house.move(2, SERIAL, serials=["a", "b"])
    house.move(1, SERIAL, flag=RESERVED)  # which one is not known yet
    house.move(-1, BOTH, serials=["a"], chargenum="L1")


def test_a_serial_number_is_in_stock_once(house: Storehouse) -> None:
    first = house.move(2, SERIAL, serials=["a", "b"])
    refusal = house.refusal(1, SERIAL, serials=["b"], storage=house.south)
    assert (refusal.reason, refusal.params) == ("serial_in_stock", {"serial": "b"})
    out = house.move(-1, SERIAL, serials=["b"])
    house.move(1, SERIAL, serials=["b"], storage=house.south, transfer=out)
    assert house.refused("stock_transaction.change", Change(id=out, values={"flag": CANCELLED})).reason == "serial_in_stock"
    house.delete("stock_transaction", first)
    house.move(1, SERIAL, serials=["a"])


def test_lots_are_shown_by_their_number(house: Storehouse) -> None:
    house.move(5, CHARGE, chargenum="L1")
    house.move(3, CHARGE, chargenum="L2")
    house.move(-5, CHARGE, chargenum="L1")
    assert house.levels()[CHARGE, house.north]["lots"] == '{"L2":"3"}'


def test_forced_stock_is_not_depleted(house: Storehouse) -> None:
    came = house.move(5, FORCED, location="A")
    house.move(-3, FORCED, location="B")  # of the storage, wherever in it
    refusal = house.refusal(-3, FORCED, location="A")
    assert (refusal.kind, refusal.reason, refusal.params) == (Kind.CONFLICT, "stock_depleted", {"available": "2"})
    assert house.refusal(-1, FORCED, storage=house.south).reason == "stock_depleted"
    assert house.refused("stock_transaction.change", Change(id=came, values={"amount": Decimal(2)})).reason == "stock_depleted"
    house.move(-9, FORCED, flag=RESERVED)
    house.move(-9, SIMPLE)


def test_forced_stock_of_a_place_is_that_places(house: Storehouse) -> None:
    house.move(5, FORCED_BY_PLACE, location="A")
    assert house.refusal(-1, FORCED_BY_PLACE, location="B").reason == "stock_depleted"
    house.move(-5, FORCED_BY_PLACE, location="A")


def test_what_was_looked_up_before_somebody_else_wrote_is_looked_up_again(house: Storehouse) -> None:
    one = house.move(5)
    house.seen = len(house.recorded)
    house.change("stock_transaction", one, item=FORCED)
    assert house.refused("stock_transaction.change", Change(id=one, values={"amount": Decimal(6)})).reason == "row_moved"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("move", "move", "change", "place", "flag", "item", "delete", "transfer", "storage", "forget")),
        st.integers(0, 7),
        st.integers(-4, 6).filter(bool),
        st.integers(0, 2),
        st.sampled_from((SIMPLE, CHARGE, FORCED)),
        st.sampled_from(("", "A", "B")),
    ),
    max_size=25,
)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.lists(st.integers(0, 200), max_size=3))
def test_levels_are_the_sums_of_their_rows(steps: list[tuple[str, int, int, int, int, str]], cuts: list[int]) -> None:
    house = Storehouse()
    for step in steps:
        try:
            _step(house, *step)
        except DomainError as refusal:
            reason = refusal.reason
        else:
            reason = ""
        assert reason in ("", "stock_depleted", "claim_taken", "invalid_fields")
    assert {key: _shown(row) for key, row in house.levels(tuple(cuts)).items()} == _sums(house)
    forced = [row["booked"] for (item, _), row in house.levels().items() if item == FORCED]
    assert all(booked >= 0 for booked in forced)


def _step(house: Storehouse, kind: str, which: int, amount: int, flag: int, item: int, place: str) -> None:
    there = sorted(house.rows_of("stock_transaction"))
    storages = [*sorted(house.rows_of("storage")), None]
    storage, charge = storages[which % len(storages)], "L1" if item == CHARGE else ""
    if kind == "move" or not there:
        house.move(amount, item, flag=flag, storage=storage, location=place, chargenum=charge)
        return
    row = there[which % len(there)]
    if kind == "change":
        house.change("stock_transaction", row, amount=str(amount))
    elif kind == "place":
        house.change("stock_transaction", row, storage=storage, location=place)
    elif kind == "flag":
        house.change("stock_transaction", row, flag=flag)
    elif kind == "item":
        house.change("stock_transaction", row, item=item, chargenum=charge)
    elif kind == "delete":
        house.delete("stock_transaction", row)
    elif kind == "transfer":
        values = house.row("stock_transaction", row)
        house.move(abs(amount), values["item"], storage=storage, location=place, transfer=row, chargenum=values["chargenum"])
    elif kind == "storage" and storage is not None:
        house.delete("storage", storage)
    elif kind == "forget":
        house.forget("items", item)


def _shown(row: Mapping[str, Any]) -> tuple[Decimal, Decimal, Decimal]:
    return row["booked"], row["reserved"], row["expected"]


def _sums(house: Storehouse) -> dict[tuple[int, int | None], tuple[Decimal, Decimal, Decimal]]:
    """By the rows alone."""
    found: dict[tuple[int, int | None], tuple[Decimal, Decimal, Decimal]] = {}
    for row in house.rows_of("stock_transaction").values():
        if row["flag"] != CANCELLED:
            booked, reserved, expected = found.get((row["item"], row["storage"]), (Decimal(0), Decimal(0), Decimal(0)))
            amount = row["amount"]
            if row["flag"] == BOOKED:
                booked += amount
            elif amount < 0:
                reserved -= amount
            else:
                expected += amount
            found[row["item"], row["storage"]] = booked, reserved, expected
    return found
