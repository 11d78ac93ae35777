"""The check at the end of chaos: logs, copies and tables against each other and against what was promised to the tills.

Everything is recomputed outside of Theke: positions, versions, numbers and the hash chain from the rows of the log, query tables by
folding the log one event at a time in plain dictionaries, the stream by rendering every row.
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
from itertools import groupby
from typing import Any, Final

import aiohttp
import asyncpg
import msgspec
import nats
import nats.js.api as jetstream
from nats.js.errors import NotFoundError

from libs.bus.subjects import log_stream
from libs.contracts.pos.events import ReceiptIssued
from libs.contracts.pos.house import Totals
from libs.domain.events import Recorded
from libs.eventstore.chain import digest, leaf
from libs.eventstore.codec import Meta, recorded
from libs.projections.declare import Projection
from libs.projections.rows import Key, Row, Rows
from libs.runtime.databases import log_dsn, read_dsn
from libs.runtime.publishing import render
from libs.runtime.service import Service
from services.auth.service import SERVICE as AUTH
from services.inventory.service import SERVICE as INVENTORY
from services.pos.service import SERVICE as POS
from tests.chaos.house import House
from tests.chaos.ledger import Ledger, Promise, cents

SERVICES: Final = (AUTH, INVENTORY, POS)
SETTLE_WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1
FETCH_MESSAGES: Final = 500
FETCH_WITHIN_S: Final = 10.0
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
class LogRows:
    """One service's log as it lies in the database; rows in order of instance and position."""

    events: Sequence[Mapping[str, Any]]
    commits: Sequence[Mapping[str, Any]]
    commands: Sequence[Mapping[str, Any]]
    streams: Sequence[Mapping[str, Any]]
    series: Sequence[Mapping[str, Any]]
    claims: Sequence[Mapping[str, Any]]

    def by_instance(self) -> dict[int, list[Mapping[str, Any]]]:
        return {instance: list(rows) for instance, rows in groupby(self.events, key=lambda row: int(row["instance"]))}


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
    logs = {service.name: await read_log(house, service.name) for service in SERVICES}
    for service in SERVICES:
        check_log(findings, service.name, logs[service.name])
        await check_stream(findings, house, service.name, logs[service.name])
        await check_tables(findings, house, service, logs[service.name])
    events = [recorded(row) for row in logs["pos"].events]
    check_promises(findings, ledger, events)
    check_money(findings, events)
    check_days(findings, events)
    check_shifts(findings, events)
    await check_answers(findings, house, ledger)
    findings.refuse()
    return Account(sum(len(log.events) for log in logs.values()), len(ledger.receipts), len(ledger.orders))


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
    bus = await nats.connect(known.nats_url)
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


# --- the log ------------------------------------------------------------------------------------------------------------------


async def read_log(house: House, service: str) -> LogRows:
    connection = await asyncpg.connect(log_dsn(house.known.postgres_dsn), server_settings={"search_path": service})
    try:
        return LogRows(
            events=await connection.fetch("select * from events order by instance, position"),
            commits=await connection.fetch("select * from commits order by instance, last_position"),
            commands=await connection.fetch("select * from commands order by instance, first_position, last_position"),
            streams=await connection.fetch("select * from streams"),
            series=await connection.fetch("select * from series"),
            claims=await connection.fetch("select * from claims"),
        )
    finally:
        await connection.close()


def check_log(findings: Findings, service: str, log: LogRows) -> None:
    """Positions, versions and numbers without gaps, nothing twice, every leaf and digest as recomputed."""
    findings.same(_twice(row["id"] for row in log.events), [], f"{service}: event ids twice")
    for instance, events in log.by_instance().items():
        name = f"{service} i{instance}"
        findings.same([row["position"] for row in events], list(range(1, len(events) + 1)), f"{name}: positions")
        times = [row["at"] for row in events]
        findings.expect(times == sorted(times), f"{name}: times run backwards")
        _check_runs(
            findings, name, "versions of", _grouped(events, "stream", "version"), _heads(log.streams, instance, "stream", "version")
        )
        numbered = [row for row in events if row["series"] is not None]
        _check_runs(findings, name, "numbers of", _grouped(numbered, "series", "number"), _heads(log.series, instance, "series", "last"))
        _check_commands(findings, name, events, [row for row in log.commands if row["instance"] == instance])
        _check_chain(findings, name, events, [row for row in log.commits if row["instance"] == instance])
        held = {(row["scope"], row["value"]): row["stream"] for row in log.claims if row["instance"] == instance}
        findings.same(held, _claims(events), f"{name}: claims")


def _check_runs(findings: Findings, name: str, what: str, found: Mapping[str, list[int]], heads: Mapping[str, int]) -> None:
    findings.same({key: len(run) for key, run in found.items()}, dict(heads), f"{name}: heads, {what} all")
    for key, run in found.items():
        findings.expect(run == list(range(1, len(run) + 1)), f"{name}: {what} {key} are {_short(run)}")


def _check_commands(findings: Findings, name: str, events: Sequence[Mapping[str, Any]], commands: Sequence[Mapping[str, Any]]) -> None:
    """The commands that are remembered cover the log exactly, and each event names the one that made it."""
    expected = 1
    for command in commands:
        findings.same(command["first_position"], expected, f"{name}: command {command['id']} begins")
        made = events[command["first_position"] - 1 : command["last_position"]]
        causes = {_meta.decode(row["meta"]).command for row in made}
        findings.expect(causes <= {command["id"]}, f"{name}: events of {causes} stand under command {command['id']}")
        expected = command["last_position"] + 1
    findings.same(expected, len(events) + 1, f"{name}: behind the last command")


