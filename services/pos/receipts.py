"""Receipts: sold over the counter or paid at a table. How they are taken back stands in ``taking_back``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.contracts.pos.commands import (
    LINES_PER_RECEIPT_MAX,
    OWN_NUMBER_MAX,
    SEAT_MAX,
    PaidItem,
    PayTable,
    Receipt,
    RefundReceipt,
    Sell,
    VoidReceipt,
)
from libs.contracts.pos.documents import HospitalityNoted, MailFailed, MailRequested, ReceiptMailed, ReceiptReprinted
from libs.contracts.pos.events import (
    Hospitality,
    LinesPaid,
    PaidPart,
    ReceiptIssued,
    ReceiptLine,
    ReceiptRefunded,
    ReceiptVoided,
)
from libs.contracts.pos.permissions import PAYMENTS
from libs.contracts.pos.signing import ReceiptSigned, ReceiptUnsigned, Signature
from libs.domain.decider import Aggregate, Claim, Command, CommandType, Decision, States, StreamRef
from libs.domain.events import Recorded
from libs.domain.ids import key_of
from services.pos.facts import SaleFacts, sale_facts, table_facts
from services.pos.faults import Faults, check_count, check_int, check_key, known_as, plain
from services.pos.house import READ, HouseState, house_of
from services.pos.pricing import check_quantity, price_items, receipt_line, taxes_of
from services.pos.tabs import TAB, Tab, TabLine, check_table, line_keys, state_after, tab_of, tab_refs
from services.pos.tender import NOTHING_DRAWN, Drawing, check_tender, settle

# --- state --------------------------------------------------------------------------------------------------------------------


def number_of(recorded: Recorded) -> int | None:
    """A receipt's number: the log's, or the register's own."""
    return recorded.data.own_number if recorded.number is None else recorded.number


class Back(msgspec.Struct, frozen=True):
    """What was taken back of a line."""

    quantity: Decimal = Decimal(0)
    amount: int = 0


class ReceiptState(msgspec.Struct, frozen=True):
    """``issued`` is None until the receipt exists; ``number`` and ``at`` are what the log gave it. ``refunds``: the receipts that took
    parts back; ``back`` by line, ``paid_back`` by kind of payment and account. ``mails``: by id, what became of each: None as long as
    nobody knows, empty when it was sent, else why not."""

    issued: ReceiptIssued | None = None
    number: int | None = None
    at: datetime | None = None
    void_receipt: str | None = None
    refunds: tuple[str, ...] = ()
    back: Mapping[str, Back] = msgspec.field(default_factory=dict)
    paid_back: Mapping[tuple[int, str | None], int] = msgspec.field(default_factory=dict)
    tip_back: int = 0
    signature: Signature | None = None
    unsigned: str = ""
    copies: int = 0
    hospitality: Hospitality | None = None
    hospitalities: int = 0
    mails: Mapping[str, str | None] = msgspec.field(default_factory=dict)

    @property
    def awaits_signature(self) -> bool:
        return self.issued is not None and bool(self.issued.signing_unit) and self.signature is None and not self.unsigned


def evolve(state: ReceiptState, recorded: Recorded) -> ReceiptState:
    match recorded.data:
        case ReceiptIssued() as issued:
            return ReceiptState(issued, number_of(recorded), recorded.at)
        case ReceiptVoided(void_receipt=void_receipt):
            return msgspec.structs.replace(state, void_receipt=void_receipt)
        case ReceiptRefunded() as refunded:
            return _with_refund(state, refunded)
    return _handed_over(state, recorded)


def _handed_over(state: ReceiptState, recorded: Recorded) -> ReceiptState:
    """What happens to a receipt without changing what it says."""
    replace = msgspec.structs.replace
    match recorded.data:
        case ReceiptSigned(signature=signature):
            return replace(state, signature=signature)
        case ReceiptUnsigned(reason=reason):
            return replace(state, unsigned=reason)
        case ReceiptReprinted(copy=copy):
            return replace(state, copies=copy)
        case HospitalityNoted(hospitality=hospitality):
            return replace(state, hospitality=hospitality, hospitalities=state.hospitalities + 1)
        case MailRequested(mail=mail):
            return replace(state, mails={**state.mails, mail: None})
        case ReceiptMailed(mail=mail):
            return replace(state, mails={**state.mails, mail: ""})
        case MailFailed(mail=mail, reason=reason):
            return replace(state, mails={**state.mails, mail: reason})
    raise AssertionError(f"a receipt has no {recorded.type}")


def _with_refund(state: ReceiptState, event: ReceiptRefunded) -> ReceiptState:
    back, paid_back = dict(state.back), dict(state.paid_back)
    for part in event.parts:
        before = back.get(part.line, Back())
        back[part.line] = Back(before.quantity + part.quantity, before.amount + part.amount)
    for payment in event.payments:
        by = payment.type, payment.reference
        paid_back[by] = paid_back.get(by, 0) + payment.amount
    return msgspec.structs.replace(
        state,
        refunds=(*state.refunds, event.refund_receipt),
        back=back,
        paid_back=paid_back,
        tip_back=state.tip_back + event.tip,
    )


