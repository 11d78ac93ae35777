"""The check at the end of chaos: logs, copies and tables against each other and against what was promised to the tills.

Logs, copies and query tables are proved as ``theke verify`` does it: everything is computed again from the rows of the log. What was
promised to the tills is known only here.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

import aiohttp
import asyncpg
import nats
from nats.js.errors import NotFoundError

from libs.bus.subjects import log_stream
from libs.contracts.pos.events import ReceiptIssued
from libs.contracts.pos.house import Totals
from libs.domain.events import Recorded
from libs.eventstore.codec import recorded
from libs.projections.rows import Row
from libs.runtime.databases import log_dsn, read_dsn
from libs.runtime.proof import Places, instances_of, prove
from services.auth.service import SERVICE as AUTH
from services.inventory.service import SERVICE as INVENTORY
from services.pos.service import SERVICE as POS
from tests.chaos.house import House
from tests.chaos.ledger import Ledger, Promise, cents

SERVICES: Final = (AUTH, INVENTORY, POS)
SETTLE_WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1
TOO_FAST: Final = 429
READERS: Final = 8
FINDINGS_SHOWN: Final = 30
REGISTER: Final = "1"


@dataclass
class Findings:
    """What does not hold, in words."""

    found: list[str] = field(default_factory=list)

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.found.append(what)

    def same(self, found: Any, wanted: Any, what: str) -> None:
        self.expect(found == wanted, f"{what}: found {_short(found)}, should be {_short(wanted)}")

    def refuse(self) -> None:
        """Raises AssertionError with everything that was found."""
        shown = "\n".join(self.found[:FINDINGS_SHOWN])
        assert not self.found, f"{len(self.found)} findings:\n{shown}"


@dataclass(frozen=True)
class Account:
    """What was found in order."""

    events: int
    receipts: int
    orders: int


async def check(house: House, ledger: Ledger) -> Account:
    """Waits until copies and tables have caught up, then looks at everything. Raises AssertionError."""
    findings = Findings()
    findings.found += ledger.faults
    findings.same(ledger.open, {}, "requests without a final answer")
    await settled(house)
    kept = await check_everything_kept(findings, house)
    events = await read_events(house, "pos")
    check_promises(findings, ledger, events)
    check_money(findings, events)
    check_gone(findings, ledger, events)
    check_days(findings, events)
    check_shifts(findings, events)
    await check_answers(findings, house, ledger)
    findings.refuse()
    return Account(kept, len(ledger.receipts), len(ledger.orders))


# --- settling -----------------------------------------------------------------------------------------------------------------


async def settled(house: House) -> None:
    """Wait until every stream and every query table has what its log has."""
    deadline = time.monotonic() + SETTLE_WITHIN_S
    while lags := await _lags(house):
        assert time.monotonic() < deadline, f"not settled within {SETTLE_WITHIN_S:g} s: {lags}\n{house.log_tail()}"
        await asyncio.sleep(LOOK_EVERY_S)


async def _lags(house: House) -> list[str]:
    known = house.known
    logs = await asyncpg.connect(log_dsn(known.postgres_dsn))
    tables = await asyncpg.connect(read_dsn(known.postgres_dsn))
    bus = await nats.connect(known.nats_url.split(","))
    lags = []
    try:
        for service in SERVICES:
            heads = await logs.fetch(f"select instance, max(position) as head from {service.name}.events group by instance")
            for instance, head in heads:
                try:
                    copied = (await bus.jetstream().stream_info(log_stream(service.name, instance))).state.last_seq
                except NotFoundError:
                    copied = 0
                if copied != head:
                    lags.append(f"{service.name} i{instance}: stream at {copied}, log at {head}")
                for projection in service.projections:
                    position = await tables.fetchval(
                        f"select position from {service.name}.checkpoints where projection = $1 and instance = $2", projection.id, instance
                    )
                    if position != head:
                        lags.append(f"{service.name} i{instance}: {projection.id} at {position}, log at {head}")
    finally:
        await bus.close()
        await tables.close()
        await logs.close()
    return lags


# --- logs, copies, tables -----------------------------------------------------------------------------------------------------


async def check_everything_kept(findings: Findings, house: House) -> int:
    """What ``theke verify`` looks at, for every log and with every table; besides, that the copies begin with the first row.
    How many events there are."""
    events = 0
    known = house.known
    places = Places(log_dsn(known.postgres_dsn), read_dsn(known.postgres_dsn), known.nats_url)
    for service in SERVICES:
        for instance in await instances_of(places, service.name):
            proved = await prove(places, service, instance)
            events += proved.head
            name = f"{service.name} i{instance}"
            findings.found += [f"{name}: {found.check}: {found.what}" for found in proved.findings]
            findings.same(proved.copied, (1, proved.head), f"{name}: copy")
            findings.same(proved.left_out, [], f"{name}: left out")
    return events


async def read_events(house: House, service: str) -> list[Recorded]:
    """All events of a service, by instance and position."""
    connection = await asyncpg.connect(log_dsn(house.known.postgres_dsn), server_settings={"search_path": service})
    try:
        return [recorded(row) for row in await connection.fetch("select * from events order by instance, position")]
    finally:
        await connection.close()


def _compare(findings: Findings, name: str, found: Mapping[Any, Row], wanted: Mapping[Any, Row]) -> None:
    findings.same(sorted(found.keys() - wanted.keys()), [], f"{name}: rows too many")
    findings.same(sorted(wanted.keys() - found.keys()), [], f"{name}: rows missing")
    for key in found.keys() & wanted.keys():
        findings.same(found[key], wanted[key], f"{name} {key}")


# --- promises -----------------------------------------------------------------------------------------------------------------


def check_promises(findings: Findings, ledger: Ledger, events: Sequence[Recorded]) -> None:
    """Every receipt and order that was acknowledged stands in the log once, with its figures, and nothing stands there besides."""
    issued = [event for event in events if event.type == "receipt.issued"]
    _same_ids(findings, "receipts", (event.data.receipt for event in issued), ledger.receipts.values())
    _same_ids(findings, "orders", (event.data.order for event in events if event.type == "tab.order_placed"), ledger.orders.values())
    promised = {promise.id for promise in ledger.receipts.values()}
    told = [
        f"{event.data.receipt} at {event.at:%H:%M:%S.%f} at table {event.data.table or '-'}, by {event.actor}, command {event.command}"
        for event in issued
        if event.data.receipt not in promised
    ]
    findings.same(told, [f"(answers that were refused: {sorted(ledger.refused.items())[-40:]})"] if told else [], "where they come from")
    findings.same(_twice(event.command for event in issued), [], "commands with two receipts")
    by_id = {event.data.receipt: event for event in issued}
    for promise in ledger.receipts.values():
        event = by_id.get(promise.id)
        if event is not None:
            stands = (event.data.register, event.number, event.data.gross, [line.total for line in event.data.lines])
            findings.same(stands, _figures(promise.data), f"{promise.id} in the log")
    findings.same(sum(event.data.gross for event in issued), ledger.gross(), "gross of all receipts")


def _same_ids(findings: Findings, what: str, stored: Iterable[str], promised: Iterable[Promise]) -> None:
    in_log, acknowledged = Tally(stored), Tally(promise.id for promise in promised)
    findings.same(sorted((acknowledged - in_log).elements()), [], f"{what} acknowledged but not in the log")
    findings.same(sorted((in_log - acknowledged).elements()), [], f"{what} in the log that no till was promised")
    findings.same([id_ for id_, count in in_log.items() if count > 1], [], f"{what} more than once in the log")


def _figures(receipt: Mapping[str, Any]) -> tuple[str, int, int, list[int]]:
    return receipt["registerId"], receipt["number"], cents(receipt["gross"]), [cents(item["total"]) for item in receipt["items"]]


def check_money(findings: Findings, events: Sequence[Recorded]) -> None:
    """At every table: what was ordered was paid, to the cent, but for what is still open; taxes and payments close on every receipt."""
    ordered: Tally[str] = Tally()
    paid: Tally[str] = Tally()
    billed: Tally[str] = Tally()
    for event in events:
        if event.type == "tab.order_placed":
            ordered.update({line.id: line.total for line in event.data.lines})
        elif event.type == "tab.lines_paid":
            for part in event.data.parts:
                paid[part.line] += part.amount
            billed[event.data.receipt] += sum(part.amount for part in event.data.parts)
        elif event.type == "receipt.issued":
            bill = event.data
            findings.same(
                sum(payment.amount for payment in bill.payments), bill.gross + bill.tip + bill.change, f"{bill.receipt}: payments"
            )
            findings.same(sum(tax.gross for tax in bill.taxes), bill.gross, f"{bill.receipt}: taxes")
            findings.same(sum(line.total for line in bill.lines), bill.gross, f"{bill.receipt}: lines")
            if bill.table is not None and bill.voids is None and bill.refunds is None:
                billed[bill.receipt] -= bill.gross
    findings.same({receipt: rest for receipt, rest in billed.items() if rest}, {}, "bills that differ from what tables were relieved of")
    findings.same({line for line in paid if paid[line] > ordered[line]}, set(), "lines paid beyond what was ordered")


def check_gone(findings: Findings, ledger: Ledger, events: Sequence[Recorded]) -> None:
    """A line that a till was told is not open any more had been paid to the cent by then."""
    for key, gone in ledger.gone.items():
        before = [event for event in events if event.at <= gone.at]
        ordered = [line.total for event in before if event.type == "tab.order_placed" for line in event.data.lines if line.id == gone.line]
        paid = [part.amount for event in before if event.type == "tab.lines_paid" for part in event.data.parts if part.line == gone.line]
        holds = bool(ordered) and sum(ordered) == sum(paid)
        findings.expect(holds, f"{key}: {gone.line} was called not open, but of {ordered} only {paid} was paid")


def check_days(findings: Findings, events: Sequence[Recorded]) -> None:
    """Each Z report holds exactly the receipts of its days, all of them before its fence."""
    issued = [event for event in events if event.type == "receipt.issued"]
    fences = {event.data.through: event.position for event in events if event.type == "day.closing"}
    reports = [event.data for event in events if event.type == "z_report.issued"]
    findings.same([report.through for report in reports], sorted(fences), "days closed")
    before = date.min
    for report in reports:
        held = [event for event in issued if before < event.data.business_day <= report.through]
        late = [event.data.receipt for event in held if event.position > fences[report.through]]
        findings.same(late, [], f"{report.report}: receipts behind the fence")
        findings.same(_sums(report.totals), _totals(event.data for event in held), f"{report.report}: totals")
        numbers = [event.number or 0 for event in held]
        registers = [(one.first_number, one.last_number, one.receipts) for one in report.registers]
        findings.same(registers, [(min(numbers), max(numbers), len(numbers))] if numbers else [], f"{report.report}: register {REGISTER}")
        findings.same(report.unreadable, (), f"{report.report}: unreadable")
        before = report.through


def check_shifts(findings: Findings, events: Sequence[Recorded]) -> None:
    """Each settled shift holds exactly the receipts that name it, and its cash."""
    floats = {event.data.shift: event.data.opening_float for event in events if event.type == "shift.opened"}
    for settled in [event.data for event in events if event.type == "shift.settled"]:
        own = [event.data for event in events if event.type == "receipt.issued" and event.data.shift == settled.shift]
        findings.same(_sums(settled.totals), _totals(own), f"{settled.shift}: totals")
        findings.same(settled.expected, floats[settled.shift] + sum(bill.gross + bill.tip for bill in own), f"{settled.shift}: expected")


def _sums(totals: Totals) -> tuple[int, ...]:
    return totals.receipts, totals.voids, totals.refunds, totals.gross, totals.net, totals.tax, totals.tips, totals.cash


def _totals(bills: Iterable[ReceiptIssued]) -> tuple[int, ...]:
    """The same of receipts that were all paid in cash."""
    chosen = list(bills)
    refunds = sum(bill.refunds is not None for bill in chosen)
    sums = [sum(getattr(bill, name) for bill in chosen) for name in ("gross", "net", "tax", "tip")]
    return len(chosen) - refunds, 0, refunds, *sums, sums[0] + sums[3]


# --- answers ------------------------------------------------------------------------------------------------------------------


async def check_answers(findings: Findings, house: House, ledger: Ledger) -> None:
    """The list of receipts and every single one, over HTTP, are what was promised."""
    async with aiohttp.ClientSession(house.url, timeout=aiohttp.ClientTimeout(total=SETTLE_WITHIN_S)) as http:
        login = await http.post("/api/v1/auth/login", json={"username": "admin", "password": "admin"})
        http.headers["Authorization"] = f"Bearer {(await login.json())['data']['accessToken']}"
        listed = await _data(http, "receipts")
        promised = ledger.receipts_now()
        findings.same(_twice(receipt["id"] for receipt in listed), [], "receipts twice in the list")
        _compare(findings, "list of receipts", {receipt["id"]: receipt for receipt in listed}, promised)
        findings.same(sorted(receipt["number"] for receipt in listed), list(range(1, len(listed) + 1)), f"numbers at register {REGISTER}")
        reports = {promise.id: promise.data for promise in ledger.reports.values()}
        _compare(findings, "list of Z reports", {report["id"]: report for report in await _data(http, "day-close")}, reports)
        shifts = {promise.id: promise.data for promise in ledger.shifts.values()}
        _compare(findings, "list of shifts", {shift["id"]: shift for shift in await _data(http, "shifts")}, shifts)
        waiting = list(promised)

        async def reader() -> None:
            while waiting:
                id_ = waiting.pop()
                findings.same(await _data(http, f"receipts/{id_}"), promised[id_], f"{id_} by id")

        await asyncio.gather(*(reader() for _ in range(READERS)))


async def _data(http: aiohttp.ClientSession, path: str) -> Any:
    """Asks again when it was too fast: after a long run there is more to read than one client may at once."""
    while True:
        async with http.get(f"/api/v1/{path}") as response:
            if response.status != TOO_FAST:
                return json.loads(await response.read(), parse_float=Decimal)["data"]
            wait_s = float(response.headers["Retry-After"])
        await asyncio.sleep(wait_s)


# --- small things -------------------------------------------------------------------------------------------------------------


def _twice(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Tally(values).items() if count > 1]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:200]} … {text[-200:]}"