def _check_chain(findings: Findings, name: str, events: Sequence[Mapping[str, Any]], commits: Sequence[Mapping[str, Any]]) -> None:
    previous, expected = b"", 1
    for commit in commits:
        findings.same(commit["first_position"], expected, f"{name}: commit begins")
        rows = events[commit["first_position"] - 1 : commit["last_position"]]
        leaves = [leaf(row) for row in rows]
        for row, computed in zip(rows, leaves, strict=True):
            findings.expect(row["leaf"] == computed, f"{name}: leaf of {row['position']} is not what its row says")
        previous = digest(previous, leaves)
        findings.expect(commit["digest"] == previous, f"{name}: digest at {commit['last_position']} breaks the chain")
        expected = commit["last_position"] + 1
    findings.same(expected, len(events) + 1, f"{name}: behind the last commit")


def _claims(events: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    held: dict[tuple[str, str], str] = {}
    seen: set[Any] = set()
    for row in events:
        meta = _meta.decode(row["meta"])
        if (meta.command, meta.claims) in seen:
            continue  # a command's claims are noted on each of its events, or on those of the stream that holds them
        seen.add((meta.command, meta.claims))
        for note in meta.claims:
            scope, _, value = note[1:].partition(":")
            if note[0] == "+":
                held[scope, value] = row["stream"]
            else:
                held.pop((scope, value), None)
    return held


_meta: Final = msgspec.json.Decoder(Meta)


# --- the stream ---------------------------------------------------------------------------------------------------------------


async def check_stream(findings: Findings, house: House, service: str, log: LogRows) -> None:
    """Message i is row i, subject and body byte for byte, and there is nothing else."""
    bus = await nats.connect(house.known.nats_url)
    try:
        for instance, events in log.by_instance().items():
            name = log_stream(service, instance)
            state = (await bus.jetstream().stream_info(name)).state
            findings.same((state.first_seq, state.last_seq, state.messages), (1, len(events), len(events)), f"{name}: extent")
            copied = await _messages(bus, name, state.last_seq)
            for row, (sequence, subject, payload) in zip(events, copied, strict=False):
                wanted = render(service, row)
                if (sequence, subject, payload) != (row["position"], wanted.subject, wanted.payload):
                    findings.expect(False, f"{name}: message {sequence} is not row {row['position']}")
                    break
    finally:
        await bus.close()


async def _messages(bus: Any, stream: str, last: int) -> list[tuple[int, str, bytes]]:
    config = jetstream.ConsumerConfig(ack_policy=jetstream.AckPolicy.NONE, deliver_policy=jetstream.DeliverPolicy.ALL)
    subscription = await bus.jetstream().pull_subscribe("", stream=stream, config=config)
    found: list[tuple[int, str, bytes]] = []
    while len(found) < last:
        for message in await subscription.fetch(min(FETCH_MESSAGES, last - len(found)), timeout=FETCH_WITHIN_S):
            found.append((message.metadata.sequence.stream, message.subject, message.data))
    await subscription.unsubscribe()
    return found


# --- query tables -------------------------------------------------------------------------------------------------------------


async def check_tables(findings: Findings, house: House, service: Service, log: LogRows) -> None:
    """Each query table holds exactly what folding the log says, row by row and column by column."""
    connection = await asyncpg.connect(read_dsn(house.known.postgres_dsn))
    try:
        held = await connection.fetch(f"select projection, held from {service.name}.checkpoints where held is not null")
        findings.same([tuple(row) for row in held], [], f"{service.name}: projections held")
        active = dict(await connection.fetch("select projection, active from theke.revisions where service = $1", service.name))
        findings.same(active, {projection.name: projection.revision for projection in service.projections}, f"{service.name}: revisions")
        for instance, rows in log.by_instance().items():
            events = [recorded(row) for row in rows]
            for projection in service.projections:
                wanted = folded(projection, events)
                for table in projection.tables:
                    stored = await connection.fetch(
                        f"select * from {service.name}.{table.name}_r{projection.revision} where instance = $1", instance
                    )
                    found = {tuple(row[column] for column in table.key): _plain(table.columns, row) for row in stored}
                    expected = {
                        key: _plain(table.columns, {**row, **dict(zip(table.key, key, strict=True))})
                        for key, row in wanted.get(table.name, {}).items()
                    }
                    _compare(findings, f"{service.name}.{table.name} i{instance}", found, expected)
    finally:
        await connection.close()


def folded(projection: Projection, events: Iterable[Recorded]) -> dict[str, dict[Key, Row]]:
    """The tables of a projection after these events of one instance, from nothing, one event at a time."""
    rows = Rows()
    for event in events:
        handle, reads = projection.handlers.get(event.type, (None, None))
        for table, key in reads(event) if reads is not None else ():
            rows.seed(table, key, None)
        if handle is not None:
            handle(rows, event)
    return {table: dict(present) for table, present, _ in rows.written()}


def _plain(columns: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with JSON columns decoded, so that they compare by content."""
    values = {column: dict(row).get(column) for column in columns}
    return {
        column: json.loads(value, parse_float=Decimal) if columns[column] == "jsonb" and isinstance(value, str) else value
        for column, value in values.items()
    }


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
    async with http.get(f"/api/v1/{path}") as response:
        return json.loads(await response.read(), parse_float=Decimal)["data"]


# --- small things -------------------------------------------------------------------------------------------------------------


def _grouped(rows: Iterable[Mapping[str, Any]], key: str, value: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row[value])
    return found


def _heads(rows: Iterable[Mapping[str, Any]], instance: int, key: str, value: str) -> dict[str, int]:
    return {row[key]: row[value] for row in rows if row["instance"] == instance}


def _twice(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Tally(values).items() if count > 1]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:200]} … {text[-200:]}"