RECEIPT: Final = Aggregate("receipt", ReceiptState(), evolve)


def new_receipt(command: Command[Any]) -> str:
    return key_of("bon", command.id)


def new_ref(command: Command[Any]) -> StreamRef:
    return StreamRef(RECEIPT, new_receipt(command), new=True)


# --- deciding -----------------------------------------------------------------------------------------------------------------


def _check_bill(body: Sell | PayTable, drawing: Drawing, faults: Faults) -> None:
    check_tender(body.payments, body.tip, faults, drawing.kinds)
    check_key(body.customer, "customer", faults)
    check_key(body.register, "register", faults)


def _shift(house: HouseState, staff: str, faults: Faults) -> str | None:
    """The shift that is sold in. Without one the house may still sell, unless it wants shifts."""
    shift = house.shift_of(staff)
    if shift is None and house.settings.shift_required:
        faults.conflict("shift", "no_open_shift")
    return None if shift is None else shift.id


def check_number(house: HouseState, register: str, command: Command[Any], faults: Faults) -> None:
    """A register that may be cut off numbers its receipts itself, always; no other register does."""
    own = register in house.settings.offline_registers
    if own and command.number is None:
        faults.conflict("register", "register_numbers_itself", id=known_as(register))
    elif not own and command.number is not None:
        faults.conflict("number", "register_takes_numbers", id=known_as(register))
    check_int(command.number, 1, OWN_NUMBER_MAX, "number", faults)


def number_claims(issued: ReceiptIssued) -> tuple[Claim, ...]:
    """A number that a register gave is taken for good."""
    return () if issued.own_number is None else (Claim(f"receipt_number.{issued.register}", str(issued.own_number)),)


def _issue(
    command: Command[Sell] | Command[PayTable],
    lines: Sequence[ReceiptLine],
    house: HouseState,
    shift: str | None,
    drawing: Drawing,
    table: str | None = None,
) -> ReceiptIssued:
    """The bill for these lines, settled with the command's payments. Raises what ``settle`` raises."""
    body = command.body
    taxes = taxes_of(lines)
    gross = sum(tax.gross for tax in taxes)
    settlement = settle(body.payments, gross + body.tip)
    return ReceiptIssued(
        receipt=new_receipt(command),
        register=body.register,
        currency=house.settings.currency,
        lines=tuple(lines),
        taxes=taxes,
        gross=gross,
        net=sum(tax.net for tax in taxes),
        tax=sum(tax.tax for tax in taxes),
        payments=settlement.payments,
        change=settlement.change,
        tip=body.tip,
        table=table,
        customer=body.customer,
        staff=command.principal.user,
        business_day=house.day_of(command.happened),
        at=command.at,
        shift=shift,
        client_at=command.client_at,
        own_number=command.number,
        signing_unit=house.settings.signing_unit,
        payment=drawing.payment,
    )


def decide_sell(states: States, command: Command[Sell], facts: SaleFacts, drawing: Drawing = NOTHING_DRAWN) -> Decision:
    house = house_of(states)
    facts = facts.on(house.settings, command.happened)
    faults = Faults()
    _check_bill(command.body, drawing, faults)
    check_number(house, command.body.register, command, faults)
    shift = _shift(house, command.principal.user, faults)
    lines = price_items(command.body.items, "items", facts, line_keys(command.id, 0), faults)
    faults.refuse()
    billed = [receipt_line(line, line.quantity, line.total, facts.settings.currency) for line in lines]
    issued = _issue(command, billed, house, shift, drawing)
    return Decision({RECEIPT.stream(issued.receipt): (issued,)}, take=number_claims(issued))


class _Part(msgspec.Struct, frozen=True):
    """A line's share in this payment."""

    line: TabLine
    quantity: Decimal

    @property
    def amount(self) -> int:
        return self.line.share_of(self.quantity)


def decide_pay_table(states: States, command: Command[PayTable], facts: SaleFacts, drawing: Drawing = NOTHING_DRAWN) -> Decision:
    body = command.body
    tab = tab_of(states, body.table)
    house = house_of(states)
    faults = Faults()
    _check_bill(body, drawing, faults)
    check_number(house, body.register, command, faults)
    shift = _shift(house, command.principal.user, faults)
    check_table(body.table, "table", facts, tab, faults)
    parts = _parts(body, tab, faults)
    faults.refuse()
    billed = [receipt_line(part.line.line, part.quantity, part.amount, house.settings.currency) for part in parts]
    issued = _issue(command, billed, house, shift, drawing, body.table)
    paid = LinesPaid(
        table=body.table,
        receipt=issued.receipt,
        parts=tuple(PaidPart(line=part.line.line.id, quantity=part.quantity, amount=part.amount) for part in parts),
        leaves=state_after(body.table, tab, {part.line.line.id: part.quantity for part in parts}, facts),
        staff=command.principal.user,
        at=command.at,
    )
    return Decision({RECEIPT.stream(issued.receipt): (issued,), TAB.stream(body.table): (paid,)}, take=number_claims(issued))


