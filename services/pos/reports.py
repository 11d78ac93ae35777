"""Reports: sums over the receipts themselves, so that they agree with them to the cent by construction.

One statement each, so one snapshot. Figures that take something back are negative and subtract by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import msgspec

from libs.contracts.pos.events import TaxAmount
from libs.contracts.pos.permissions import REPORTS
from libs.contracts.pos.reports import (
    ARTICLES_MAX,
    DAYS_MAX,
    ROWS_MAX,
    ArticleQuery,
    ArticleTotal,
    ArticleTotals,
    DayTotal,
    GroupTotal,
    GroupTotals,
    Hourly,
    HourTotal,
    KindTotal,
    PaymentTotals,
    ReportQuery,
    Revenue,
    StaffTotal,
    StaffTotals,
    Week,
    WeekdayTotal,
    Weekly,
)
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.domain.money import round_half_up
from libs.projections.tables import Statement
from libs.runtime.service import Ask, Query
from services.pos.house_tables import settings
from services.pos.settings import SETTINGS, Settings, business_day

_CENTI: Final = Decimal("0.01")
WEEKDAYS: Final = range(1, 8)
HOURS: Final = 24

# --- statements ---------------------------------------------------------------------------------------------------------------

_CHOSEN: Final = (
    "r.instance = $1 and r.business_day between $2 and $3 and ($4::text is null or r.register = $4) and ($5::text is null or r.staff = $5)"
)
_BACK: Final = "(r.voids is not null or r.refunds is not null)"  # takes something back
_COUNTS: Final = "count(*) filter (where not back)::int as receipts, count(*) filter (where back)::int as voids"
_KINDS: Final = (
    "select t.type, sum(t.amount)::bigint as amount, sum(t.change)::bigint as change, sum(t.tip)::bigint as tip, "
    "count(*) filter (where not back)::int as count, count(*) filter (where back)::int as voids "
    "from chosen cross join lateral jsonb_to_recordset(takings) t(type int, amount bigint, change bigint, tip bigint) group by t.type"
)
# each part reads for itself: what they share would be written to disk in between
_REVENUE = Statement(f"""
with chosen as not materialized (
  select r.business_day as date, r.gross, r.tip, r.takings, r.document, {_BACK} as back from {{pos.receipts}} r where {_CHOSEN})
select taxes.found as taxes, payments.found as payments, days.found as days, days.tip
from
  (select json_agg(x order by x.rate::numeric desc) as found from (
    select t.rate::text as rate, sum(t.net)::bigint as net, sum(t.tax)::bigint as tax, sum(t.gross)::bigint as gross
    from chosen cross join lateral jsonb_to_recordset(document -> 'taxes') t(rate numeric, net bigint, tax bigint, gross bigint)
    group by t.rate) x) taxes,
  (select json_agg(x order by x.type) as found from ({_KINDS}) x) payments,
  (select json_agg(x order by x.date) as found, sum(x.tip)::bigint as tip from (
    select date, sum(gross)::bigint as gross, sum(tip)::bigint as tip, {_COUNTS} from chosen group by date) x) days
where days.found is not null""")
_PAYMENTS = Statement(f"""
with chosen as (select r.takings, {_BACK} as back from {{pos.receipts}} r where {_CHOSEN})
{_KINDS} order by t.type""")
_DAYS = Statement(f"""
with chosen as (select r.business_day as date, r.gross, {_BACK} as back from {{pos.receipts}} r where {_CHOSEN})
select date, sum(gross)::bigint as gross, {_COUNTS} from chosen group by date order by date""")
_HOURS = Statement(f"""
with chosen as (
  select extract(hour from r.date at time zone $6::varchar)::int as hour, r.gross, {_BACK} as back
  from {{pos.receipts}} r where {_CHOSEN})
select hour, sum(gross)::bigint as gross, {_COUNTS} from chosen group by hour""")
# an article that was renamed is one article, under the name it was sold by last; free ones have nothing but their names
_ARTICLES = Statement(f"""
with sold as (
  select l.article, l.name, max(r.position) as last, sum(l.quantity) as quantity, sum(l.total)::bigint as gross
  from {{pos.receipts}} r
  cross join lateral jsonb_to_recordset(r.document -> 'lines') l(article text, name text, quantity numeric, total bigint)
  where {_CHOSEN} group by l.article, l.name),
