"""Shifts and day close: sections Shifts and DayClose, which the published list does not have; the paths of day close are published."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal

import msgspec

from libs.contracts.pos.house import (
    CloseDay,
    CountShift,
    OpenShift,
    RegisterTotal,
    ReportKey,
    Shift,
    ShiftKey,
    ShiftTotal,
    Totals,
    XReport,
    ZReport,
)
from libs.contracts.pos.lists import REPORT_ORDERS, SHIFT_ORDERS, ReportList, ShiftList
from libs.domain.errors import FieldError, invalid
from services.gateway import limits
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.listing import asks_of, listed, paged_params, paging_of
from services.gateway.dikas.names import dialect_name
from services.gateway.dikas.params import IF_NONE_MATCH, REGISTER, Form, Param
from services.gateway.dikas.receipts import TaxOut
from services.gateway.dikas.tags import tag_shown


class OpenShiftBody(msgspec.Struct, rename="camel"):
    """``openingFloat``: cash in the drawer at the start; ``staffId``: for whom, if not for oneself."""

    opening_float: Decimal | None = None
    staff_id: str | None = None


class SettleBody(msgspec.Struct, rename="camel"):
    """``countedCash``: what lies in the drawer; without it the shift is settled uncounted."""

    counted_cash: Decimal | None = None


class CloseBody(msgspec.Struct, rename="camel"):
    """``date``: the last business day to close, by itself the last one with receipts. ``confirm``: warnings that are accepted."""

    date: str | None = None
    confirm: list[str] = []


class PaymentTotalOut(msgspec.Struct, rename="camel"):
    type: int
    amount: Decimal
    count: int


class TotalsOut(msgspec.Struct, rename="camel"):
    receipt_count: int
    void_count: int
    refund_count: int
    gross: Decimal
    net: Decimal
    tax: Decimal
    tips: Decimal
    cash: Decimal
    taxes: list[TaxOut]
    payments: list[PaymentTotalOut]


class ShiftOut(msgspec.Struct, rename="camel"):
    """``expectedCash``, ``difference`` and ``totals`` are there once it is settled."""

    id: str
    staff_id: str
    register_id: str
    business_day: str
    opened_date: str
    opening_float: Decimal
    is_settled: bool
    counted_cash: Decimal | None
    counted_date: str | None
    expected_cash: Decimal | None
    difference: Decimal | None
    totals: TotalsOut | None


class RegisterTotalOut(msgspec.Struct, rename="camel"):
    register_id: str
    first_number: int
    last_number: int
    receipts: int
    gross: Decimal


class ShiftTotalOut(msgspec.Struct, rename="camel"):
    id: str
    staff_id: str
    register_id: str
    expected_cash: Decimal
    counted_cash: Decimal | None
    difference: Decimal


class ZReportOut(msgspec.Struct, rename="camel"):
    """``unreadable``: positions in the log of receipts that could not be counted; an empty list, unless something is badly wrong."""

    id: str
    number: int
    first_date: str
    date: str
    closed_date: str
    staff_id: str
    totals: TotalsOut
    registers: list[RegisterTotalOut]
    shifts: list[ShiftTotalOut]
    confirmed: list[str]
    unreadable: list[int]


class OpenTableOut(msgspec.Struct, rename="camel"):
    table_id: str
    open_amount: Decimal


class XReportOut(msgspec.Struct, rename="camel"):
    """The open day so far. ``openShifts`` block its close, ``openTables`` must be confirmed."""

    first_date: str | None
    date: str
    totals: TotalsOut
    registers: list[RegisterTotalOut]
    open_shifts: list[ShiftOut]
    open_tables: list[OpenTableOut]
    unreadable: list[int]


def _maybe(minor: int | None) -> Decimal | None:
    return None if minor is None else shapes.amount(minor)


def totals_out(totals: Totals) -> TotalsOut:
    amount = shapes.amount
    return TotalsOut(
        receipt_count=totals.receipts,
        void_count=totals.voids,
        refund_count=totals.refunds,
        gross=amount(totals.gross),
        net=amount(totals.net),
        tax=amount(totals.tax),
        tips=amount(totals.tips),
        cash=amount(totals.cash),
        taxes=[TaxOut(shapes.quantity(tax.rate), amount(tax.net), amount(tax.tax), amount(tax.gross)) for tax in totals.taxes],
        payments=[PaymentTotalOut(payment.type, amount(payment.amount), payment.count) for payment in totals.payments],
    )


def shift_out(shift: Shift) -> ShiftOut:
    return ShiftOut(
        id=shift.id,
        staff_id=shift.staff,
        register_id=shift.register,
        business_day=shift.business_day.isoformat(),
        opened_date=shapes.moment(shift.opened_at),
        opening_float=shapes.amount(shift.opening_float),
        is_settled=shift.totals is not None,
        counted_cash=_maybe(shift.counted),
        counted_date=shapes.maybe_moment(shift.counted_at),
        expected_cash=_maybe(shift.expected),
        difference=_maybe(shift.difference),
        totals=None if shift.totals is None else totals_out(shift.totals),
    )


def _register_out(register: RegisterTotal) -> RegisterTotalOut:
    gross = shapes.amount(register.gross)
    return RegisterTotalOut(register.register, register.first_number, register.last_number, register.receipts, gross)


def _shift_total_out(shift: ShiftTotal) -> ShiftTotalOut:
    amount = shapes.amount
    return ShiftTotalOut(shift.shift, shift.staff, shift.register, amount(shift.expected), _maybe(shift.counted), amount(shift.difference))


def z_report_out(report: ZReport) -> ZReportOut:
    return ZReportOut(
        id=report.id,
        number=report.number,
        first_date=report.first_day.isoformat(),
        date=report.through.isoformat(),
        closed_date=shapes.moment(report.closed_at),
        staff_id=report.staff,
        totals=totals_out(report.totals),
        registers=[_register_out(register) for register in report.registers],
        shifts=[_shift_total_out(shift) for shift in report.shifts],
        confirmed=[dialect_name(warning) for warning in report.confirmed],
        unreadable=list(report.unreadable),
    )


def x_report_out(report: XReport) -> XReportOut:
    return XReportOut(
        first_date=None if report.first_day is None else report.first_day.isoformat(),
        date=report.through.isoformat(),
        totals=totals_out(report.totals),
        registers=[_register_out(register) for register in report.registers],
        open_shifts=[shift_out(shift) for shift in report.open_shifts],
        open_tables=[OpenTableOut(table.table, shapes.amount(table.open_amount)) for table in report.open_tables],
        unreadable=list(report.unreadable),
    )


async def open_shift(call: Call) -> ShiftOut:
    """Somebody begins to sell at this till, with so much cash in the drawer."""
    faults: list[FieldError] = []
    body: OpenShiftBody = call.body
    opening_float = shapes.minor(body.opening_float, "opening_float", faults) or 0
    shapes.refuse(faults)
    asked = OpenShift(opening_float=opening_float, register=call.register, staff=body.staff_id)
    return shift_out(await call.command("pos", "shift.open", asked, Shift))


async def shifts(call: Call) -> AsyncIterator[list[ShiftOut]]:
    """All shifts, oldest first; ``open=true`` those not settled, ``from`` and ``to`` those of business days; a page, filters, an order."""
    wanted = ShiftList(
        open=call.flag("open"),
        first_day=call.date("from"),
        last_day=call.date("to"),
        staff=call.named("staffId"),
        register=call.named("registerId"),
        **paging_of(call, SHIFT_ORDERS),
    )
    async for piece in listed(call, "pos", "shift", wanted, Shift, shift_out):
        yield piece


async def shift(call: Call) -> ShiftOut:
    """One shift."""
    found = await call.query("pos", "shift.get", ShiftKey(shift=call.id("id", "shift_not_found")), Shift)
    tag_shown(call, "shift", found.id)
    return shift_out(found)


async def settle(call: Call) -> ShiftOut:
    """Counts the drawer, blind, and settles the shift. The difference is booked."""
    faults: list[FieldError] = []
    counted = shapes.minor(call.body.counted_cash, "counted", faults)
    shapes.refuse(faults)
    asked = CountShift(shift=call.id("id", "shift_not_found"), counted=counted)
    return shift_out(await call.command("pos", "shift.settle", asked, Shift, deadline=limits.CLOSE_DEADLINE_S))


async def close_day(call: Call) -> ZReportOut:
    """The end-of-day report (Z). Cannot be taken back; what is sold afterwards is booked on the next business day."""
    body: CloseBody = call.body
    names = {dialect_name(name): name for name in ("open_tables",)}
    asked = CloseDay(through=_day(body.date), confirmed=tuple(names.get(word, word) for word in body.confirm[: limits.WARNINGS_MAX]))
    return z_report_out(await call.command("pos", "day.close", asked, ZReport, deadline=limits.CLOSE_DEADLINE_S))


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise invalid(FieldError("date", "expected_date")) from None


async def z_reports(call: Call) -> AsyncIterator[list[ZReportOut]]:
    """All end-of-day reports, oldest first; ``from`` and ``to`` those that tell of business days between; a page, an order."""
    wanted = ReportList(
        first_day=call.date("from"),
        last_day=call.date("to"),
        staff=call.named("staffId"),
        **paging_of(call, REPORT_ORDERS),
    )
    async for piece in listed(call, "pos", "z_report", wanted, ZReport, z_report_out):
        yield piece


async def z_report(call: Call) -> ZReportOut:
    """One end-of-day report."""
    found = await call.query("pos", "z_report.get", ReportKey(report=call.id("id", "z_report_not_found")), ZReport)
    tag_shown(call, "z_report", found.id)
    return z_report_out(found)


async def x_report(call: Call) -> XReportOut:
    """The open day so far (X), and what stands in the way of closing it. Nothing is booked."""
    return x_report_out(await call.query("pos", "day.x_report", {}, XReport))


DAYS = (
    Param("from", Form.DATE, "Those of business days from this one on.", example="2026-03-01"),
    Param("to", Form.DATE, "Those of business days up to this one.", example="2026-03-31"),
)
SHIFTS = (
    Param("open", Form.FLAG, "`true`: those not settled, `false`: the settled ones.", example="true"),
    *DAYS,
    Param("staffId", Form.ID, "Those of this employee.", example="{staff}"),
    Param("registerId", Form.ID, "Those at this register.", example="1"),
    *paged_params(SHIFT_ORDERS),
)
REPORTS = (
    *DAYS,
    Param("staffId", Form.ID, "Those this employee closed.", example="{staff}"),
    *paged_params(REPORT_ORDERS),
)

ROUTES = (
    Route("GET", "/api/v1/shifts", "Shifts", shifts, stream=True, asks=asks_of("pos", "shift"), params=SHIFTS),
    Route("POST", "/api/v1/shifts", "Shifts", open_shift, OpenShiftBody, status=201, asks=("pos.shift.open",), params=(REGISTER,)),
    Route("GET", "/api/v1/shifts/{id}", "Shifts", shift, asks=("pos.shift.get",), params=(IF_NONE_MATCH,)),
    Route("POST", "/api/v1/shifts/{id}/settle", "Shifts", settle, SettleBody, asks=("pos.shift.settle",)),
    Route("GET", "/api/v1/day-close", "DayClose", z_reports, stream=True, asks=asks_of("pos", "z_report"), params=REPORTS),
    Route("POST", "/api/v1/day-close", "DayClose", close_day, CloseBody, status=201, asks=("pos.day.close",)),
    Route("GET", "/api/v1/day-close/x-report", "DayClose", x_report, asks=("pos.day.x_report",)),
    Route("GET", "/api/v1/day-close/{id}", "DayClose", z_report, asks=("pos.z_report.get",), params=(IF_NONE_MATCH,)),
)
