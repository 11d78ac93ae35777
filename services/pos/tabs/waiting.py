"""Who waits on a table: handing it over, and showing its guests what is open (Zwischenrechnung)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from libs.contracts.pos.commands import SEAT_MAX, TableStatus
from libs.contracts.pos.events import TableState
from libs.contracts.pos.floor import InterimBill, PrintInterimBill, TransferTable
from libs.contracts.pos.permissions import ORDERS, TRANSFER
from libs.contracts.pos.tab_events import InterimBillPrinted, TableHandedOver
from libs.domain.decider import Command, CommandType, Decision, Lookup, States
from libs.domain.events import Recorded
from services.pos.facts import SaleFacts, facts_of_tables, table_facts
from services.pos.faults import Faults, check_int, is_key, known_as
from services.pos.pricing import receipt_line, taxes_of
from services.pos.settings import SETTINGS
from services.pos.tabs.state import TAB, Tab, TabLine, check_table, status_of, tab_of, tab_refs

USER_COLUMNS: Final = ("key", "is_active")


class HandOverFacts(msgspec.Struct, frozen=True):
    """``works``: whether who is to take over is an active employee; None if there is no such employee."""

    sale: SaleFacts
    works: bool | None


async def hand_over_facts(command: Command[TransferTable], lookup: Lookup) -> HandOverFacts:
    waiter = command.body.waiter
    asked = lookup.rows("auth.users", command.instance, [waiter] if is_key(waiter) else [], USER_COLUMNS)
    sale = await facts_of_tables(command, lookup, [command.body.table])
    found = (await asked).get(waiter, ())
    return HandOverFacts(sale, bool(found[0]["is_active"]) if found else None)


def decide_transfer(states: States, command: Command[TransferTable], facts: HandOverFacts) -> Decision:
    """Whoever holds the right may hand over any table, as whoever takes orders may take them at any; the event says who did."""
    body = command.body
    tab = tab_of(states, body.table)
    faults = Faults()
    check_table(body.table, "table", facts.sale, tab, faults)
    if facts.works is None:
        faults.not_found("waiter", "user_not_found", id=known_as(body.waiter))
    elif not facts.works:
        faults.conflict("waiter", "user_inactive", id=body.waiter)
    if tab.state is not TableState.OCCUPIED:
        faults.conflict("table", "table_not_occupied", id=known_as(body.table))
    faults.refuse()
    event = TableHandedOver(table=body.table, waiter=body.waiter, before=tab.waiter, staff=command.principal.user, at=command.at)
    return Decision({TAB.stream(body.table): (event,)})


def reply_status(states: States, command: Command[TransferTable], recorded: Sequence[Recorded]) -> TableStatus:
    return status_of(states, command.body.table)


def decide_interim_bill(states: States, command: Command[PrintInterimBill], facts: SaleFacts) -> Decision:
    body = command.body
    tab = tab_of(states, body.table)
    faults = Faults()
    check_int(body.seat, 1, SEAT_MAX, "seat", faults)
    check_table(body.table, "table", facts, tab, faults)
    shown = _shown(tab, body.seat)
    if not shown:
        faults.conflict("table", "nothing_to_pay", id=known_as(body.table))
    faults.refuse()
    event = InterimBillPrinted(
        table=body.table,
        amount=sum(line.open_amount for line in shown),
        lines=len(shown),
        seat=body.seat,
        staff=command.principal.user,
        at=command.at,
    )
    return Decision({TAB.stream(body.table): (event,)})


def _shown(tab: Tab, seat: int | None) -> list[TabLine]:
    return [line for line in tab.open_lines() if seat is None or line.line.seat == seat]


def reply_interim_bill(states: States, command: Command[PrintInterimBill], recorded: Sequence[Recorded]) -> InterimBill:
    """Showing a bill changes nothing that is open, so the state after it says what it said."""
    tab = tab_of(states, command.body.table)
    event: InterimBillPrinted = recorded[0].data
    currency = SETTINGS.currency
    lines = tuple(receipt_line(line.line, line.open_quantity, line.open_amount, currency) for line in _shown(tab, event.seat))
    taxes = taxes_of(lines)
    return InterimBill(
        table=event.table,
        seat=event.seat,
        waiter=tab.waiter,
        at=event.at,
        printed=tab.interim_bills,
        currency=currency,
        lines=lines,
        taxes=taxes,
        gross=sum(tax.gross for tax in taxes),
        net=sum(tax.net for tax in taxes),
        tax=sum(tax.tax for tax in taxes),
    )


COMMANDS: Final = (
    CommandType(
        name="tab.transfer",
        body=TransferTable,
        streams=lambda command: tab_refs([command.body.table]),
        facts=hand_over_facts,
        decide=decide_transfer,
        reply=reply_status,
        permission=TRANSFER,
    ),
    CommandType(
        name="tab.print_interim_bill",
        body=PrintInterimBill,
        streams=lambda command: tab_refs([command.body.table]),
        facts=table_facts,
        decide=decide_interim_bill,
        reply=reply_interim_bill,
        permission=ORDERS,
    ),
)
