"""Section Reports: sums over receipts by business day. A void or refund subtracts; ``receiptCount`` counts sales, ``voidCount`` what takes
something back."""

from __future__ import annotations

import typing
from collections.abc import Callable, Hashable, Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from libs.contracts.pos import reports as asked
from libs.contracts.pos.payment_kinds import PAYMENT_KINDS
from libs.texts import names
from libs.texts.catalogue import Language, Text
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.names import dialect_name
from services.gateway.dikas.params import Form, Param
from services.gateway.dikas.spreadsheet import Cell, Column, Sheet

T = TypeVar("T")

# the services' words, where this dialect has others
NAMES: Final = {
    "since": "from",
    "until": "to",
    "receipts": "receiptCount",
    "voids": "voidCount",
    "group": "groupId",
    "parent": "parentId",
    "staff": "staffId",
    "voided": "voidGross",
}


def _name(name: str) -> str:
    return NAMES.get(name) or dialect_name(name)


class DayOut(msgspec.Struct, rename=_name):
    date: date
    gross: Decimal
    receipts: int


class TaxOut(msgspec.Struct, rename=_name):
    rate: Decimal
    net: Decimal
    tax: Decimal
    gross: Decimal


class PaymentOut(msgspec.Struct, rename=_name):
    """``amount``: what stayed in the house, change taken off, tips in it; ``count``: payments on sales."""

    type: int
    amount: Decimal
    count: int
    name: str = ""


class RevenueOut(msgspec.Struct, rename=_name):
    """The payments make up gross plus tip."""

    since: date
    until: date
    gross: Decimal
    net: Decimal
    tax: Decimal
    tip: Decimal
    receipts: int
    voids: int
    taxes: list[TaxOut]
    payments: list[PaymentOut]
    days: list[DayOut]


class ArticleOut(msgspec.Struct, rename=_name):
    article: str | None
    name: str
    quantity: Decimal
    gross: Decimal
    share: Decimal


class ArticlesOut(msgspec.Struct, rename=_name):
    """``articles``: how many different ones were sold; ``share`` in percent of the gross."""

    since: date
    until: date
    gross: Decimal
    articles: int
    top: list[ArticleOut]
    worst: list[ArticleOut]


class GroupOut(msgspec.Struct, rename=_name):
    """``total…`` and ``share`` with all groups below it."""

    group: str | None
    name: str | None
    parent: str | None
    level: int
    quantity: Decimal
    gross: Decimal
    total_quantity: Decimal
    total_gross: Decimal
    share: Decimal


class GroupsOut(msgspec.Struct, rename=_name):
    since: date
    until: date
    gross: Decimal
    groups: list[GroupOut]


class DayOfWeekOut(msgspec.Struct, rename=_name):
    date: date
    gross: Decimal
    receipts: int
    voids: int
    weekday: int = 0


class WeekOut(msgspec.Struct, rename=_name):
    year: int
    week: int
    since: date
    until: date
    gross: Decimal
    receipts: int
    voids: int
    days: list[DayOfWeekOut]


class WeekdayOut(msgspec.Struct, rename=_name):
    """``days``: how many of them had receipts; ``average``: the gross of one."""

    weekday: int
    days: int
    gross: Decimal
    average: Decimal
    receipts: int
    voids: int


class WeeklyOut(msgspec.Struct, rename=_name):
    since: date
    until: date
    gross: Decimal
    receipts: int
    voids: int
    weeks: list[WeekOut]
    weekdays: list[WeekdayOut]


class HourOut(msgspec.Struct, rename=_name):
    hour: int
    gross: Decimal
    receipts: int
    voids: int


class HourlyOut(msgspec.Struct, rename=_name):
    since: date
    until: date
    gross: Decimal
    receipts: int
    voids: int
    hours: list[HourOut]


class EmployeeOut(msgspec.Struct, rename=_name):
    staff: str
    name: str | None
    gross: Decimal
    tip: Decimal
    receipts: int
    voids: int
    voided: Decimal
    average: Decimal


class StaffOut(msgspec.Struct, rename={**NAMES, "staff": "staff"}):
    since: date
    until: date
    gross: Decimal
    tip: Decimal
    receipts: int
    voids: int
    staff: list[EmployeeOut]


class PaymentKindOut(msgspec.Struct, rename=_name):
    """``amount``: what stayed, with tips; ``change`` went back to the guest; ``count``: payments on sales, ``voidCount``: given back."""

    type: int
    amount: Decimal
    change: Decimal
    tip: Decimal
    count: int
    voids: int
    name: str = ""


class PaymentKindsOut(msgspec.Struct, rename=_name):
    since: date
    until: date
    amount: Decimal
    change: Decimal
    tip: Decimal
    payments: list[PaymentKindOut]


# --- the services' answers in the dialect's shapes ----------------------------------------------------------------------------

_hints = cache(typing.get_type_hints)


