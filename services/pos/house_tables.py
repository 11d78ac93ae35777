"""Query tables of the house: its settings, shifts and Z reports; and the questions they answer."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from libs.contracts.pos.house import (
    HouseSettings,
    HouseSettingsChanged,
    Region,
    ReportKey,
    Shift,
    ShiftCounted,
    ShiftKey,
    ShiftOpened,
    ShiftSettled,
    ZReport,
    ZReportIssued,
)
from libs.contracts.pos.lists import ReportList, ShiftList
from libs.contracts.pos.permissions import DAY_CLOSE, PAYMENTS, SETTINGS
from libs.domain.errors import not_found
from libs.domain.events import Recorded
from libs.projections.declare import Projection, Table
from libs.projections.listed import Lister
from libs.projections.rows import Rows
from libs.projections.tables import Statement, Tables
from libs.runtime.lists import RowList
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


_SHIFT_BY_KEY = Statement("select t.document from {pos.shifts} t where t.instance = $1 and t.key = $2")
_REPORT_BY_KEY = Statement("select t.document from {pos.z_reports} t where t.instance = $1 and t.key = $2")
_SETTINGS = Statement("select t.settings from {pos.house} t where t.instance = $1")

_reports = msgspec.json.Decoder(ZReport)
_settings = msgspec.json.Decoder(HouseSettings)


async def shift(ask: Ask) -> Shift:
    row = await ask.tables.fetch_one(_SHIFT_BY_KEY, ask.instance, ask.body.shift)
    if row is None:
        raise not_found("shift_not_found", id=ask.body.shift)
    return _shifts.decode(row["document"])


async def z_report(ask: Ask) -> ZReport:
    row = await ask.tables.fetch_one(_REPORT_BY_KEY, ask.instance, ask.body.report)
    if row is None:
        raise not_found("z_report_not_found", id=ask.body.report)
    return _reports.decode(row["document"])


async def settings_of(tables: Tables, instance: int) -> HouseSettings:
    row = await tables.fetch_one(_SETTINGS, instance)
    return HouseSettings() if row is None else _settings.decode(row["settings"])


async def settings(ask: Ask) -> HouseSettings:
    return await settings_of(ask.tables, ask.instance)


_SHIFT_REGISTER: Final = "(t.document->>'register')"
SHIFT_LIST: Final = RowList(
    Lister("t.document, t.position", "{pos.shifts} t", "position"),
    ShiftList,
    {
        "open": "t.settled <> {}",
        "first_day": "t.business_day >= {}",
        "last_day": "t.business_day <= {}",
        "staff": "t.staff = {}",
        "register": f"{_SHIFT_REGISTER} = {{}}",
    },
    {
        "opened_date": "t.position",
        "business_day": "t.business_day",
        "staff": "t.staff",
        "register": _SHIFT_REGISTER,
        "difference": "(t.document->>'difference')::bigint",
    },
    lambda row: _shifts.decode(row["document"]),
)
REPORT_LIST: Final = RowList(
    Lister("t.document, t.number", "{pos.z_reports} t", "number"),
    ReportList,
    {"first_day": "t.through >= {}", "last_day": "t.first_day <= {}", "staff": "t.document->>'staff' = {}"},
    {
        "number": "t.number",
        "first_date": "t.first_day",
        "date": "t.through",
        "closed_date": "t.number",
        "gross": "(t.document->'totals'->>'gross')::bigint",
    },
    lambda row: _reports.decode(row["document"]),
)


async def region(ask: Ask) -> Region:
    """What everybody may know of the house."""
    known = await settings_of(ask.tables, ask.instance)
    country = known.letterhead.country if COUNTRY.fullmatch(known.letterhead.country) else HOME
    return Region(country=country, currency=known.currency, zone=known.zone)


COUNTRY: Final = re.compile("[A-Z]{2}")
HOME: Final = "DE"  # of who writes no code on the letterhead

QUERIES: Final = (
    Query("shift.get", ShiftKey, shift, PAYMENTS),
    *SHIFT_LIST.queries("shift", PAYMENTS),
    Query("z_report.get", ReportKey, z_report, DAY_CLOSE),
    *REPORT_LIST.queries("z_report", DAY_CLOSE),
    Query("house.settings", All, settings, SETTINGS),
    Query("house.region", All, region),
)
