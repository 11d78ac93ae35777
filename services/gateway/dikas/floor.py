"""Section Tables: what waiters do with tables beside ordering and paying. The tables themselves are in ``tables``."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
import segno
from msgspec import UNSET, UnsetType

from libs.contracts.pos.commands import SEAT_MAX, TableKey, TableStatus
from libs.contracts.pos.floor import (
    Arranged,
    ArrangeTables,
    InterimBill,
    MergeTables,
    MovedItems,
    MoveTable,
    PlacedTable,
    PrintInterimBill,
    SelfOrderKey,
    SplitItem,
    SplitTable,
    TableService,
    TransferTable,
)
from libs.contracts.pos.lists import TABLE_SERVICE_ORDERS, TableServiceList
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from services.gateway.bodies import Whole
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Picture, Route
from services.gateway.dikas.interim_bill import interim_bill_text
from services.gateway.dikas.listing import asks_of, listed, paged_params, paging_of
from services.gateway.dikas.open_items import ASKS_OF_TABLE, OF_TABLE, MovedItemOut, moved_item_out, of_table
from services.gateway.dikas.params import Form, Param
from services.gateway.dikas.tables import STATUS_CODES, TableStatusOut, status_out


class TableServiceOut(msgspec.Struct, rename="camel"):
    """``staffId``, ``occupiedSince`` and ``lastServiceDate`` only while guests sit; ``serviceAge``: seconds since they were served
    last (ordered, course called, item served, bill shown or paid in part)."""

    id: str
    number: int | None
    name: str
    group_id: str | None
    is_active: bool
    status: int
    course: int | None
    open_items: int
    open_amount: Decimal
    occupied_since: str | None
    staff_id: str | None
    last_service_date: str | None
    service_age: int | None
    interim_bills: int


class PositionBody(msgspec.Struct, rename="camel"):
    id: str
    x: Whole | UnsetType | None = UNSET
    y: Whole | UnsetType | None = UNSET
    width: Whole | UnsetType | None = UNSET
    height: Whole | UnsetType | None = UNSET
    rotation: Whole | UnsetType | None = UNSET


class LayoutBody(msgspec.Struct, rename="camel"):
    tables: list[PositionBody]


class LayoutOut(msgspec.Struct, rename="camel"):
    table_ids: list[str]


class MoveBody(msgspec.Struct, rename="camel"):
    target_table_id: str


class MergeBody(msgspec.Struct, rename="camel"):
    table_ids: list[str]


class SplitItemBody(msgspec.Struct, rename="camel"):
    id: str
    quantity: Decimal | None = None


class SplitBody(msgspec.Struct, rename="camel"):
    """``targetTableId`` or ``seat``, or both."""

    items: list[SplitItemBody]
    target_table_id: str | None = None
    seat: Whole | None = None


class TransferBody(msgspec.Struct, rename="camel"):
    staff_id: str


class MovedOut(msgspec.Struct, rename="camel"):
    """``tables``: all that took part, as they are now."""

    tables: list[TableStatusOut]
    items: list[MovedItemOut]


class BillLineOut(msgspec.Struct, rename="camel"):
    id: str
    name: str
    quantity: Decimal
    unit_price: Decimal
    discount: Decimal
    total: Decimal
    tax_rate: Decimal
    seat: int | None


class BillTaxOut(msgspec.Struct, rename="camel"):
    rate: Decimal
    net: Decimal
    tax: Decimal
    gross: Decimal


class InterimBillOut(msgspec.Struct, rename="camel"):
    """No receipt: it has no number and nothing is paid. ``printed``: how many these guests have seen."""

    table_id: str
    seat: int | None
    staff_id: str
    date: str
    printed: int
    items: list[BillLineOut]
    taxes: list[BillTaxOut]
    gross: Decimal
    net: Decimal
    tax: Decimal
    is_receipt: bool
    text: str


class SelfOrderOut(msgspec.Struct, rename="camel"):
    """``url`` is what the code says; ``?format=svg`` or ``png`` draws it."""

    table_id: str
    token: str
    url: str


def _table(call: Call) -> str:
    return call.id("id", "table_not_found")


# --- status and layout --------------------------------------------------------------------------------------------------------


async def status(call: Call) -> AsyncIterator[list[TableServiceOut]]:
    """Every table: who serves it, since when, what is open, and how long its guests have been waiting."""
    code = call.number("status")
    if code is not None and code not in STATES:
        raise invalid(FieldError("status", "not_allowed", {"allowed": ", ".join(map(str, STATES))}))
    wanted = TableServiceList(
        group=call.named("groupId"),
        waiter=call.named("staffId"),
        state=None if code is None else STATES[code],
        is_active=call.flag("isActive"),
        **paging_of(call, TABLE_SERVICE_ORDERS),
    )
    async for piece in listed(call, "pos", "tab.service", wanted, TableService, lambda table: _service_out(table, call)):
        yield piece


def _service_out(table: TableService, call: Call) -> TableServiceOut:
    age = None if table.served_at is None else max(0, int((call.at - table.served_at).total_seconds()))
    return TableServiceOut(
        id=table.table,
        number=table.number,
        name=table.name or str(table.number),
        group_id=table.group,
        is_active=table.is_active,
        status=STATUS_CODES[table.state],
        course=table.course or None,
        open_items=table.open_lines,
        open_amount=shapes.amount(table.open_amount),
        occupied_since=shapes.maybe_moment(table.since),
        staff_id=table.waiter,
        last_service_date=shapes.maybe_moment(table.served_at),
        service_age=age,
        interim_bills=table.interim_bills,
    )


async def layout(call: Call) -> LayoutOut:
    """Positions of many tables on the plan, all of them or none; what is not named stays."""
    placed = tuple(
        PlacedTable(
            table=body.id,
            values={name: value for name in ("x", "y", "width", "height", "rotation") if (value := getattr(body, name)) is not UNSET},
        )
        for body in call.body.tables
    )
    done = await call.command("pos", "table.arrange", ArrangeTables(tables=placed), Arranged)
    return LayoutOut(list(done.tables))


# --- moving -------------------------------------------------------------------------------------------------------------------


def _moved_out(moved: MovedItems) -> MovedOut:
    return MovedOut([status_out(table) for table in moved.tables], [moved_item_out(item) for item in moved.items])


async def move(call: Call) -> MovedOut:
    """The guests go to another table; those who sit there are joined."""
    wanted = MoveTable(table=_table(call), target=call.body.target_table_id)
    return _moved_out(await call.command("pos", "tab.move", wanted, MovedItems))


async def merge(call: Call) -> MovedOut:
    """Everything open at the named tables comes to this one, all of it or nothing."""
    wanted = MergeTables(table=_table(call), sources=tuple(call.body.table_ids))
    return _moved_out(await call.command("pos", "tab.merge", wanted, MovedItems))


async def split(call: Call) -> MovedOut:
    """Selected items, or parts of them, go to another table or seat."""
    body: SplitBody = call.body
    wanted = SplitTable(
        table=_table(call),
        items=tuple(SplitItem(line=item.id, quantity=item.quantity) for item in body.items),
        target=body.target_table_id,
        seat=body.seat,
    )
    return _moved_out(await call.command("pos", "tab.split", wanted, MovedItems))


async def transfer(call: Call) -> TableStatusOut:
    """Another waiter serves the table from now on."""
    wanted = TransferTable(table=_table(call), waiter=call.body.staff_id)
    return status_out(await call.command("pos", "tab.transfer", wanted, TableStatus))


# --- interim bill -------------------------------------------------------------------------------------------------------------


async def interim_bill(call: Call) -> InterimBillOut:
    """What is open, as figures and as text to print, with ``?seat=`` that of one seat; no receipt, but it is counted."""
    wanted = PrintInterimBill(table=_table(call), seat=call.number("seat"))
    bill = await call.command("pos", "tab.print_interim_bill", wanted, InterimBill)
    amount = shapes.amount
    return InterimBillOut(
        table_id=bill.table,
        seat=bill.seat,
        staff_id=bill.waiter,
        date=shapes.moment(bill.at),
        printed=bill.printed,
        items=[
            BillLineOut(
                line.id,
                line.name,
                shapes.quantity(line.quantity),
                shapes.price(line.unit_price),
                amount(line.discount),
                amount(line.total),
                shapes.quantity(line.tax_rate),
                line.seat,
            )
            for line in bill.lines
        ],
        taxes=[BillTaxOut(shapes.quantity(t.rate), amount(t.net), amount(t.tax), amount(t.gross)) for t in bill.taxes],
        gross=amount(bill.gross),
        net=amount(bill.net),
        tax=amount(bill.tax),
        is_receipt=False,
        text=interim_bill_text(bill, await _name(call, bill.table), call.language),
    )


async def _name(call: Call, table: str) -> str:
    """As guests know it; a table whose record is gone goes by its id."""
    try:
        values = (await call.query("pos", "table.get", {"key": table}, dict[str, Any]))["values"]
    except DomainError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        return table
    return str(values["name"] or values["number"])


# --- self-order code ----------------------------------------------------------------------------------------------------------

SELF_ORDER_PATH: Final = "/order/"
QR_SCALE: Final = 8  # pixels of a module
_HOST: Final = re.compile(r"[A-Za-z0-9.\-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")


def _svg(code: segno.QRCode) -> Picture:
    drawn = io.BytesIO()
    code.save(drawn, kind="svg", scale=QR_SCALE)
    return Picture("image/svg+xml", drawn.getvalue())


def _png(code: segno.QRCode) -> Picture:
    drawn = io.BytesIO()
    code.save(drawn, kind="png", scale=QR_SCALE)
    return Picture("image/png", drawn.getvalue())


DRAWINGS: Final[Mapping[str, Callable[[segno.QRCode], Picture]]] = {"svg": _svg, "png": _png}


async def self_order_code(call: Call) -> SelfOrderOut | Picture:
    """The address under which guests order at this table, and with ``?format=svg`` or ``png`` its QR code; it stays the same."""
    drawing = call.choice("format")
    found = await call.query("pos", "self_order_key", TableKey(table=_table(call)), SelfOrderKey)
    host = call.request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        raise invalid(FieldError("Host", "malformed", {"detail": host[:100]}))
    url = f"{call.request.scheme}://{host}{SELF_ORDER_PATH}{found.token}"
    if drawing == "json":
        return SelfOrderOut(found.table, found.token, url)
    return DRAWINGS[drawing](segno.make_qr(url, error="m"))


STATES: Final = {code: state for state, code in STATUS_CODES.items()}
STATUS: Final = (
    Param("groupId", Form.ID, "Only of this group.", example="{tableGroup}"),
    Param("staffId", Form.ID, "Only those this employee serves.", example="{staff}"),
    Param("status", Form.WHOLE, "0 free, 1 occupied, 3 needs cleaning.", low=0, high=max(STATES), example=1),
    Param("isActive", Form.FLAG, "Whether they are in use.", example="true"),
    *paged_params(TABLE_SERVICE_ORDERS),
)
SEAT: Final = Param("seat", Form.WHOLE, "Only what this seat ordered.", low=1, high=SEAT_MAX, example=1)
FORMAT: Final = Param("format", Form.CHOICE, "The address as JSON, or drawn.", choices=("json", *DRAWINGS), default="json", example="svg")

ROUTES = (
    Route("GET", "/api/v1/tables/status", "Tables", status, stream=True, asks=asks_of("pos", "tab.service"), params=STATUS),
    Route("PUT", "/api/v1/tables/layout", "Tables", layout, LayoutBody, asks=("pos.table.arrange",)),
    Route("GET", "/api/v1/tables/{id}/open-bons", "Tables", of_table, stream=True, asks=ASKS_OF_TABLE, params=OF_TABLE),
    Route("POST", "/api/v1/tables/{id}/move", "Tables", move, MoveBody, asks=("pos.tab.move",)),
    Route("POST", "/api/v1/tables/{id}/merge", "Tables", merge, MergeBody, asks=("pos.tab.merge",)),
    Route("POST", "/api/v1/tables/{id}/split", "Tables", split, SplitBody, asks=("pos.tab.split",)),
    Route("POST", "/api/v1/tables/{id}/transfer", "Tables", transfer, TransferBody, asks=("pos.tab.transfer",)),
    Route("POST", "/api/v1/tables/{id}/interim-bill", "Tables", interim_bill, asks=("pos.tab.print_interim_bill",), params=(SEAT,)),
    Route(
        "GET",
        "/api/v1/tables/{id}/qr",
        "Tables",
        self_order_code,
        asks=("pos.self_order_key", "auth.instance.list"),
        params=(FORMAT,),
        media=("image/svg+xml", "image/png"),
    ),
)