def shown(out: type[T], answer: Any) -> T:
    """An answer as ``out`` says it: whole numbers where that has decimals are amounts."""
    hints = _hints(typing.cast("Hashable", out))
    fields = {name: _value(hints[name], getattr(answer, name)) for name in hints if hasattr(answer, name)}
    return out(**fields)


def _value(type_: Any, value: Any) -> Any:
    if typing.get_origin(type_) is list:
        return [shown(typing.get_args(type_)[0], one) for one in value]
    if type_ is Decimal:
        return shapes.amount(value) if isinstance(value, int) else shapes.quantity(value)
    return value


def _with_names(payments: list[Any], language: Language) -> None:
    for payment in payments:
        payment.name = names.PAYMENT_KINDS[PAYMENT_KINDS[payment.type].key](language, {})


# --- routes -------------------------------------------------------------------------------------------------------------------


def _wanted(call: Call) -> dict[str, Any]:
    """``from``, ``to``, ``registerId``, ``staffId``."""
    wanted: dict[str, Any] = {"at": call.at, "register": call.named("registerId"), "staff": call.named("staffId")}
    for parameter, field in (("from", "since"), ("to", "until")):
        day = call.day(parameter)
        wanted[f"{field}_at" if isinstance(day, datetime) else field] = day
    return wanted


async def _report(call: Call, name: str, answer: type[T], **more: Any) -> T:
    query = asked.ArticleQuery if more else asked.ReportQuery
    return await call.query("pos", f"report.{name}", query(**_wanted(call), **more), answer)


async def revenue(call: Call) -> RevenueOut:
    """Revenue with taxes, payments and days, from `from` to `to` (business days, both inclusive; without them, today)."""
    out = shown(RevenueOut, await _report(call, "revenue", asked.Revenue))
    _with_names(out.payments, call.language)
    return out


async def top_articles(call: Call) -> ArticlesOut:
    """Best and worst sellers by gross; `limit` of each, 10 without it."""
    limit = call.number("limit")
    return shown(
        ArticlesOut, await _report(call, "top_articles", asked.ArticleTotals, limit=asked.ARTICLES_DEFAULT if limit is None else limit)
    )


async def groups(call: Call) -> GroupsOut:
    """Article groups (Warengruppen) with what was sold in each and below it."""
    return shown(GroupsOut, await _report(call, "groups", asked.GroupTotals))


async def weekly(call: Call) -> WeeklyOut:
    """ISO weeks with their days, and weekdays compared."""
    out = shown(WeeklyOut, await _report(call, "weekly", asked.Weekly))
    for week in out.weeks:
        for day in week.days:
            day.weekday = day.date.isoweekday()
    return out


async def hourly(call: Call) -> HourlyOut:
    """Revenue by hour of the day, as the clock of the house shows it."""
    return shown(HourlyOut, await _report(call, "hourly", asked.Hourly))


async def staff(call: Call) -> StaffOut:
    """Revenue, tips, voids and the average sale of each employee."""
    return shown(StaffOut, await _report(call, "staff", asked.StaffTotals))


async def payment_methods(call: Call) -> PaymentKindsOut:
    """What stayed in the house by way of payment, with change and tips."""
    out = shown(PaymentKindsOut, await _report(call, "payment_methods", asked.PaymentTotals))
    _with_names(out.payments, call.language)
    return out


# --- as tables ----------------------------------------------------------------------------------------------------------------

HEADS: Final = {
    "amount": Text("Betrag", "Amount"),
    "article": Text("Artikel-ID", "Article id"),
    "average": Text("Durchschnitt", "Average"),
    "change": Text("Rückgeld", "Change"),
    "count": Text("Anzahl", "Count"),
    "date": Text("Tag", "Day"),
    "gross": Text("Brutto", "Gross"),
    "group": Text("Gruppen-ID", "Group id"),
    "hour": Text("Stunde", "Hour"),
    "level": Text("Ebene", "Level"),
    "name": Text("Name", "Name"),
    "net": Text("Netto", "Net"),
    "parent": Text("Obergruppe", "Parent group"),
    "part": Text("Bereich", "Part"),
    "quantity": Text("Menge", "Quantity"),
    "rank": Text("Rang", "Rank"),
    "receipts": Text("Belege", "Receipts"),
    "share": Text("Anteil %", "Share %"),
    "staff": Text("Mitarbeiter-ID", "Staff id"),
    "tax": Text("Steuer", "Tax"),
    "tip": Text("Trinkgeld", "Tip"),
    "total_gross": Text("Brutto mit Untergruppen", "Gross with subgroups"),
    "total_quantity": Text("Menge mit Untergruppen", "Quantity with subgroups"),
    "type": Text("Zahlart", "Payment type"),
    "voided": Text("Storniert", "Voided"),
    "voids": Text("Stornos", "Voids"),
    "week": Text("Woche", "Week"),
    "weekday": Text("Wochentag", "Weekday"),
    "year": Text("Jahr", "Year"),
}
TOTAL: Final = Text("Gesamt", "Total")
RATE: Final = Text("Steuersatz {rate} %", "Tax rate {rate} %")
PAID: Final = Text("Zahlung", "Payment")
TOP: Final = Text("Bestseller", "Best")
WORST: Final = Text("Schlusslicht", "Worst")