articles as (
  select article, (array_agg(name order by last desc, name))[1] as name, sum(quantity)::text as quantity, sum(gross)::bigint as gross
  from sold group by article, case when article is null then name end),
ranked as (
  select a.*, row_number() over (order by gross desc, quantity::numeric desc, name, article) as best,
    row_number() over (order by gross, quantity::numeric, name, article) as worst
  from articles a)
select sum(gross)::bigint as gross, count(*)::int as articles,
  json_agg(ranked order by best) filter (where best <= $6::int) as top,
  json_agg(ranked order by worst) filter (where worst <= $6::int) as worst
from ranked having count(*) > 0""")
# ``union`` keeps each group once, so groups that stand above each other in a ring end it
_GROUPS = Statement(f"""
with recursive sold as (
  select l."group", sum(l.quantity)::text as quantity, sum(l.total)::bigint as gross
  from {{pos.receipts}} r cross join lateral jsonb_to_recordset(r.document -> 'lines') l("group" text, quantity numeric, total bigint)
  where {_CHOSEN} group by l."group" limit {ROWS_MAX + 1}),
tree as (
  select g.key, g.name, g.number, g.parent_key from sold
  join {{inventory.article_groups}} g on g.instance = $1 and g.key = sold."group"
  union
  select p.key, p.name, p.number, p.parent_key from tree
  join {{inventory.article_groups}} p on p.instance = $1 and p.key = tree.parent_key)
select json_agg(sold) as sold, (select json_agg(tree order by number nulls last, name, key) from tree) as tree
from sold having count(*) > 0""")
_STAFF = Statement(f"""
with chosen as (select r.staff, r.gross, r.tip, {_BACK} as back from {{pos.receipts}} r where {_CHOSEN}),
totals as (
  select staff, sum(gross)::bigint as gross, sum(tip)::bigint as tip, {_COUNTS},
    coalesce(sum(gross) filter (where back), 0)::bigint as voided
  from chosen group by staff)
