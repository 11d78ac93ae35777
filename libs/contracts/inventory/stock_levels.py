"""How much of what there is where: what all stock transactions come to."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from libs.domain.events import Event, event
from libs.domain.resources import Column, ColumnType, Join, Resource


class Shift(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """By how much one place in a storage, and one lot, changes: ``booked`` is there, ``reserved`` promised to go out, ``expected``
    announced to come in."""

    location: str = ""
    chargenum: str = ""
    booked: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    expected: Decimal = Decimal(0)


@event("stock.changed")
class StockChanged(Event, frozen=True, kw_only=True):
    """The stock of an item in one storage (None: in none) changes: these stock transactions came, went or changed. ``count``: how many
    more of them count there than before. ``came``, ``left``: serial numbers."""

    item: int
    storage: int | None
    transactions: tuple[int, ...]
    count: int
    shifts: tuple[Shift, ...] = ()
    came: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


STOCK_LEVELS = Resource(
    name="stocklevels",
    table="inventory.stock_levels",
    type="stock_level",
    read=("inventory",),
    parents=(("item", "items"),),
    columns=(
        Column(name="ID", type=ColumnType.INTEGER, sql="@.id"),
        Column(name="available", type=ColumnType.NUMBER, sql="(@.booked - @.reserved)", doc="booked less reserved"),
        Column(name="booked", type=ColumnType.NUMBER, sql="@.booked", doc="what is there"),
        Column(name="expected", type=ColumnType.NUMBER, sql="@.expected", doc="reserved to come in"),
        Column(name="item", type=ColumnType.INTEGER, sql="@.item"),
        Column(name="lastmodified", type=ColumnType.TIME, sql="@.lastmodified"),
        Column(name="lots", type=ColumnType.JSON, sql="@.lots", doc="what is booked, by charge number"),
        Column(name="reserved", type=ColumnType.NUMBER, sql="@.reserved", doc="reserved to go out"),
        Column(name="storage", type=ColumnType.INTEGER, sql="@.storage", doc="null: in none"),
    ),
    joins={"item": Join(resource="items", on="@.id = t.item"), "storage": Join(resource="storages", on="@.id = t.storage")},
)
COLUMNS = ("id", "version", "position", "lastmodified", "item", "storage", "booked", "reserved", "expected", "lots")