Row = dict[str, Cell]


def _column(field: str) -> Column:
    return Column(HEADS[field], lambda row: row.get(field))


def _sheet(name: str, fields: str, rows: Callable[[Any, Language], Iterator[Row]]) -> Sheet:
    """``fields``: the columns, as the rows name their cells."""
    return Sheet(lambda answer: f"{name}_{answer.since}_{answer.until}", [_column(field) for field in fields.split()], rows)


def _cells(out: Any) -> Row:
    return {name: getattr(out, name) for name in out.__struct_fields__}


def _revenue_rows(out: RevenueOut, language: Language) -> Iterator[Row]:
    """Everything in one table: the total, then what it is made of, each in a part of its own."""
    yield {**_cells(out), "part": TOTAL(language, {})}
    for tax in out.taxes:
        rate = RATE(language, {"rate": f"{tax.rate:f}".replace(".", "," if language is Language.GERMAN else ".")})
        yield {**_cells(tax), "part": HEADS["tax"](language, {}), "name": rate}
    for payment in out.payments:
        yield {**_cells(payment), "part": PAID(language, {})}
    for day in out.days:
        yield {**_cells(day), "part": HEADS["date"](language, {})}


def _article_rows(out: ArticlesOut, language: Language) -> Iterator[Row]:
    for part, articles in ((TOP, out.top), (WORST, out.worst)):
        for rank, article in enumerate(articles, start=1):
            yield {**_cells(article), "part": part(language, {}), "rank": rank}


def _week_rows(out: WeeklyOut, language: Language) -> Iterator[Row]:
    for week in out.weeks:
        for day in week.days:
            yield {**_cells(day), "year": week.year, "week": week.week, "weekday": names.WEEKDAYS[day.weekday](language, {})}


REVENUE: Final = _sheet("revenue", "part date type name net tax gross tip amount receipts voids count", _revenue_rows)
ARTICLES: Final = _sheet("top-articles", "part rank article name quantity gross share", _article_rows)
GROUPS: Final = _sheet(
    "wgr",
    "level group name parent quantity gross total_quantity total_gross share",
    lambda out, language: map(_cells, out.groups),
)
WEEKLY: Final = _sheet("weekly", "year week date weekday gross receipts voids", _week_rows)
HOURLY: Final = _sheet("hourly", "hour gross receipts voids", lambda out, language: map(_cells, out.hours))
STAFF: Final = _sheet("staff", "staff name gross tip receipts voids voided average", lambda out, language: map(_cells, out.staff))
PAYMENTS: Final = _sheet("payment-methods", "type name amount change tip count voids", lambda out, language: map(_cells, out.payments))

_DAYS: Final = "a business day, or a moment for the one it falls on; without it, today"
ASKED: Final = (
    Param("from", Form.DAY, f"First day: {_DAYS}.", example="2026-03-01"),
    Param("to", Form.DAY, f"Last day, inclusive: {_DAYS}.", example="2026-03-31"),
    Param("registerId", Form.ID, "Only what this register booked.", example="1"),
    Param("staffId", Form.ID, "Only what this employee booked.", example="{staff}"),
)
LIMIT: Final = Param("limit", Form.WHOLE, "How many of each.", low=1, high=asked.ARTICLES_MAX, default=asked.ARTICLES_DEFAULT, example=5)

ROUTES = (
    Route("GET", "/api/v1/reports/revenue", "Reports", revenue, csv=REVENUE, asks=("pos.report.revenue",), params=ASKED),
    Route(
        "GET",
        "/api/v1/reports/top-articles",
        "Reports",
        top_articles,
        csv=ARTICLES,
        asks=("pos.report.top_articles",),
        params=(*ASKED, LIMIT),
    ),
    Route("GET", "/api/v1/reports/wgr", "Reports", groups, csv=GROUPS, asks=("pos.report.groups",), params=ASKED),
    Route("GET", "/api/v1/reports/weekly", "Reports", weekly, csv=WEEKLY, asks=("pos.report.weekly",), params=ASKED),
    Route("GET", "/api/v1/reports/hourly", "Reports", hourly, csv=HOURLY, asks=("pos.report.hourly",), params=ASKED),
    Route("GET", "/api/v1/reports/staff", "Reports", staff, csv=STAFF, asks=("pos.report.staff",), params=ASKED),
    Route(
        "GET",
        "/api/v1/reports/payment-methods",
        "Reports",
        payment_methods,
        csv=PAYMENTS,
        asks=("pos.report.payment_methods",),
        params=ASKED,
    ),
)
