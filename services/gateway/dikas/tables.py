"""Section Tables: tables with what is going on at them, and their groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.pos.commands import CallCourse, MarkCleaned, TableKey, TableStatus, TableTab
from libs.contracts.pos.events import TableState
from libs.contracts.pos.records import TABLE, TABLE_GROUP
from services.gateway.bodies import Whole
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.names import dialect_name
from services.gateway.dikas.records import Section

STATUS_CODES: Final[Mapping[TableState, int]] = {TableState.FREE: 0, TableState.OCCUPIED: 1, TableState.NEEDS_CLEANING: 3}


class TableBody(msgspec.Struct, rename=dialect_name):
    number: Whole | UnsetType = UNSET
    name: str | UnsetType | None = UNSET
    group_key: str | UnsetType | None = UNSET
    seats: Whole | UnsetType | None = UNSET
    shape: Whole | UnsetType | None = UNSET
    width: Whole | UnsetType | None = UNSET
    height: Whole | UnsetType | None = UNSET
    x: Whole | UnsetType | None = UNSET
    y: Whole | UnsetType | None = UNSET
    rotation: Whole | UnsetType | None = UNSET
    colour: str | UnsetType | None = UNSET
    sort_order: Whole | UnsetType | None = UNSET
    needs_cleaning: bool | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class TableValues(msgspec.Struct):
    number: int
    is_active: bool
    needs_cleaning: bool
    name: str | None = None
    group_key: str | None = None
    seats: int | None = None
    shape: int | None = None
    width: int | None = None
    height: int | None = None
    x: int | None = None
    y: int | None = None
    rotation: int | None = None
    colour: str | None = None
    sort_order: int | None = None


class TableOut(msgspec.Struct, rename="camel"):
    """``status``: 0 free, 1 occupied, 3 needs cleaning; ``course``: the one called last."""

    id: str
    number: int
    name: str
    group_id: str | None
    seats: int | None
    shape: int | None
    width: int | None
    height: int | None
    x: int | None
    y: int | None
    rotation: int | None
    color: str | None
    sort_order: int | None
    cleaning_required: bool
    is_active: bool
    status: int
    course: int | None
    open_items: int
    open_amount: Decimal
    occupied_since: str | None
    created_date: str
    changed_date: str


class TableStatusOut(msgspec.Struct, rename="camel"):
    id: str
    status: int
    course: int | None
    open_items: int
    open_amount: Decimal


class CourseBody(msgspec.Struct):
    course: Whole


def table_out(view: Any, tab: TableTab) -> TableOut:
    values: TableValues = view.values
    return TableOut(
        id=view.key,
        number=values.number,
        name=values.name or str(values.number),
        group_id=values.group_key,
        seats=values.seats,
        shape=values.shape,
        width=values.width,
        height=values.height,
        x=values.x,
        y=values.y,
        rotation=values.rotation,
        color=values.colour,
        sort_order=values.sort_order,
        cleaning_required=values.needs_cleaning,
        is_active=values.is_active,
        status=STATUS_CODES[tab.state],
        course=tab.course or None,
        open_items=tab.open_lines,
        open_amount=shapes.amount(tab.open_amount),
        occupied_since=shapes.maybe_moment(tab.occupied_at),
        created_date=shapes.moment(view.created_at),
        changed_date=shapes.moment(view.changed_at),
    )


def status_out(status: TableStatus) -> TableStatusOut:
    return TableStatusOut(status.table, STATUS_CODES[status.state], status.course, status.open_lines, shapes.amount(status.open_amount))


def _new_table_out(view: Any) -> TableOut:
    return table_out(view, TableTab())


class _Tables(Section):
    """Tables are records; their answers also show the tab."""

    @cached_property
    def shown(self) -> Any:
        """``TableShown`` with typed values."""
        return msgspec.defstruct("table_shown", [("view", self.view), ("tab", TableTab)], frozen=True)

    async def shower(self, call: Call) -> Callable[[Any], TableOut]:
        tabs = await call.query("pos", "tab.list", {}, dict[str, TableTab])
        return lambda view: table_out(view, tabs.get(view.key, TableTab()))

    def asks(self, verb: str) -> tuple[str, ...]:
        """``table.shown`` needs the rights of both, of the table and of its tab."""
        if verb == "get":
            return ("pos.table.shown", "pos.tab.get")
        tab = {"list": ("pos.tab.list",), "change": ("pos.tab.get",)}
        return (*super().asks(verb), *tab.get(verb, ()))

    async def get(self, call: Call) -> TableOut:
        """The table with what is going on at it."""
        found = await call.query("pos", "table.shown", TableKey(table=self.key(call)), self.shown)
        return table_out(self.tagged(call, found.view), found.tab)

    async def update(self, call: Call) -> TableOut:
        """Fields that are not named stay as they are; null clears one."""
        view = await self.changed(call)
        return table_out(view, await call.query("pos", "tab.get", TableKey(table=view.key), TableTab))


class GroupBody(msgspec.Struct, rename=dialect_name):
    name: str | UnsetType = UNSET
    colour: str | UnsetType | None = UNSET
    sort_order: Whole | UnsetType | None = UNSET
    show_plan: bool | UnsetType = UNSET
    seat_selection: bool | UnsetType = UNSET


class GroupValues(msgspec.Struct):
    name: str
    show_plan: bool
    seat_selection: bool
    colour: str | None = None
    sort_order: int | None = None


class GroupOut(msgspec.Struct, rename="camel"):
    id: str
    name: str
    color: str | None
    sort_order: int | None
    show_plan: bool
    seat_selection: bool
    created_date: str
    changed_date: str


def group_out(view: Any) -> GroupOut:
    values: GroupValues = view.values
    return GroupOut(
        view.key,
        values.name,
        values.colour,
        values.sort_order,
        values.show_plan,
        values.seat_selection,
        shapes.moment(view.created_at),
        shapes.moment(view.changed_at),
    )


async def call_course(call: Call) -> TableStatusOut:
    """The kitchen may send a course (Gang)."""
    body = CallCourse(table=call.id("id", "table_not_found"), course=call.body.course)
    return status_out(await call.command("pos", "tab.call_course", body, TableStatus))


async def mark_cleaned(call: Call) -> TableStatusOut:
    """The table can be taken again."""
    return status_out(await call.command("pos", "tab.mark_cleaned", MarkCleaned(table=call.id("id", "table_not_found")), TableStatus))


ROUTES = (
    *_Tables("Tables", "/api/v1/tables", TABLE, TableBody, TableValues, _new_table_out, live=True).routes(),
    *Section("Tables", "/api/v1/table-groups", TABLE_GROUP, GroupBody, GroupValues, group_out).routes(),
    Route("POST", "/api/v1/tables/{id}/gang", "Tables", call_course, CourseBody, asks=("pos.tab.call_course",)),
    Route("POST", "/api/v1/tables/{id}/cleaned", "Tables", mark_cleaned, asks=("pos.tab.mark_cleaned",)),
)
