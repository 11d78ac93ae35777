"""The books at the end: log, receipts, reports, Z reports, the open X and the shifts, held against each other to the cent.

Everything is summed up anew in plain Python from what ``GET /receipts`` gives, and that is held against the log field by field.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from libs.contracts.pos.events import ReceiptIssued
from libs.contracts.pos.house import DayClosing
from libs.domain.events import Recorded
from libs.eventstore.log import READ_MAX_ROWS
from services.pos.tabs.state import TAB
from tests.agreement import expected_payments, the_whole_truth, total
from tests.house import Inn, Till, done

CASH: Final = (0, 3)
Fold = dict[str, Recorded]


async def read_all(inn: Inn) -> list[Recorded]:
    """The till's log of this house, whole."""
    log, found = inn.theke.hosts["pos"].log, []
    while rows := await log.read(inn.instance, found[-1].position if found else 0, READ_MAX_ROWS):
        found += rows
    return found


def cents(amount: Decimal | int) -> int:
    scaled = Decimal(amount) * 100
    assert scaled == int(scaled), amount
    return int(scaled)


def totals_of(receipts: list[Any]) -> dict[str, Any]:
    """As a Z report, an X report and a settled shift write them."""
    voids = sum(receipt["voidedReceiptId"] is not None for receipt in receipts)
    refunds = sum(receipt["refundedReceiptId"] is not None for receipt in receipts)
    rates: dict[Decimal, list[Any]] = defaultdict(list)
    for receipt in receipts:
        for tax in receipt["taxes"]:
            rates[tax["rate"]].append(tax)
    kinds = expected_payments(receipts)
    return {
        "receiptCount": len(receipts) - voids - refunds,
        "voidCount": voids,
        "refundCount": refunds,
        **{name: total(receipts, name) for name in ("gross", "net", "tax")},
        "tips": total(receipts, "tip"),
        "cash": sum((amount for kind, amount, *_ in kinds if kind in CASH), Decimal(0)),
        "taxes": [
            {"rate": rate, **{name: total(taxes, name) for name in ("net", "tax", "gross")}}
            for rate, taxes in sorted(rates.items(), reverse=True)
        ],
        "payments": [{"type": kind, "amount": amount, "count": sales + back} for kind, amount, sales, back, _ in kinds],
    }


