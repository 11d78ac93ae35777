"""What reports must say: every figure summed up anew, in plain Python, over what ``GET /receipts`` gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from tests.house import Till, done

CENT: Final = Decimal("0.01")
BERLIN: Final = ZoneInfo("Europe/Berlin")
GIVES_CHANGE: Final = (0, 3)


def day_of(receipt: Any) -> date:
    return date.fromisoformat(receipt["businessDay"])


def at(receipt: Any) -> datetime:
    return datetime.fromisoformat(receipt["date"])


def takes_back(receipt: Any) -> bool:
    return receipt["voidedReceiptId"] is not None or receipt["refundedReceiptId"] is not None


def total(receipts: Iterable[Any], field: str = "gross") -> Decimal:
    return sum((receipt[field] for receipt in receipts), Decimal(0))


def figures(receipts: Iterable[Any]) -> tuple[Decimal, int, int]:
    """Gross, sales, voids."""
    chosen = list(receipts)
    back = sum(takes_back(receipt) for receipt in chosen)
    return total(chosen), len(chosen) - back, back


def shown(row: Any) -> tuple[Decimal, int, int]:
    return row["gross"], row["receiptCount"], row["voidCount"]


def by(receipts: Iterable[Any], key: Any) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for receipt in receipts:
        found[key(receipt)].append(receipt)
    return found


def half_up(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


def share(part: Decimal, whole: Decimal) -> Decimal:
    return half_up(part * 100 / whole) if whole else Decimal(0)


async def the_whole_truth(till: Till, receipts: list[Any], parents: Mapping[str, str | None], span: Mapping[str, str]) -> None:
    """Every report beside the receipts it is about."""

    async def report(name: str, **more: str) -> Any:
        return done(await till.get(f"reports/{name}", params={**span, **more}))

    revenue_agrees(await report("revenue"), receipts)
    articles_agree(await report("top-articles", limit="500"), receipts)
    groups_agree(await report("wgr"), receipts, parents)
    weeks_agree(await report("weekly"), receipts)
    hours_agree(await report("hourly"), receipts)
    staff_agrees(await report("staff"), receipts)
    payments_agree(await report("payment-methods"), receipts)


def revenue_agrees(report: Any, receipts: list[Any]) -> None:
    assert shown(report) == figures(receipts)
    assert [report[name] for name in ("net", "tax", "tip")] == [total(receipts, name) for name in ("net", "tax", "tip")]
    rates = by((tax for receipt in receipts for tax in receipt["taxes"]), lambda tax: tax["rate"])
    assert report["taxes"] == [
        {"rate": rate, **{name: total(taxes, name) for name in ("net", "tax", "gross")}}
        for rate, taxes in sorted(rates.items(), reverse=True)
    ]
    kinds = expected_payments(receipts)
    assert [(one["type"], one["amount"], one["count"]) for one in report["payments"]] == [kind[:3] for kind in kinds]
    assert total(report["payments"], "amount") == report["gross"] + report["tip"]
    days = by(receipts, day_of)
    expected = [{"date": str(day), "gross": total(of), "receiptCount": figures(of)[1]} for day, of in sorted(days.items())]
    assert report["days"] == expected


def expected_payments(receipts: list[Any]) -> list[tuple[int, Decimal, int, int, Decimal]]:
    """Kind, what stayed, payments on sales, payments given back, tips in it: change is in the last payments that can give it, the tip in
    the last of what then remains."""
    stayed: dict[int, Decimal] = defaultdict(Decimal)
    tips: dict[int, Decimal] = defaultdict(Decimal)
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for receipt in receipts:
        change, tip = abs(receipt["change"]), abs(receipt["tip"])
        for payment in reversed(receipt["payments"]):
            kind, amount = payment["type"], payment["amount"]
            back = min(change, abs(amount)) if kind in GIVES_CHANGE else Decimal(0)
            given = min(tip, abs(amount) - back)
            change, tip = change - back, tip - given
            stayed[kind] += amount - back.copy_sign(amount)
            tips[kind] += given.copy_sign(amount)
            counts[kind][takes_back(receipt)] += 1
        assert not change
        assert not tip
    return [(kind, amount, counts[kind][0], counts[kind][1], tips[kind]) for kind, amount in sorted(stayed.items())]


def articles_agree(report: Any, receipts: list[Any]) -> None:
    lines = [line for receipt in receipts for line in receipt["items"]]
    sold = by(lines, lambda line: (line["articleId"], None if line["articleId"] else line["name"]))
    rows = {
        key: (of[-1]["name"], sum(line["quantity"] for line in of), total(of, "total"), share(total(of, "total"), total(receipts)))
        for key, of in sold.items()
    }
    assert (report["gross"], report["articles"]) == (total(receipts), len(rows))
    for ranking in (report["top"], report["worst"]):
        found = {
            (row["articleId"], None if row["articleId"] else row["name"]): (row["name"], row["quantity"], row["gross"], row["share"])
            for row in ranking
        }
        assert found == rows
    best, worst = ([row["gross"] for row in report[name]] for name in ("top", "worst"))
    assert best == sorted(best, reverse=True)
    assert worst == sorted(worst)


def groups_agree(report: Any, receipts: list[Any], parents: Mapping[str, str | None]) -> None:
    """``parents``: the tree as it was made, group → the one above. The group of an article is its own at the time it was sold."""
    whole = total(receipts)
    rows = {row["groupId"]: row for row in report["groups"]}
    assert len(rows) == len(report["groups"])
    assert report["gross"] == whole == total(rows.values())
    assert whole == total((row for row in rows.values() if row["level"] == 0), "totalGross")
    for ix, row in enumerate(report["groups"]):
        below = [one for one in rows.values() if one["parentId"] == row["groupId"] and row["groupId"]]
        assert row["parentId"] == parents.get(row["groupId"])
        assert row["totalGross"] == row["gross"] + total(below, "totalGross")
        assert row["totalQuantity"] == row["quantity"] + sum(one["totalQuantity"] for one in below)
        assert row["share"] == share(row["totalGross"], whole)
        assert all(one["level"] == row["level"] + 1 and report["groups"].index(one) > ix for one in below)


def weeks_agree(report: Any, receipts: list[Any]) -> None:
    assert shown(report) == figures(receipts)
    days = by(receipts, day_of)
    weeks = by(receipts, lambda receipt: day_of(receipt).isocalendar()[:2])
    assert {(week["year"], week["week"]): shown(week) for week in report["weeks"]} == {key: figures(of) for key, of in weeks.items()}
    assert [(week["year"], week["week"]) for week in report["weeks"]] == sorted(weeks)
    for week in report["weeks"]:
        assert week["from"] == max(report["from"], str(date.fromisocalendar(week["year"], week["week"], 1)))
        assert week["to"] == min(report["to"], str(date.fromisocalendar(week["year"], week["week"], 7)))
        assert [week["days"][0]["date"], week["days"][-1]["date"]] == [week["from"], week["to"]]
        for day in week["days"]:
            assert shown(day) == figures(days[date.fromisoformat(day["date"])])
            assert day["weekday"] == date.fromisoformat(day["date"]).isoweekday()
    assert [row["weekday"] for row in report["weekdays"]] == list(range(1, 8))
    for row in report["weekdays"]:
        same = {day: of for day, of in days.items() if of and day.isoweekday() == row["weekday"]}
        assert shown(row) == figures(receipt for of in same.values() for receipt in of)
        assert (row["days"], row["average"]) == (len(same), half_up(row["gross"] / len(same)) if same else 0)


def hours_agree(report: Any, receipts: list[Any]) -> None:
    assert shown(report) == figures(receipts)
    assert [row["hour"] for row in report["hours"]] == [*range(4, 24), 0, 1, 2, 3]
    hours = by(receipts, lambda receipt: at(receipt).astimezone(BERLIN).hour)
    assert {row["hour"]: shown(row) for row in report["hours"]} == {hour: figures(hours[hour]) for hour in range(24)}


def staff_agrees(report: Any, receipts: list[Any]) -> None:
    assert (*shown(report), report["tip"]) == (*figures(receipts), total(receipts, "tip"))
    people = by(receipts, lambda receipt: receipt["staffId"])
    assert {row["staffId"] for row in report["staff"]} == set(people)
    for row in report["staff"]:
        own = people[row["staffId"]]
        sales = [receipt for receipt in own if not takes_back(receipt)]
        assert (*shown(row), row["tip"]) == (*figures(own), total(own, "tip"))
        assert row["voidGross"] == total(receipt for receipt in own if takes_back(receipt))
        assert row["average"] == (half_up(total(sales) / len(sales)) if sales else 0)


def payments_agree(report: Any, receipts: list[Any]) -> None:
    found = [(row["type"], row["amount"], row["count"], row["voidCount"], row["tip"]) for row in report["payments"]]
    assert found == expected_payments(receipts)
    for name, whole in (
        ("amount", total(receipts) + total(receipts, "tip")),
        ("change", total(receipts, "change")),
        ("tip", total(receipts, "tip")),
    ):
        assert report[name] == total(report["payments"], name) == whole
    handed_over = by((payment for receipt in receipts for payment in receipt["payments"]), lambda payment: payment["type"])
    assert {row["type"]: row["amount"] + row["change"] for row in report["payments"]} == {
        kind: total(of, "amount") for kind, of in handed_over.items()
    }
