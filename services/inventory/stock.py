"""Stock: what all stock transactions of an item come to, place by place, and what may not be booked.

A row counts by its flag: booked is there, reserved is promised (amounts below zero) or announced (above), cancelled counts nothing. What is
in stock of an item is in its tally, so two bookings of one item wait for each other and neither takes what the other has taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.contracts.inventory.stock_levels import Shift, StockChanged
from libs.domain.decider import Aggregate, Lookup, States
from libs.domain.errors import FieldError, conflict, invalid
from libs.domain.events import Event, Recorded
from libs.domain.rules import is_empty
from libs.records.effects import Also, Effect, Follows, Pending, Values, Write, needed, row_id

MOVEMENT: Final = "stock_transaction"
BOOKED, RESERVED, CANCELLED = 0, 1, 2
COUNTED_BY: Final = ("amount", "chargenum", "flag", "item", "location", "serials", "storage")
SERIALS: Final = (1, 3)  # types of items that have serial numbers
CHARGES: Final = (2, 3)  # and charge numbers
BY_STORAGE, BY_LOCATION = 0, 1  # where stock must not be depleted
OF_ITEMS: Final = ("type", "forcestock")
NONE: Final = Decimal(0)

Place = tuple[int | None, str, str]  # storage, location, charge number


class Amounts(msgspec.Struct, frozen=True):
    booked: Decimal = NONE
    reserved: Decimal = NONE
    expected: Decimal = NONE

    def plus(self, other: Amounts | Shift) -> Amounts:
        return Amounts(self.booked + other.booked, self.reserved + other.reserved, self.expected + other.expected)

    def times(self, sign: int) -> Amounts:
        return Amounts(sign * self.booked, sign * self.reserved, sign * self.expected)


class Stock(msgspec.Struct, frozen=True):
    """Of one item: what is where; serial number → how often it is in stock, which is never more than once."""

    places: Mapping[Place, Amounts] = msgspec.field(default_factory=dict)
    serials: Mapping[str, int] = msgspec.field(default_factory=dict)

    def booked(self, storage: int | None, location: str | None = None) -> Decimal:
        """What is in a storage, or at one place in it."""
        there = (at for (in_, place, _), at in self.places.items() if in_ == storage and location in (None, place))
        return sum((at.booked for at in there), start=NONE)


class OfItem(msgspec.Struct, frozen=True):
    """What an item says about its stock; a ``type`` of None says nothing."""

    type: int | None = None
    forcestock: int | None = None


def evolve(stock: Stock, event: Recorded) -> Stock:
    return moved(stock, event.data)


def moved(stock: Stock, change: StockChanged) -> Stock:
    places, serials = dict(stock.places), dict(stock.serials)
    for shift in change.shifts:
        place = (change.storage, shift.location, shift.chargenum)
        _keep(places, place, places.get(place, Amounts()).plus(shift), Amounts())
    for serial, by in (*((serial, 1) for serial in change.came), *((serial, -1) for serial in change.left)):
        _keep(serials, serial, serials.get(serial, 0) + by, 0)
    return Stock(places, serials)


def _keep(counted: dict[Any, Any], key: Any, value: Any, nothing: Any) -> None:
    if value == nothing:
        counted.pop(key, None)
    else:
        counted[key] = value


STOCK: Final = Aggregate("stock", Stock(), evolve)


class Stocking(Effect):
    name = "stock"
    hears = frozenset({MOVEMENT})
    tallies = (STOCK,)

    async def streams(self, lookup: Lookup, instance: int, pending: Sequence[Pending]) -> Sequence[Also]:
        counting = [one for one in pending if one.values is None or any(name in one.values for name in COUNTED_BY)]
        return [Also(STOCK.name, str(item)) for item in await _items(lookup, instance, counting)]

    async def facts(self, lookup: Lookup, instance: int, pending: Sequence[Pending]) -> Mapping[int, OfItem]:
        items = [str(item) for item in await _items(lookup, instance, pending)]
        found = await lookup.rows("inventory.articles", instance, items, ("id", *OF_ITEMS), "id")
        return {int(item): OfItem(**{name: rows[0][name] for name in OF_ITEMS}) for item, rows in found.items()}

    def decide(self, states: States, writes: Sequence[Write], facts: Mapping[int, OfItem] | None, at: datetime) -> Follows:
        of = facts or {}
        counting = [write for write in writes if write.changed(*COUNTED_BY)]
        for write in counting:
            if write.after is not None:
                _require_numbers(of.get(write.after["item"], OfItem()), write.after)
        events: dict[str, Sequence[Event]] = {}
        for item, changes in _changes(counting).items():
            before: Stock = needed(states, STOCK.stream(str(item)))
            after = before
            for change in changes:
                after = moved(after, change)
            _require_once(before, after)
            _require_stock(of.get(item, OfItem()), before, after, changes)
            events[STOCK.stream(str(item))] = changes
        return Follows(events=events)


async def _items(lookup: Lookup, instance: int, pending: Sequence[Pending]) -> list[int]:
    """The items whose stock these writes may change, before and after."""
    known = [str(one.id) for one in pending if not one.new]
    rows = await lookup.rows("inventory.stocktransactions", instance, known, ("id", "item"), "id") if known else {}
    items = {row_id(found[0]["item"]) for found in rows.values()} | {one.reference("item") for one in pending}
    return sorted(item for item in items if item is not None)


# --- what a row counts ------------------------------------------------------------------------------------------------------------


def amounts(values: Values) -> Amounts:
    amount = values["amount"]
    if values["flag"] == BOOKED:
        return Amounts(booked=amount)
    if values["flag"] == RESERVED:
        return Amounts(reserved=-amount) if amount < 0 else Amounts(expected=amount)
    return Amounts()


def place_of(values: Values) -> Place:
    return values["storage"], values["location"] or "", values["chargenum"] or ""


class _Sum:
    """How one storage's stock of one item changes by some writes."""

    def __init__(self) -> None:
        self.transactions: dict[int, None] = {}
        self.count = 0
        self.shifts: dict[tuple[str, str], Amounts] = {}
        self.serials: dict[str, int] = {}

    def add(self, id_: int, values: Values, sign: int) -> None:
        self.transactions[id_] = None
        self.count += sign
        _, location, chargenum = place_of(values)
        counted = amounts(values)
        self.shifts[location, chargenum] = self.shifts.get((location, chargenum), Amounts()).plus(counted.times(sign))
        if values["flag"] == BOOKED:
            way = sign if values["amount"] > 0 else -sign
            for serial in values["serials"] or ():
                self.serials[serial] = self.serials.get(serial, 0) + way

    def change(self, item: int, storage: int | None) -> StockChanged | None:
        shifts = tuple(
            Shift(location=location, chargenum=chargenum, booked=by.booked, reserved=by.reserved, expected=by.expected)
            for (location, chargenum), by in self.shifts.items()
            if by != Amounts()
        )
        came = tuple(serial for serial, by in self.serials.items() for _ in range(by))
        left = tuple(serial for serial, by in self.serials.items() for _ in range(-by))
        if not (shifts or came or left or self.count):
            return None
        return StockChanged(
            item=item, storage=storage, transactions=tuple(self.transactions), count=self.count, shifts=shifts, came=came, left=left
        )


