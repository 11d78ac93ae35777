"""The table of stock levels: a row per item and storage for which any stock transaction counts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.contracts.inventory.stock_levels import StockChanged
from libs.domain.events import Recorded
from libs.projections.declare import Key, Projection, Table
from libs.projections.rows import Rows

LEVELS: Final = "stock_levels"
IN_NONE: Final = 0  # stands for no storage in the key
STOCK_LEVELS: Final = Projection(
    LEVELS,
    1,
    (
        Table(
            LEVELS,
            {
                **dict.fromkeys(("item", "storage_key", "storage", "id", "version", "position", "lastmodified", "count"), "bigint"),
                **dict.fromkeys(("booked", "reserved", "expected"), "numeric"),
                "lots": "jsonb",
            },
            key=("item", "storage_key"),
            indexes=(("storage",), ("id",)),
        ),
    ),
)  # fmt: skip


def _key(event: Recorded) -> Key:
    return event.data.item, event.data.storage or IN_NONE


def _touched(event: Recorded) -> list[tuple[str, Key]]:
    return [(LEVELS, _key(event))]


def _lots(text: Any) -> dict[str, Decimal]:
    return {name: Decimal(amount) for name, amount in msgspec.json.decode(text, type=dict[str, str]).items()} if text else {}


@STOCK_LEVELS.on(StockChanged, reads=_touched)
def _changed(rows: Rows, event: Recorded) -> None:
    change: StockChanged = event.data
    row = rows.get(LEVELS, *_key(event)) or {"id": event.position, "count": 0, "booked": 0, "reserved": 0, "expected": 0, "lots": None}
    count = row["count"] + change.count
    if count == 0:
        rows.delete(LEVELS, *_key(event))
        return
    lots = _lots(row["lots"])
    for shift in change.shifts:
        if shift.chargenum:
            lots[shift.chargenum] = lots.get(shift.chargenum, Decimal(0)) + shift.booked
    rows.put(
        LEVELS,
        *_key(event),
        storage=change.storage,
        id=row["id"],
        version=event.version,
        position=event.position,
        lastmodified=int(event.at.timestamp()),
        count=count,
        booked=row["booked"] + sum((shift.booked for shift in change.shifts), Decimal(0)),
        reserved=row["reserved"] + sum((shift.reserved for shift in change.shifts), Decimal(0)),
        expected=row["expected"] + sum((shift.expected for shift in change.shifts), Decimal(0)),
        lots=msgspec.json.encode({name: f"{amount:f}" for name, amount in sorted(lots.items()) if amount}).decode(),
    )
