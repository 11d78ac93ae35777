"""A payment that draws on accounts elsewhere: started before anything is asked, then exactly one end. ``paying`` carries it there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from libs.contracts.pos.commands import PaidItem, PayTable, Sell
from libs.contracts.pos.events import LinesPaid, ReceiptIssued
from libs.contracts.pos.payments import (
    AbandonPayment,
    CompletePayment,
    DrawnTender,
    NotePayment,
    PaymentAbandoned,
    PaymentCompleted,
    PaymentConfirmed,
    PaymentReleased,
    PaymentReturned,
    PaymentStarted,
    StartedPayment,
)
from libs.contracts.pos.permissions import PAYMENTS
from libs.contracts.pos.sync import Refusal
from libs.domain.decider import Aggregate, Command, CommandType, Decision, Lookup, States, StreamRef
from libs.domain.errors import DomainError, Kind
from libs.domain.events import Event, Recorded
from libs.domain.ids import key_of
from services.pos.facts import SaleFacts, sale_facts, table_facts
from services.pos.house import READ
from services.pos.receipts import decide_pay_table, decide_sell, new_ref
from services.pos.tabs import TAB, tab_refs
from services.pos.tender import DRAWN, Drawing, drawn

# --- state --------------------------------------------------------------------------------------------------------------------


class PaymentState(msgspec.Struct, frozen=True):
    """``receipt`` or ``refusal`` is its end; ``told``: the accounts know what followed from it. ``id``: whoever completes it does so by a
    command whose id is made from this."""

    started: PaymentStarted | None = None
    id: UUID | None = None
    receipt: str = ""
    refusal: Refusal | None = None
    told: bool = False

    @property
    def is_open(self) -> bool:
        return self.started is not None and not self.receipt and self.refusal is None


def evolve(state: PaymentState, recorded: Recorded) -> PaymentState:
    replace = msgspec.structs.replace
    match recorded.data:
        case PaymentStarted() as started:
            return PaymentState(started, recorded.id)
        case PaymentCompleted(receipt=receipt):
            return replace(state, receipt=receipt)
        case PaymentAbandoned(refusal=refusal):
            return replace(state, refusal=refusal)
        case PaymentConfirmed() | PaymentReleased() | PaymentReturned():
            return replace(state, told=True)
    raise AssertionError(f"a payment has no {recorded.type}")


PAYMENT: Final = Aggregate("payment", PaymentState(), evolve)


def payment_key(command: Command[Any]) -> str:
    return key_of("pay", command.id)


def payment_of(states: States, key: str) -> PaymentState:
    payment: PaymentState = states.get(PAYMENT.stream(key), PAYMENT.initial)
    return payment


# --- starting -----------------------------------------------------------------------------------------------------------------


class StartFacts(msgspec.Struct, frozen=True):
    """``kinds``: those whose accounts are plugged in."""

    sale: SaleFacts
    kinds: frozenset[int]


def decide_start(states: States, command: Command[Sell] | Command[PayTable], facts: StartFacts) -> Decision:
    """Refuses whatever the bill itself would be refused for, so that no account is asked in vain."""
    key = payment_key(command)
    decision = _billed(states, command, facts.sale, Drawing(key, facts.kinds))
    issued = _issued(decision)
    started = PaymentStarted(
        payment=key,
        due=issued.gross + issued.tip,
        currency=issued.currency,
        tenders=_tenders(issued),
        staff=command.principal.user,
        at=command.at,
        sale=command.body if isinstance(command.body, Sell) else None,
        bill=_with_lines_named(command.body, decision) if isinstance(command.body, PayTable) else None,
    )
    return Decision({PAYMENT.stream(key): (started,)})


def _billed(states: States, command: Command[Any], facts: SaleFacts, drawing: Drawing) -> Decision:
    decide = decide_sell if isinstance(command.body, Sell) else decide_pay_table
    return decide(states, command, facts, drawing)


def _issued(decision: Decision) -> ReceiptIssued:
    return next(event for events in decision.writes.values() for event in events if isinstance(event, ReceiptIssued))


def _tenders(issued: ReceiptIssued) -> tuple[DrawnTender, ...]:
    return tuple(
        DrawnTender(id=f"{issued.payment}-{ix}", type=payment.type, amount=payment.amount, reference=payment.reference)
        for ix, payment in enumerate(drawn(issued.payments))
    )


def _with_lines_named(bill: PayTable, decision: Decision) -> PayTable:
    """What is ordered while the payment is under way is no part of it."""
    [paid] = decision.writes[TAB.stream(bill.table)]
    assert isinstance(paid, LinesPaid)
    lines = tuple(PaidItem(line=part.line, quantity=part.quantity) for part in paid.parts)
    return msgspec.structs.replace(bill, items=lines, seat=None)


def reply_started(states: States, command: Command[Any], _: Sequence[Recorded]) -> StartedPayment:
    return StartedPayment(payment=payment_key(command))


def _start_refs(command: Command[Sell] | Command[PayTable]) -> tuple[StreamRef, ...]:
    tables = [command.body.table] if isinstance(command.body, PayTable) else []
    tabs = (msgspec.structs.replace(ref, reads=True) for ref in tab_refs(tables))
    return (*tabs, StreamRef(PAYMENT, payment_key(command), new=True), READ)


# --- ending -------------------------------------------------------------------------------------------------------------------


def decide_complete(states: States, command: Command[CompletePayment], facts: SaleFacts) -> Decision:
    """The bill, decided again where it stands now. If it has become another one, or none, the payment is abandoned."""
    key = command.body.payment
    payment = payment_of(states, key)
    if not payment.is_open:
        return Decision({})
    assert payment.started is not None
    stream = PAYMENT.stream(key)
    try:
        decision = _billed(states, _inner(command), facts, Drawing(key, DRAWN))
        issued = _issued(decision)
        if issued.gross + issued.tip != payment.started.due or _tenders(issued) != payment.started.tenders:
            raise DomainError(Kind.CONFLICT, "bill_changed", {"payment": key})
    except DomainError as error:
        return Decision({stream: (PaymentAbandoned(payment=key, refusal=refusal_of(error), at=command.at),)})
    completed = PaymentCompleted(payment=key, receipt=issued.receipt, at=command.at)
    return Decision({**decision.writes, stream: (completed,)}, take=decision.take, give_up=decision.give_up)


def refusal_of(error: DomainError) -> Refusal:
    return Refusal(kind=str(error.kind), reason=error.reason, params=dict(error.params), fields=error.fields)


def error_of(refusal: Refusal) -> DomainError:
    return DomainError(Kind(refusal.kind), refusal.reason, refusal.params, fields=refusal.fields)


def _inner(command: Command[CompletePayment]) -> Command[Any]:
    body = command.body.sale if command.body.sale is not None else command.body.bill
    return Command(command.id, command.at, command.principal, body, began=command.began)


async def complete_facts(command: Command[CompletePayment], lookup: Lookup) -> SaleFacts:
    inner = _inner(command)
    return await (sale_facts if isinstance(inner.body, Sell) else table_facts)(inner, lookup)


def _complete_refs(command: Command[CompletePayment]) -> tuple[StreamRef, ...]:
    bill = command.body.bill
    return (*tab_refs([] if bill is None else [bill.table]), new_ref(command), StreamRef(PAYMENT, command.body.payment), READ)


def decide_abandon(states: States, command: Command[AbandonPayment], _: Any) -> Decision:
    body = command.body
    if not payment_of(states, body.payment).is_open:
        return Decision({})
    abandoned = PaymentAbandoned(payment=body.payment, refusal=body.refusal, at=command.at)
    return Decision({PAYMENT.stream(body.payment): (abandoned,)})


def decide_note(states: States, command: Command[NotePayment], _: Any) -> Decision:
    """The accounts were told; the first to say so is heard."""
    key, receipt = command.body.payment, command.body.receipt
    payment = payment_of(states, key)
    told: Event
    if payment.told or payment.is_open:
        return Decision({})
    if receipt:
        told = PaymentReturned(payment=key, receipt=receipt, at=command.at)
    elif payment.receipt:
        told = PaymentConfirmed(payment=key, at=command.at)
    elif payment.refusal is not None:
        told = PaymentReleased(payment=key, at=command.at)
    else:
        return Decision({})
    return Decision({PAYMENT.stream(key): (told,)})


def _own_ref(command: Command[AbandonPayment] | Command[NotePayment]) -> tuple[StreamRef, ...]:
    return (StreamRef(PAYMENT, command.body.payment),)


def _nothing(states: States, command: Command[Any], _: Sequence[Recorded]) -> None:
    return None


# --- commands: asked within pos alone, on behalf of the sale or bill that came in -------------------------------------------------

START_SALE: Final = CommandType("payment.start_sale", Sell, _start_refs, decide_start, reply_started, PAYMENTS)
START_BILL: Final = CommandType("payment.start_bill", PayTable, _start_refs, decide_start, reply_started, PAYMENTS)
COMPLETE: Final = CommandType(
    "payment.complete", CompletePayment, _complete_refs, decide_complete, _nothing, PAYMENTS, facts=complete_facts
)
ABANDON: Final = CommandType("payment.abandon", AbandonPayment, _own_ref, decide_abandon, _nothing, PAYMENTS)
NOTE: Final = CommandType("payment.note", NotePayment, _own_ref, decide_note, _nothing, PAYMENTS)
