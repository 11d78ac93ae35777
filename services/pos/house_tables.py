"""Query tables of the house: its settings, shifts and Z reports; and the questions they answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any, Final

import msgspec

from libs.contracts.pos.house import (
    HouseSettings,
    HouseSettingsChanged,
    ReportKey,
    Shift,
    ShiftCounted,
    ShiftKey,
    ShiftOpened,
    ShiftSettled,
    ZReport,
    ZReportIssued,
)
from libs.contracts.pos.permissions import DAY_CLOSE, PAYMENTS, SETTINGS
from libs.domain.errors import not_found
from libs.domain.events import Recorded
from libs.projections.declare import Projection, Table
from libs.projections.rows import Rows
from libs.projections.tables import Statement, Tables
from libs.runtime.records import All
from libs.runtime.service import Ask, Query
from services.pos.house import Z_REPORT, z_report_of
from services.pos.settings import MAIN

SHIFTS: Final = Projection(
    "shifts",
    1,
    (
        Table(
            "shifts",
            {"key": "text", "position": "bigint", "staff": "text", "business_day": "date", "settled": "boolean", "document": "jsonb"},
            indexes=(("position",), ("business_day",)),
        ),
        Table("house", {"key": "text", "settings": "jsonb"}),
    ),
)
DAYS: Final = Projection(
    "days",
    1,
    (
        Table(
            "z_reports",
            {"key": "text", "number": "bigint", "first_day": "date", "through": "date", "document": "jsonb"},
            indexes=(("number",), ("through",)),
        ),
    ),
)

_shifts = msgspec.json.Decoder(Shift)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@SHIFTS.on(HouseSettingsChanged)
def settings_changed(rows: Rows, event: Recorded) -> None:
    rows.put("house", MAIN, settings=_text(event.data.settings))


@SHIFTS.on(ShiftOpened)
def shift_opened(rows: Rows, event: Recorded) -> None:
    opened: ShiftOpened = event.data
    shift = Shift(
        id=opened.shift,
        staff=opened.staff,
        register=opened.register,
        opening_float=opened.opening_float,
        business_day=opened.business_day,
        opened_at=opened.at,
    )
    rows.put(
        "shifts",
        opened.shift,
        position=event.position,
        staff=opened.staff,
        business_day=opened.business_day,
        settled=False,
        document=_text(shift),
    )


def _own(event: Recorded) -> list[tuple[str, tuple[str]]]:
    return [("shifts", (event.data.shift,))]


@SHIFTS.on(ShiftCounted, reads=_own)
def shift_counted(rows: Rows, event: Recorded) -> None:
    counted: ShiftCounted = event.data
    _change(rows, counted.shift, counted=counted.counted, counted_at=counted.at)


@SHIFTS.on(ShiftSettled, reads=_own)
def shift_settled(rows: Rows, event: Recorded) -> None:
    settled: ShiftSettled = event.data
    _change(rows, settled.shift, expected=settled.expected, difference=settled.difference, totals=settled.totals)
    rows.change("shifts", settled.shift, settled=True)


def _change(rows: Rows, key: str, **fields: Any) -> None:
    row = rows.get("shifts", key)
    assert row is not None, f"shift {key} was never opened"
    shift = msgspec.structs.replace(_shifts.decode(row["document"]), **fields)
    rows.change("shifts", key, document=_text(shift))


@DAYS.on(ZReportIssued)
def z_report_issued(rows: Rows, event: Recorded) -> None:
    report = z_report_of(Z_REPORT.evolve(Z_REPORT.initial, event))
    rows.put("z_reports", report.id, number=report.number, first_day=report.first_day, through=report.through, document=_text(report))


class ShiftFilter(msgspec.Struct, frozen=True, kw_only=True):
    """``open`` None: all; ``since``: business days from this one on."""

    open: bool | None = None
    since: date | None = None


_SHIFT = "select t.document, t.position from {pos.shifts} t where t.instance = $1"
_SHIFT_BY_KEY = Statement(f"{_SHIFT} and t.key = $2")
_SHIFT_LIST = Statement(
    f"{_SHIFT} and ($2::boolean is null or t.settled <> $2) and ($3::date is null or t.business_day >= $3) "
    "and t.position > $4 order by t.position limit $5"
)
_REPORT = "select t.document, t.number from {pos.z_reports} t where t.instance = $1"
_REPORT_BY_KEY = Statement(f"{_REPORT} and t.key = $2")
_REPORT_LIST = Statement(f"{_REPORT} and t.number > $2 order by t.number limit $3")
_SETTINGS = Statement("select t.settings from {pos.house} t where t.instance = $1")

_reports = msgspec.json.Decoder(ZReport)
_settings = msgspec.json.Decoder(HouseSettings)


async def shift(ask: Ask) -> Shift:
    row = await ask.tables.fetch_one(_SHIFT_BY_KEY, ask.instance, ask.body.shift)
    if row is None:
        raise not_found("shift_not_found", id=ask.body.shift)
    return _shifts.decode(row["document"])


async def shifts(ask: Ask) -> AsyncIterator[list[Shift]]:
    async for rows in ask.tables.stream(_SHIFT_LIST, ask.instance, ask.body.open, ask.body.since, by="position"):
        yield [_shifts.decode(row["document"]) for row in rows]


async def z_report(ask: Ask) -> ZReport:
    row = await ask.tables.fetch_one(_REPORT_BY_KEY, ask.instance, ask.body.report)
    if row is None:
        raise not_found("z_report_not_found", id=ask.body.report)
    return _reports.decode(row["document"])


async def z_reports(ask: Ask) -> AsyncIterator[list[ZReport]]:
    async for rows in ask.tables.stream(_REPORT_LIST, ask.instance, by="number"):
        yield [_reports.decode(row["document"]) for row in rows]


async def settings_of(tables: Tables, instance: int) -> HouseSettings:
    row = await tables.fetch_one(_SETTINGS, instance)
    return HouseSettings() if row is None else _settings.decode(row["settings"])


async def settings(ask: Ask) -> HouseSettings:
    return await settings_of(ask.tables, ask.instance)


QUERIES: Final = (
    Query("shift.get", ShiftKey, shift, PAYMENTS),
    Query("shift.list", ShiftFilter, shifts, PAYMENTS, stream=True),
    Query("z_report.get", ReportKey, z_report, DAY_CLOSE),
    Query("z_report.list", All, z_reports, DAY_CLOSE, stream=True),
    Query("house.settings", All, settings, SETTINGS),
)