select t.*, coalesce(nullif(concat_ws(' ', u.first_name, u.last_name), ''), u.username) as name
from totals t left join {{auth.users}} u on u.instance = $1 and u.key = t.staff
order by t.gross desc, t.staff limit {ROWS_MAX + 1}""")

# --- which days ---------------------------------------------------------------------------------------------------------------


def span_of(query: ReportQuery, settings: Settings = SETTINGS) -> tuple[date, date]:
    """The days asked for. Raises ``invalid``: no such day, from after to, more than DAYS_MAX."""
    until = query.until or _day_of("to", query.until_at, settings) or business_day(query.at, settings)
    since = query.since or _day_of("from", query.since_at, settings) or until
    if since > until:
        raise invalid(FieldError("from", "from_after_to"))
    if (until - since).days >= DAYS_MAX:
        raise invalid(FieldError("from", "range_too_long", {"max": DAYS_MAX}))
    return since, until


def _day_of(field: str, at: datetime | None, settings: Settings) -> date | None:
    try:
        return None if at is None else business_day(at, settings)
    except OverflowError:  # at the very ends of the calendar
        raise invalid(FieldError(field, "not_a_day")) from None


async def _rows(ask: Ask, statement: Statement, *more: Any) -> tuple[dict[str, Any], list[Any]]:
    """The days as a report begins with, and what the statement sums up."""
    query: ReportQuery = ask.body
    since, until = span_of(query, await settings(ask))
    rows = await ask.tables.summarise(statement, ask.instance, since, until, query.register, query.staff, *more)
    return {"since": since, "until": until}, rows


def _bounded(rows: Sequence[Any]) -> None:
    if len(rows) > ROWS_MAX:
        raise DomainError(Kind.TOO_LARGE, "report_too_large", {"max": ROWS_MAX})


# --- answers ------------------------------------------------------------------------------------------------------------------


async def revenue(ask: Ask) -> Revenue:
    span, rows = await _rows(ask, _REVENUE)
    if not rows:
        return Revenue(**span)
    row = rows[0]
    taxes = msgspec.json.decode(row["taxes"] or "[]", type=tuple[TaxAmount, ...])
    days = msgspec.json.decode(row["days"], type=tuple[DayTotal, ...])
    return Revenue(
        **span,
        **_summed(days),
        net=sum(tax.net for tax in taxes),
        tax=sum(tax.tax for tax in taxes),
        tip=row["tip"],
        taxes=taxes,
        payments=msgspec.json.decode(row["payments"] or "[]", type=tuple[KindTotal, ...]),
        days=days,
    )


async def payment_methods(ask: Ask) -> PaymentTotals:
    span, rows = await _rows(ask, _PAYMENTS)
    kinds = tuple(KindTotal(**row) for row in rows)
    return PaymentTotals(
        **span,
        amount=sum(kind.amount for kind in kinds),
        change=sum(kind.change for kind in kinds),
        tip=sum(kind.tip for kind in kinds),
        payments=kinds,
    )


async def top_articles(ask: Ask) -> ArticleTotals:
    limit = ask.body.limit
    if not 1 <= limit <= ARTICLES_MAX:
        raise invalid(FieldError("limit", "out_of_range", {"min": 1, "max": ARTICLES_MAX}))
    span, rows = await _rows(ask, _ARTICLES, limit)
    if not rows:
        return ArticleTotals(**span)
    gross = rows[0]["gross"]
    top, worst = (_ranked(rows[0][name], gross) for name in ("top", "worst"))
    return ArticleTotals(**span, gross=gross, articles=rows[0]["articles"], top=top, worst=worst)


def _ranked(articles: str, gross: int) -> tuple[ArticleTotal, ...]:
    found = msgspec.json.decode(articles, type=tuple[ArticleTotal, ...])
    return tuple(msgspec.structs.replace(article, share=_percent(article.gross, gross)) for article in found)


def _percent(part: int, whole: int) -> Decimal:
    """Two places, half up; nothing of nothing is nothing."""
    return (Decimal(part) * 100 / whole).quantize(_CENTI, rounding=ROUND_HALF_UP) if whole else Decimal(0)


async def groups(ask: Ask) -> GroupTotals:
    span, rows = await _rows(ask, _GROUPS)
    if not rows:
        return GroupTotals(**span)
    sold = msgspec.json.decode(rows[0]["sold"], type=list[Sold])
    tree = msgspec.json.decode(rows[0]["tree"] or "[]", type=list[Branch])
    _bounded(sold)
    _bounded(tree)
    return GroupTotals(**span, gross=sum(one.gross for one in sold), groups=tuple(rolled_up(sold, tree)))


class Sold(msgspec.Struct, frozen=True):
    """What was sold in one group."""

    group: str | None
    quantity: Decimal
    gross: int


class Branch(msgspec.Struct, frozen=True):
    """A group and the one above it."""

    key: str
    name: str
    parent_key: str | None = None


def rolled_up(sold: Sequence[Sold], tree: Sequence[Branch]) -> Iterator[GroupTotal]:
    """The tree from top to bottom, siblings as they come in ``tree``; then groups that are gone, and what was sold without one. Groups in
    a ring have no top: the first of them is taken for it."""
    own = {one.group: one for one in sold}
    branches = {branch.key: branch for branch in tree}
    below: dict[str | None, list[str]] = {}
    for branch in tree:
        below.setdefault(branch.parent_key if branch.parent_key in branches else None, []).append(branch.key)
    whole = sum(one.gross for one in sold)
    order = _walk(below, branches)
    totals = _with_those_below(order, own)
    for key, level, parent in order:
        quantity, gross = totals[key]
        mine = own.pop(key, Sold(key, Decimal(0), 0))
        yield _group_total(mine, branches[key].name, parent, level, quantity, gross, whole)
    for mine in sorted(own.values(), key=lambda one: (one.group is None, one.group or "")):
        yield _group_total(mine, None, None, 0, mine.quantity, mine.gross, whole)


Place = tuple[str, int, str | None]  # group, level, group above


def _walk(below: Mapping[str | None, Sequence[str]], branches: Mapping[str, Branch]) -> list[Place]:
    """Every group once, each behind the one above it."""
    order: list[Place] = []
    seen: set[str] = set()
    for top in (*below.get(None, ()), *branches):
        waiting: list[Place] = [(top, 0, None)]
        while waiting:
            key, level, parent = waiting.pop()
            if key in seen:
                continue
            seen.add(key)
            order.append((key, level, parent))
            waiting += [(child, level + 1, key) for child in reversed(below.get(key, ()))]
    return order


def _with_those_below(order: Sequence[Place], own: Mapping[str | None, Sold]) -> dict[str, tuple[Decimal, int]]:
    totals = {key: (own[key].quantity, own[key].gross) if key in own else (Decimal(0), 0) for key, _, _ in order}
    for key, _, parent in reversed(order):
        if parent is not None:
            totals[parent] = (totals[parent][0] + totals[key][0], totals[parent][1] + totals[key][1])
    return totals


def _group_total(
    own: Sold, name: str | None, parent: str | None, level: int, total_quantity: Decimal, total_gross: int, whole: int
) -> GroupTotal:
    return GroupTotal(
        group=own.group,
        name=name,
        parent=parent,
        level=level,
        quantity=own.quantity,
        gross=own.gross,
        total_quantity=total_quantity,
        total_gross=total_gross,
        share=_percent(total_gross, whole),
    )


async def weekly(ask: Ask) -> Weekly:
    span, rows = await _rows(ask, _DAYS)
    days = [DayTotal(**row) for row in rows]
    return Weekly(**span, **_summed(days), weeks=tuple(weeks_of(days, **span)), weekdays=tuple(weekdays_of(days)))


def _summed(totals: Sequence[DayTotal] | Sequence[HourTotal]) -> dict[str, Any]:
    return {
        "gross": sum(one.gross for one in totals),
        "receipts": sum(one.receipts for one in totals),
        "voids": sum(one.voids for one in totals),
    }


def weeks_of(days: Sequence[DayTotal], since: date, until: date) -> Iterator[Week]:
    """The ISO weeks that have any of ``days``; each from Monday or ``since`` to Sunday or ``until``."""
    known = {day.date: day for day in days}
    for year, week in dict.fromkeys(day.date.isocalendar()[:2] for day in days):
        monday = date.fromisocalendar(year, week, 1).toordinal()
        first, last = max(monday, since.toordinal()), min(monday + 6, until.toordinal())
        dates = [date.fromordinal(ordinal) for ordinal in range(first, last + 1)]
        shown = [known.get(one) or DayTotal(date=one) for one in dates]
        yield Week(year=year, week=week, since=dates[0], until=dates[-1], **_summed(shown), days=tuple(shown))


def weekdays_of(days: Sequence[DayTotal]) -> Iterator[WeekdayTotal]:
    for weekday in WEEKDAYS:
        same = [day for day in days if day.date.isoweekday() == weekday]
        sums = _summed(same)
        yield WeekdayTotal(weekday=weekday, days=len(same), average=_average(sums["gross"], len(same)), **sums)


def _average(gross: int, count: int) -> int:
    return round_half_up(Decimal(gross) / count) if count else 0


async def hourly(ask: Ask) -> Hourly:
    house = await settings(ask)
    span, rows = await _rows(ask, _HOURS, house.zone)
    known = {row["hour"]: HourTotal(**row) for row in rows}
    first = house.day_starts.hour
    hours = [known.get(hour % HOURS) or HourTotal(hour=hour % HOURS) for hour in range(first, first + HOURS)]
    return Hourly(**span, **_summed(hours), hours=tuple(hours))


async def staff(ask: Ask) -> StaffTotals:
    span, rows = await _rows(ask, _STAFF)
    _bounded(rows)
    found = tuple(StaffTotal(**row, average=_average(row["gross"] - row["voided"], row["receipts"])) for row in rows)
    return StaffTotals(
        **span,
        gross=sum(one.gross for one in found),
        tip=sum(one.tip for one in found),
        receipts=sum(one.receipts for one in found),
        voids=sum(one.voids for one in found),
        staff=found,
    )


QUERIES: Final = (
    Query("report.revenue", ReportQuery, revenue, REPORTS),
    Query("report.top_articles", ArticleQuery, top_articles, REPORTS),
    Query("report.groups", ReportQuery, groups, REPORTS),
    Query("report.weekly", ReportQuery, weekly, REPORTS),
    Query("report.hourly", ReportQuery, hourly, REPORTS),
    Query("report.staff", ReportQuery, staff, REPORTS),
    Query("report.payment_methods", ReportQuery, payment_methods, REPORTS),
)