def _changes(writes: Sequence[Write]) -> dict[int, list[StockChanged]]:
    """By item: how the stock in each storage changes."""
    sums: dict[tuple[int, int | None], _Sum] = {}
    for write in writes:
        for values, sign in ((write.before, -1), (write.after, 1)):
            if values is not None and values["flag"] != CANCELLED:
                sums.setdefault((values["item"], values["storage"]), _Sum()).add(write.id, values, sign)
    found: dict[int, list[StockChanged]] = {}
    for (item, storage), counted in sums.items():
        change = counted.change(item, storage)
        if change is not None:
            found.setdefault(item, []).append(change)
    return found


# --- what may not be --------------------------------------------------------------------------------------------------------------


def _require_numbers(item: OfItem, values: Values) -> None:
    """What is booked names the numbers that its type of item has; nothing names those that it does not have."""
    if item.type is None or values["flag"] == CANCELLED:
        return
    serials, charge, booked = values["serials"] or (), values["chargenum"], values["flag"] == BOOKED
    faults = []
    if item.type not in SERIALS and serials:
        faults.append(FieldError("serials", "not_of_this_item"))
    if item.type not in CHARGES and not is_empty(charge):
        faults.append(FieldError("chargenum", "not_of_this_item"))
    if item.type in SERIALS and (booked or serials) and (len(serials) != abs(values["amount"]) or len(set(serials)) != len(serials)):
        faults.append(FieldError("serials", "one_serial_each"))
    if item.type in CHARGES and booked and is_empty(charge):
        faults.append(FieldError("chargenum", "required"))
    if faults:
        raise invalid(*faults)


def _require_once(before: Stock, after: Stock) -> None:
    for serial, times in after.serials.items():
        if times > 1 and times > before.serials.get(serial, 0):
            raise conflict("serial_in_stock", serial=serial)


def _require_stock(item: OfItem, before: Stock, after: Stock, changes: Sequence[StockChanged]) -> None:
    """Where stock is forced, nothing is taken that is not there."""
    if item.forcestock is None:
        return
    places = {(change.storage, shift.location if item.forcestock == BY_LOCATION else None) for change in changes for shift in change.shifts}
    for storage, location in sorted(places, key=str):
        left = after.booked(storage, location)
        if left < 0 and left < before.booked(storage, location):
            raise conflict("stock_depleted", available=f"{before.booked(storage, location):f}")
