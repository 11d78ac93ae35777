"""Section OpenBons: the items that are open at tables, and what becomes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.pos.commands import SEAT_MAX
from libs.contracts.pos.floor import (
    CancelledItem,
    CancelledPart,
    CancelLine,
    ChangeLine,
    ItemState,
    LineKey,
    MovedItem,
    MoveLine,
    OpenItem,
    SetKitchenState,
    item_tag,
)
from libs.contracts.pos.lists import OPEN_ITEM_ORDERS, OpenItemList
from libs.contracts.pos.tab_events import KitchenState
from libs.domain.errors import FieldError, invalid
from services.gateway.bodies import Whole
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.listing import asks_of, listed, paged_params, paging_of
from services.gateway.dikas.open_bons import OrderItemOut, item_out
from services.gateway.dikas.params import IF_MATCH, IF_NONE_MATCH, Form, Param
from services.gateway.dikas.tags import if_match


class CancelledOut(msgspec.Struct, rename="camel"):
    """``status``: how far the kitchen was with it."""

    reason: str
    status: str
    staff_id: str
    date: str


class OpenItemOut(OrderItemOut, rename="camel"):
    """An ordered item that is not paid, or not all of it. ``status``: held, ordered, preparing, ready, served, or cancelled; then
    ``cancelled`` says why, and what is open of it is what was taken off."""

    table_id: str
    order_id: str
    staff_id: str
    created_date: str
    open_quantity: Decimal
    open_amount: Decimal
    status: str
    status_date: str
    cancelled: CancelledOut | None


class MovedItemOut(OpenItemOut, rename="camel"):
    """``previousId``: the id it had where it came from; another one if only a part of it came."""

    previous_id: str


class CancelledItemOut(msgspec.Struct, rename="camel"):
    """``quantity`` and ``amount`` were taken off."""

    id: str
    table_id: str
    quantity: Decimal
    amount: Decimal
    open_quantity: Decimal
    open_amount: Decimal
    cancelled: CancelledOut


class ItemStateOut(msgspec.Struct, rename="camel"):
    id: str
    table_id: str
    status: str
    status_date: str


class ChangeBody(msgspec.Struct, rename="camel"):
    """What is not named stays; null clears. ``quantity``: how much is to be open; less than there is takes a ``reason``."""

    quantity: Decimal | UnsetType = UNSET
    note: str | UnsetType | None = UNSET
    course: Whole | UnsetType | None = UNSET
    seat: Whole | UnsetType | None = UNSET
    discount_percent: Decimal | UnsetType | None = UNSET
    discount_amount: Decimal | UnsetType | None = UNSET
    reason: str | None = None


class StatusBody(msgspec.Struct, rename="camel"):
    status: str


class MoveItemBody(msgspec.Struct, rename="camel"):
    """To another table, another seat, or both; without ``quantity`` all that is open."""

    target_table_id: str | None = None
    seat: Whole | None = None
    quantity: Decimal | None = None


def _cancelled_out(cancelled: CancelledPart) -> CancelledOut:
    return CancelledOut(cancelled.reason, str(cancelled.state), cancelled.staff, shapes.moment(cancelled.at))


def open_item_values(found: OpenItem) -> dict[str, Any]:
    return {
        **item_out(found.line),
        "table_id": found.table,
        "order_id": found.order,
        "staff_id": found.staff,
        "created_date": shapes.moment(found.placed_at),
        "open_quantity": shapes.quantity(found.open_quantity),
        "open_amount": shapes.amount(found.open_amount),
        "status": str(found.state),
        "status_date": shapes.moment(found.state_at),
        "cancelled": _cancelled_out(found.cancelled) if found.cancelled else None,
    }


def open_item_out(found: OpenItem) -> OpenItemOut:
    return OpenItemOut(**open_item_values(found))


def moved_item_out(moved: MovedItem) -> MovedItemOut:
    return MovedItemOut(**open_item_values(moved.item), previous_id=moved.before)


# --- query parameters ---------------------------------------------------------------------------------------------------------


def _state(text: str | None, name: str) -> KitchenState | None:
    if not text:
        return None
    try:
        return KitchenState(text)
    except ValueError:
        raise invalid(FieldError(name, "not_allowed", {"allowed": ", ".join(KitchenState)})) from None


# --- routes -------------------------------------------------------------------------------------------------------------------


def _wanted(call: Call, table: str | None) -> OpenItemList:
    return OpenItemList(
        table=table,
        group=call.named("groupId"),
        seat=call.number("seat"),
        state=_state(call.choice("state"), "state"),
        since=call.moment("from"),
        staff=call.named("staffId"),
        article=call.named("articleId"),
        **paging_of(call, OPEN_ITEM_ORDERS),
    )


async def open_items(call: Call) -> AsyncIterator[list[OpenItemOut]]:
    """Everything open, by table, group (of tables or articles), seat, state of the kitchen and time; a page, an order"""
    async for piece in listed(call, "pos", LIST, _wanted(call, call.named("tableId")), OpenItem, open_item_out):
        yield piece


async def of_table(call: Call) -> AsyncIterator[list[OpenItemOut]]:
    """What is open at a table; filters as in the list of all. Nothing: an empty list, if there is such a table; one whose record is gone
    shows what is left."""
    table = call.id("tableId" if "tableId" in call.params else "id", "table_not_found")
    nothing = True
    async for piece in listed(call, "pos", LIST, _wanted(call, table), OpenItem, open_item_out):
        if piece:
            nothing = False
            yield piece
    if nothing:
        await call.query("pos", "table.get", {"key": table}, dict[str, Any])


async def open_item(call: Call) -> OpenItemOut:
    """One open item."""
    found = await call.query("pos", "tab.open_line", LineKey(line=call.id("id", "line_not_found")), OpenItem)
    return open_item_out(_tagged(call, found))


def _tagged(call: Call, item: OpenItem) -> OpenItem:
    """The item; the answer gets its tag."""
    call.tag = item_tag(call.principal.instance, item.table, item.version)
    return item


async def change(call: Call) -> OpenItemOut:
    """Quantity, note, course, seat or discount of what is open. Less takes a ``reason``; more keeps the price."""
    line = call.id("id", "line_not_found")
    body: ChangeBody = call.body
    faults: list[FieldError] = []
    discount: int | UnsetType | None = UNSET
    if body.discount_amount is not UNSET:
        discount = shapes.minor(body.discount_amount, "discount_amount", faults)
    shapes.refuse(faults)
    wanted = ChangeLine(
        line=line,
        quantity=body.quantity,
        note=body.note,
        course=body.course,
        seat=body.seat,
        discount_percent=body.discount_percent,
        discount_amount=discount,
        reason=body.reason,
        if_match=if_match(call),
    )
    return open_item_out(_tagged(call, await call.command("pos", "tab.change_line", wanted, OpenItem)))


async def cancel(call: Call) -> CancelledItemOut:
    """Takes an item off the table, or with ``?quantity=`` a part of it; ``?reason=`` is required and stays on record."""
    line, reason, quantity = call.id("id", "line_not_found"), call.text("reason"), call.decimal("quantity")
    wanted = CancelLine(line=line, reason=reason, quantity=quantity, if_match=if_match(call))
    done = await call.command("pos", "tab.cancel_line", wanted, CancelledItem)
    return CancelledItemOut(
        id=done.line,
        table_id=done.table,
        quantity=shapes.quantity(done.quantity),
        amount=shapes.amount(done.amount),
        open_quantity=shapes.quantity(done.open_quantity),
        open_amount=shapes.amount(done.open_amount),
        cancelled=_cancelled_out(done.cancelled),
    )


async def set_status(call: Call) -> ItemStateOut:
    """How far the kitchen is: ordered, preparing, ready, served; backwards is a recall."""
    line = call.id("id", "line_not_found")
    state = _state(call.body.status, "status")
    if state is None:
        raise invalid(FieldError("status", "required"))
    wanted = SetKitchenState(line=line, state=state, if_match=if_match(call))
    done = await call.command("pos", "tab.set_kitchen_state", wanted, ItemState)
    call.tag = item_tag(call.principal.instance, done.table, done.version)
    return ItemStateOut(done.line, done.table, str(done.state), shapes.moment(done.at))


async def move(call: Call) -> MovedItemOut:
    """To another table or seat, all that is open or a part, which then has an id of its own."""
    body: MoveItemBody = call.body
    line = call.id("id", "line_not_found")
    wanted = MoveLine(line=line, target=body.target_table_id, seat=body.seat, quantity=body.quantity, if_match=if_match(call))
    moved = await call.command("pos", "tab.move_line", wanted, MovedItem)
    _tagged(call, moved.item)
    return moved_item_out(moved)


LIST: Final = "tab.open_item"
OF_TABLE: Final = (
    Param("groupId", Form.ID, "Only of this group of tables, or of articles.", example="{articleGroup}"),
    Param("seat", Form.WHOLE, "Only of this seat.", low=1, high=SEAT_MAX, example=1),
    Param("state", Form.CHOICE, "Only what is in this state of the kitchen.", choices=tuple(KitchenState), example="ordered"),
    Param("from", Form.MOMENT, "What was ordered from this moment on.", example="2026-03-01T00:00:00Z"),
    Param("staffId", Form.ID, "Only what this employee ordered.", example="{staff}"),
    Param("articleId", Form.ID, "Only this article.", example="{article}"),
    *paged_params(OPEN_ITEM_ORDERS),
)
ASKED: Final = (Param("tableId", Form.ID, "Only of this table.", example="{table}"), *OF_TABLE)
ASKS: Final = asks_of("pos", LIST)
ASKS_OF_TABLE: Final = (*ASKS, "pos.table.get")
CANCELLED: Final = (
    Param("reason", Form.TEXT, "Why; it stays on record.", required=True, example="Guest sent it back"),
    Param("quantity", Form.DECIMAL, "How much of it; without it, all that is open.", example=1),
)

ROUTES = (
    Route("GET", "/api/v1/open-bons", "OpenBons", open_items, stream=True, asks=ASKS, params=ASKED),
    Route("GET", "/api/v1/open-bons/table/{tableId}", "OpenBons", of_table, stream=True, asks=ASKS_OF_TABLE, params=OF_TABLE),
    Route("GET", "/api/v1/open-bons/{id}", "OpenBons", open_item, asks=("pos.tab.open_line",), params=(IF_NONE_MATCH,)),
    Route("PUT", "/api/v1/open-bons/{id}", "OpenBons", change, ChangeBody, asks=("pos.tab.change_line",), params=(IF_MATCH,)),
    Route("DELETE", "/api/v1/open-bons/{id}", "OpenBons", cancel, asks=("pos.tab.cancel_line",), params=(*CANCELLED, IF_MATCH)),
    Route(
        "POST",
        "/api/v1/open-bons/{id}/status",
        "OpenBons",
        set_status,
        StatusBody,
        asks=("pos.tab.set_kitchen_state",),
        params=(IF_MATCH,),
    ),
    Route("POST", "/api/v1/open-bons/{id}/move", "OpenBons", move, MoveItemBody, asks=("pos.tab.move_line",), params=(IF_MATCH,)),
)
