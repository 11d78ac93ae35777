"""What can be asked about the floor: tables and the items open at them. Amounts are minor units; limits are inclusive.

Commands about one item name it by ``line``; ``table``, where it stands, is filled in by the till itself and not part of what is repeated.
``if_match``: refuse unless the item has one of these tags.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.pos.commands import TableStatus
from libs.contracts.pos.events import OrderLine, ReceiptLine, TableState, TaxAmount
from libs.contracts.pos.tab_events import KitchenState
from libs.domain.etags import etag

MERGED_TABLES_MAX: Final = 20
SPLIT_ITEMS_MAX: Final = 500
LAYOUT_TABLES_MAX: Final = 500
REASON_MAX_CHARS: Final = 200


class MoveTable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything open at ``table`` goes to ``target``; guests who sit there already are joined."""

    table: str
    target: str


class MergeTables(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything open at ``sources`` comes to ``table``, all of it or nothing."""

    table: str
    sources: tuple[str, ...]


class SplitItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open item; without ``quantity`` all that is open of it."""

    line: str
    quantity: Decimal | None = None


class SplitTable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Selected items go to ``target`` (without one they stay at the table) and to ``seat`` (without one they keep theirs)."""

    table: str
    items: tuple[SplitItem, ...]
    target: str | None = None
    seat: int | None = None


class TransferTable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    table: str
    waiter: str


class PrintInterimBill(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """With ``seat`` only what was ordered for it."""

    table: str
    seat: int | None = None


class MoveLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As ``SplitTable``, for one item."""

    line: str
    target: str | None = None
    seat: int | None = None
    quantity: Decimal | None = None
    table: str = ""
    if_match: tuple[str, ...] = ()


class ChangeLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is not named stays; None clears. ``quantity`` is how much is to be open; to lower it takes a ``reason``, as a cancellation
    does. A discount is for all that is open."""

    line: str
    quantity: Decimal | UnsetType = UNSET
    note: str | UnsetType | None = UNSET
    course: int | UnsetType | None = UNSET
    seat: int | UnsetType | None = UNSET
    discount_percent: Decimal | UnsetType | None = UNSET
    discount_amount: int | UnsetType | None = UNSET
    reason: str | None = None
    table: str = ""
    if_match: tuple[str, ...] = ()


class CancelLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Without ``quantity`` all that is open of the item."""

    line: str
    reason: str
    quantity: Decimal | None = None
    table: str = ""
    if_match: tuple[str, ...] = ()


class SetKitchenState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    line: str
    state: KitchenState
    table: str = ""
    if_match: tuple[str, ...] = ()


class PlacedTable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a table stands; ``values`` are fields of the table's record that say so."""

    table: str
    values: dict[str, int | None]


class ArrangeTables(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The positions of many tables, all of them or none."""

    tables: tuple[PlacedTable, ...]


class Arranged(msgspec.Struct, frozen=True, kw_only=True):
    tables: tuple[str, ...]


class CancelledPart(msgspec.Struct, frozen=True, kw_only=True):
    """Why and by whom an item was taken off; ``state`` is how far the kitchen was with it."""

    reason: str
    state: KitchenState
    staff: str
    at: datetime


def item_tag(instance: int, table: str, version: int) -> str:
    """The tag of everything that is open at a table: whatever is done at it, an item may be shown differently afterwards."""
    return etag(instance, "tab", table, version)


class OpenItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item that is open, or was cancelled: then ``cancelled`` says why and what is "open" is what was taken off. ``version``: that of
    the tab it is open at, 0 if it is open nowhere."""

    table: str
    order: str
    staff: str
    placed_at: datetime
    open_quantity: Decimal
    open_amount: int
    line: OrderLine
    state: KitchenState
    state_at: datetime
    cancelled: CancelledPart | None = None
    version: int = 0


class MovedItem(msgspec.Struct, frozen=True, kw_only=True):
    """``before`` is the id it had; another one if only a part of it came."""

    before: str
    item: OpenItem


class MovedItems(msgspec.Struct, frozen=True, kw_only=True):
    """``tables``: all that took part, as they are now."""

    tables: tuple[TableStatus, ...]
    items: tuple[MovedItem, ...]


class CancelledItem(msgspec.Struct, frozen=True, kw_only=True):
    """``quantity`` and ``amount`` were taken off; what is still open of it."""

    line: str
    table: str
    quantity: Decimal
    amount: int
    open_quantity: Decimal
    open_amount: int
    cancelled: CancelledPart


class ItemState(msgspec.Struct, frozen=True, kw_only=True):
    line: str
    table: str
    state: KitchenState
    at: datetime
    version: int


class TableService(msgspec.Struct, frozen=True, kw_only=True):
    """A table as a waiter sees it. ``waiter``, ``since`` and ``served_at`` (last order, course, bill or served item) only while it is
    occupied; ``interim_bills``: how often the guests were shown what is open."""

    table: str
    state: TableState = TableState.FREE
    course: int = 0
    open_lines: int = 0
    open_amount: int = 0
    waiter: str | None = None
    since: datetime | None = None
    served_at: datetime | None = None
    interim_bills: int = 0
    number: int | None = None
    name: str | None = None
    group: str | None = None
    is_active: bool = True


class InterimBill(msgspec.Struct, frozen=True, kw_only=True):
    """What is open, as it would be billed. ``printed``: how many there were for these guests, with this one."""

    table: str
    seat: int | None
    waiter: str
    at: datetime
    printed: int
    currency: str
    lines: tuple[ReceiptLine, ...]
    taxes: tuple[TaxAmount, ...]
    gross: int
    net: int
    tax: int


class LineKey(msgspec.Struct, frozen=True, kw_only=True):
    line: str


class SelfOrderKey(msgspec.Struct, frozen=True, kw_only=True):
    """``token`` names instance and table and cannot be guessed."""

    table: str
    token: str
