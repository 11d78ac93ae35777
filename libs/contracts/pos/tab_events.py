"""What happens to items after they were ordered: moved, changed, cancelled, made by the kitchen. All in the stream ``tab-<table>``."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from libs.contracts.pos.events import OrderLine, TableState
from libs.domain.events import Event, event


class KitchenState(StrEnum):
    """Where the kitchen is with an item. ``held`` (its course was not called yet) and ``cancelled`` follow from other events and are
    never set by themselves."""

    HELD = "held"
    ORDERED = "ordered"
    PREPARING = "preparing"
    READY = "ready"
    SERVED = "served"
    CANCELLED = "cancelled"


class TabItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An item with all that is known of it. ``line`` covers exactly what is open of it, so its ``discount`` may be a cent off the
    agreed share and even −1. ``fired``: the kitchen has it, whatever courses the table calls; ``held``: its course had not been called
    when this happened."""

    line: OrderLine
    order: str
    staff: str
    placed_at: datetime
    state: KitchenState = KitchenState.ORDERED
    fired: bool = False
    held: bool = False


class MovedPart(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How much of an item left a table."""

    line: str
    quantity: Decimal
    amount: int


@event("tab.lines_moved_out")
class LinesMovedOut(Event, frozen=True, kw_only=True):
    """Items went to ``target``, in the same order as they are named in its ``tab.lines_moved_in``; ``leaves`` is the state this table is
    in from now on."""

    table: str
    target: str
    parts: tuple[MovedPart, ...]
    leaves: TableState
    staff: str
    at: datetime


@event("tab.lines_moved_in")
class LinesMovedIn(Event, frozen=True, kw_only=True):
    """Items came from ``source``. An item that came whole keeps its id, a part of one has its own. A table that was free takes over
    ``waiter``, ``since``, ``served_at`` and ``course``; an occupied one keeps its own. ``interim_bills`` are added up."""

    table: str
    source: str
    items: tuple[TabItem, ...]
    waiter: str
    since: datetime
    served_at: datetime
    staff: str
    at: datetime
    course: int = 0
    interim_bills: int = 0


@event("tab.line_changed")
class LineChanged(Event, frozen=True, kw_only=True):
    """An open item as it stands from now on."""

    table: str
    item: TabItem
    staff: str
    at: datetime


@event("tab.line_cancelled")
class LineCancelled(Event, frozen=True, kw_only=True):
    """``quantity`` of an item and its ``amount`` are taken off the table; ``state`` is how far the kitchen was with it. What is left of
    it is open. ``leaves`` is the state the table is in from now on."""

    table: str
    line: str
    quantity: Decimal
    amount: int
    open_quantity: Decimal
    open_amount: int
    reason: str
    state: KitchenState
    leaves: TableState
    staff: str
    at: datetime


@event("tab.kitchen_state_set")
class KitchenStateSet(Event, frozen=True, kw_only=True):
    table: str
    line: str
    state: KitchenState
    staff: str
    at: datetime


@event("tab.handed_over")
class TableHandedOver(Event, frozen=True, kw_only=True):
    """``waiter`` serves the table from now on; ``staff`` is who decided it."""

    table: str
    waiter: str
    before: str
    staff: str
    at: datetime


@event("tab.interim_bill_printed")
class InterimBillPrinted(Event, frozen=True, kw_only=True):
    """The guests saw what is open (Zwischenrechnung), with ``seat`` that of one seat; no receipt. ``amount`` is what it said."""

    table: str
    amount: int
    lines: int
    staff: str
    at: datetime
    seat: int | None = None
