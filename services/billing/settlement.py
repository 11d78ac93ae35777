"""Payments settle transactions: what is paid on one decides how far it is paid, in the append of the payment itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.contracts.billing.settlement import COUNTED, SETTLED, SettlementChanged, due, settled
from libs.domain.decider import Aggregate, Lookup, States
from libs.domain.errors import FieldError, invalid
from libs.domain.events import Event, Recorded
from libs.records.effects import Also, Effect, Follows, Pending, Values, Write, needed, row_id
from libs.records.state import RecordState

PAYMENT, TRANSACTION, DUNNED = "ledger_payment", "transaction", "dunned_transaction"
PAYS: Final = ("amount", "status", "transaction")
OWES: Final = ("netamount", "status", "tax")


class Tally(msgspec.Struct, frozen=True):
    """What was paid on a transaction."""

    paid: Decimal = Decimal(0)


def evolve(_: Tally, event: Recorded) -> Tally:
    return Tally(event.data.total)


SETTLEMENT: Final = Aggregate("settlement", Tally(), evolve)


class Settling(Effect):
    """A payment that counts, counts otherwise or counts no more, on one transaction or another; a transaction of which something else is
    due; and that nothing but invoices and credits is dunned."""

    name = "settlement"
    hears = frozenset({PAYMENT, TRANSACTION, DUNNED})
    tallies = (SETTLEMENT,)

    async def streams(self, lookup: Lookup, instance: int, pending: Sequence[Pending]) -> Sequence[Also]:
        payments = [one for one in pending if one.record == PAYMENT and _names(one, PAYS)]
        known = [str(one.id) for one in payments if not one.new]
        rows = await lookup.rows("billing.payments", instance, known, ("id", "transaction"), "id") if known else {}
        paid = {row_id(found[0]["transaction"]) for found in rows.values()} | {one.reference("transaction") for one in payments}
        also = [Also(kind, str(id_)) for id_ in sorted(filter(None, paid)) for kind in (SETTLEMENT.name, TRANSACTION)]
        owed = [one.id for one in pending if one.record == TRANSACTION and not one.new and one.values is not None and _names(one, OWES)]
        return [*also, *(Also(SETTLEMENT.name, str(id_), reads=True) for id_ in owed)]

    def decide(self, states: States, writes: Sequence[Write], facts: Any, at: datetime) -> Follows:
        for write in writes:
            if write.record == DUNNED:
                _require_dunnable(states, write)
        events: dict[str, Sequence[Event]] = {}
        changes = {}
        for id_, (by, payments) in _moved(writes).items():
            stream = SETTLEMENT.stream(str(id_))
            total = needed(states, stream).paid + by
            events[stream] = [SettlementChanged(transaction=id_, payments=tuple(payments), by=by, total=total)]
            state: RecordState = needed(states, f"{TRANSACTION}-{id_}")
            if state.exists:
                changes[TRANSACTION, id_] = {"status": _settled(state.values, total)}
        for write in writes:
            if write.record == TRANSACTION and write.before is not None and write.after is not None and write.changed(*OWES):
                total = needed(states, SETTLEMENT.stream(str(write.id))).paid
                changes[TRANSACTION, write.id] = {"status": _settled(write.after, total)}
        return Follows(changes, events)


def _names(pending: Pending, fields: Sequence[str]) -> bool:
    return pending.values is None or any(name in pending.values for name in fields)


def _moved(writes: Sequence[Write]) -> dict[int, tuple[Decimal, list[int]]]:
    """By transaction: how much more was paid on it, and the payments that make the difference."""
    moved: dict[int, tuple[Decimal, list[int]]] = {}
    for write in writes:
        if write.record != PAYMENT or not write.changed(*PAYS):
            continue
        for values, sign in ((write.before, -1), (write.after, 1)):
            if values is not None and values["transaction"] is not None and values["status"] in COUNTED:
                by, payments = moved.get(values["transaction"], (Decimal(0), []))
                moved[values["transaction"]] = by + sign * values["amount"], list(dict.fromkeys([*payments, write.id]))
    return {id_: (by, payments) for id_, (by, payments) in sorted(moved.items()) if by != 0}


def _settled(row: Values, paid: Decimal) -> int:
    return settled(row["type"], row["status"], due(row["netamount"], row["tax"]), paid)


def _require_dunnable(states: States, write: Write) -> None:
    if write.after is None or not write.changed("transaction"):
        return
    state: RecordState = needed(states, f"{TRANSACTION}-{write.after['transaction']}")
    if state.values["type"] not in SETTLED:
        raise invalid(FieldError("transaction", "not_dunnable"))