def registers_of(receipts: list[Any]) -> list[dict[str, Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for receipt in receipts:
        found[receipt["registerId"]].append(receipt)
    return [
        {
            "registerId": register,
            "firstNumber": min(receipt["number"] for receipt in of),
            "lastNumber": max(receipt["number"] for receipt in of),
            "receipts": len(of),
            "gross": total(of),
        }
        for register, of in sorted(found.items())
    ]


# --- receipts and the log -----------------------------------------------------------------------------------------------------


def receipts_are_the_log(receipts: list[Any], events: list[Recorded]) -> Fold:
    """Field by field, in the order of the log. The log's events by receipt."""
    issued = [event for event in events if event.type == ReceiptIssued.TYPE]
    assert [receipt["id"] for receipt in receipts] == [event.data.receipt for event in issued]
    for receipt, event in zip(receipts, issued, strict=True):
        bill: ReceiptIssued = event.data
        assert receipt["number"] == (event.number if bill.own_number is None else bill.own_number)
        named = ("registerId", "businessDay", "staffId", "shiftId", "tableId", "voidedReceiptId", "refundedReceiptId")
        stands = (bill.register, str(bill.business_day), bill.staff, bill.shift, bill.table, bill.voids, bill.refunds)
        assert tuple(receipt[name] for name in named) == stands
        for name in ("gross", "net", "tax", "tip", "change"):
            assert cents(receipt[name]) == getattr(bill, name), (receipt, name)
        assert [(one["rate"], *(cents(one[name]) for name in ("net", "tax", "gross"))) for one in receipt["taxes"]] == [
            (one.rate, one.net, one.tax, one.gross) for one in bill.taxes
        ]
        assert [(one["type"], cents(one["amount"])) for one in receipt["payments"]] == [(one.type, one.amount) for one in bill.payments]
        assert [(one["id"], one["quantity"], cents(one["total"])) for one in receipt["items"]] == [
            (one.id, one.quantity, one.total) for one in bill.lines
        ]
        closes(bill)
    return {event.data.receipt: event for event in issued}


def closes(bill: ReceiptIssued) -> None:
    """A receipt in itself."""
    assert sum(line.total for line in bill.lines) == bill.gross == bill.net + bill.tax
    assert sum(payment.amount for payment in bill.payments) == bill.gross + bill.tip + bill.change
    for tax in bill.taxes:
        assert sum(line.total for line in bill.lines if line.tax_rate == tax.rate) == tax.gross == tax.net + tax.tax


def numbers_have_no_gap(receipts: list[Any], own: Iterable[str] = ()) -> None:
    """From 1 at every register, in the order of the log unless the register (``own``) gives them itself."""
    found: dict[str, list[int]] = defaultdict(list)
    for receipt in receipts:
        found[receipt["registerId"]].append(receipt["number"])
    for register, numbers in found.items():
        assert (sorted(numbers) if register in own else numbers) == list(range(1, len(numbers) + 1)), register


def what_was_taken_back_adds_up(receipts: list[Any]) -> None:
    """A void is its sale negated; refunds never take more than there was, and all of them together exactly it."""
    by_id = {receipt["id"]: receipt for receipt in receipts}
    against: dict[str, list[Any]] = defaultdict(list)
    for receipt in receipts:
        if (original := receipt["voidedReceiptId"] or receipt["refundedReceiptId"]) is not None:
            against[original].append(receipt)
    for id_, receipt in by_id.items():
        back = against[id_]
        assert receipt["voidReceiptId"] == next((one["id"] for one in back if one["voidedReceiptId"]), None)
        assert receipt["isVoided"] is (receipt["voidReceiptId"] is not None)
        assert receipt["refundReceiptIds"] == [one["id"] for one in back if one["refundedReceiptId"]]
        assert receipt["refunded"] == -total(one for one in back if one["refundedReceiptId"])
        left = totals_of([receipt, *back])
        lines: dict[str, Decimal] = defaultdict(Decimal)
        for one in (receipt, *back):
            for line in one["items"]:
                lines[line["id"]] += line["quantity"]
        assert all(quantity >= 0 for quantity in lines.values()) or receipt["gross"] <= 0
        if back and not any(lines.values()):
            assert (left["gross"], left["net"], left["tax"], left["tips"]) == (0, 0, 0, 0), receipt
            assert all(tax[name] == 0 for tax in left["taxes"] for name in ("net", "tax", "gross")), receipt
            assert sum(payment["amount"] for payment in left["payments"]) == 0, receipt
        if receipt["isVoided"]:
            assert len(back) == 1
            assert not any(lines.values())
            assert all(payment["amount"] == 0 for payment in left["payments"]), receipt


# --- days ---------------------------------------------------------------------------------------------------------------------


async def days_hold_every_receipt_once(till: Till, receipts: list[Any], events: list[Recorded], fold: Fold) -> None:
    """Z reports in their order take the receipts of their days, all issued before the fence; the open X has the rest."""
    reports = done(await till.get("day-close"))
    assert [report["number"] for report in reports] == list(range(1, len(reports) + 1))
    fences = {str(event.data.through): event.position for event in events if event.type == DayClosing.TYPE}
    assert [report["date"] for report in reports] == sorted(fences)
    before, counted = "", 0
    for report in reports:
        held = [receipt for receipt in receipts if before < receipt["businessDay"] <= report["date"]]
        assert all(fold[receipt["id"]].position < fences[report["date"]] for receipt in held), report["number"]
        assert report["totals"] == totals_of(held), report["number"]
        assert report["registers"] == registers_of(held)
        assert report["firstDate"] == min((receipt["businessDay"] for receipt in held), default=report["date"])
        assert report["unreadable"] == []
        before, counted = report["date"], counted + len(held)
    x = done(await till.get("day-close/x-report"))
    rest = [receipt for receipt in receipts if receipt["businessDay"] > before]
    assert counted + len(rest) == len(receipts)
    assert (x["totals"], x["registers"]) == (totals_of(rest), registers_of(rest))
    whole = sum((report["totals"]["gross"] for report in reports), x["totals"]["gross"])
    assert whole == total(receipts)


async def shifts_hold_their_cash(till: Till, receipts: list[Any]) -> int:
    """How many were settled."""
    shifts = done(await till.get("shifts"))
    settled = [shift for shift in shifts if shift["isSettled"]]
    for shift in settled:
        own = totals_of([receipt for receipt in receipts if receipt["shiftId"] == shift["id"]])
        assert shift["totals"] == own
        assert shift["expectedCash"] == shift["openingFloat"] + own["cash"]
        counted = shift["countedCash"]
        assert shift["difference"] == (0 if counted is None else counted - shift["expectedCash"])
    reported = [shift["id"] for report in done(await till.get("day-close")) for shift in report["shifts"]]
    assert len(reported) == len(set(reported))
    assert set(reported) <= {shift["id"] for shift in settled}
    known = {shift["id"] for shift in shifts}
    assert {receipt["shiftId"] for receipt in receipts} - {None} <= known
    return len(settled)


async def reports_say_the_same(till: Till, receipts: list[Any]) -> None:
    """All seven, for every day, for the week, for each register and each employee."""
    days = sorted({receipt["businessDay"] for receipt in receipts})
    week = {"from": days[0], "to": days[-1]}
    await the_whole_truth(till, receipts, {}, week)
    for day in days:
        await the_whole_truth(till, [one for one in receipts if one["businessDay"] == day], {}, {"from": day, "to": day})
    for parameter, name in (("registerId", "registerId"), ("staffId", "staffId")):
        for value in sorted({receipt[name] for receipt in receipts}):
            await the_whole_truth(till, [one for one in receipts if one[name] == value], {}, {**week, parameter: value})


# --- tables -------------------------------------------------------------------------------------------------------------------


async def tables_are_the_log(inn: Inn, till: Till, tables: list[str], events: list[Recorded]) -> None:
    """What is open at each table: by its stream, by its list, by its own figures and by the X report."""
    x = {one["tableId"]: one["openAmount"] for one in done(await till.get("day-close/x-report"))["openTables"]}
    for table in tables:
        state = TAB.initial
        for event in events:
            if event.stream == TAB.stream(table):
                state = TAB.evolve(state, event)
        folded = {line.line.id: line.open_amount for line in state.open_lines()}
        shown = {line["id"]: cents(line["openAmount"]) for line in await till.open_items(table)}
        assert shown == folded, table
        assert cents(x.get(table, Decimal(0))) == sum(folded.values())