def _parts(body: PayTable, tab: Tab, faults: Faults) -> list[_Part]:
    """What is to be paid, in the order it was ordered or asked for."""
    if body.items is not None:
        chosen = check_count(body.items, LINES_PER_RECEIPT_MAX, "items", "too_many", faults)
        asked = _asked_for(body.items, faults) if chosen else []
    check_int(body.seat, 1, SEAT_MAX, "seat", faults)
    if body.items is not None and body.seat is not None:
        faults.invalid("seat", "either_items_or_seat")
    still_open = [line for line in tab.open_lines() if body.seat is None or line.line.seat == body.seat]
    if not still_open:
        faults.conflict("table", "nothing_to_pay", id=known_as(body.table))
        return []
    if body.items is not None:
        return [part for ix, item in asked if (part := _part(item, f"items[{ix}]", tab, faults)) is not None]
    if len(still_open) > LINES_PER_RECEIPT_MAX:
        faults.conflict("table", "too_many_open_lines", id=body.table, max=LINES_PER_RECEIPT_MAX)
    return [_Part(line, plain(line.open_quantity)) for line in still_open]


def _asked_for(items: Sequence[PaidItem], faults: Faults) -> list[tuple[int, PaidItem]]:
    """The items that are sound in themselves, with their places in the request."""
    sound: dict[str, tuple[int, PaidItem]] = {}
    for ix, item in enumerate(items):
        if item.line in sound:
            faults.invalid(f"items[{ix}].line", "repeated")
        if item.quantity is not None and check_quantity(item.quantity, f"items[{ix}].quantity", faults) is None:
            continue
        sound.setdefault(item.line, (ix, item))
    return list(sound.values())


def _part(item: PaidItem, path: str, tab: Tab, faults: Faults) -> _Part | None:
    line = tab.lines.get(item.line)
    if line is None:
        faults.not_found(f"{path}.line", "line_not_found", id=known_as(item.line))
        return None
    quantity = plain(line.open_quantity if item.quantity is None else item.quantity)
    if not line.is_open or quantity > line.open_quantity:
        faults.conflict(f"{path}.quantity", "line_quantity_exceeds_open", id=item.line, open=f"{line.open_quantity:f}")
        return None
    return _Part(line, quantity)


# --- answers ------------------------------------------------------------------------------------------------------------------


def receipt_of(state: ReceiptState) -> Receipt:
    """A receipt as it is shown. The state must be that of one that was issued and numbered."""
    issued = state.issued
    assert issued is not None, "nothing was issued"
    assert state.number is not None, "the log gave no number"
    assert state.at is not None
    return Receipt(
        id=issued.receipt,
        number=state.number,
        register=issued.register,
        date=state.at,
        business_day=issued.business_day,
        currency=issued.currency,
        staff=issued.staff,
        table=issued.table,
        customer=issued.customer,
        lines=issued.lines,
        taxes=issued.taxes,
        gross=issued.gross,
        net=issued.net,
        tax=issued.tax,
        payments=issued.payments,
        change=issued.change,
        tip=issued.tip,
        is_voided=state.void_receipt is not None,
        void_receipt=state.void_receipt,
        voided_receipt=issued.voids,
        refunded_receipt=issued.refunds,
        refund_receipts=state.refunds,
        refunded=sum(back.amount for back in state.back.values()),
        shift=issued.shift,
        client_at=issued.client_at,
        signing_unit=issued.signing_unit,
        signature=state.signature,
        unsigned=state.unsigned,
        copies=state.copies,
        hospitality=state.hospitality,
    )


def reply_receipt(
    states: States, command: Command[Sell] | Command[PayTable] | Command[VoidReceipt] | Command[RefundReceipt], recorded: Sequence[Recorded]
) -> Receipt:
    """The receipt the command made; for a void or a refund, the one that takes the original back."""
    return receipt_of(states[RECEIPT.stream(new_receipt(command))])


# --- commands -----------------------------------------------------------------------------------------------------------------


COMMANDS: Final = (
    CommandType(
        name="receipt.sell",
        body=Sell,
        streams=lambda command: (new_ref(command), READ),
        facts=sale_facts,
        decide=decide_sell,
        reply=reply_receipt,
        permission=PAYMENTS,
    ),
    CommandType(
        name="receipt.pay_table",
        body=PayTable,
        streams=lambda command: (*tab_refs([command.body.table]), new_ref(command), READ),
        facts=table_facts,
        decide=decide_pay_table,
        reply=reply_receipt,
        permission=PAYMENTS,
    ),
)
