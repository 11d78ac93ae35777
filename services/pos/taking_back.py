"""Taking receipts back: the whole of one by a void (Stornobeleg), parts of it by refunds. The original never changes; a receipt with
negative figures stands against it. However a receipt is taken back, all that stands against it adds up to exactly the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.contracts.pos.commands import LINES_PER_RECEIPT_MAX, Payment, RefundedItem, RefundReceipt, VoidReceipt
from libs.contracts.pos.events import (
    PaidPart,
    PaymentTaken,
    ReceiptIssued,
    ReceiptLine,
    ReceiptRefunded,
    ReceiptVoided,
    TaxAmount,
)
from libs.contracts.pos.permissions import OWN_VOIDS, VOIDS
from libs.domain.decider import Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import DomainError, Kind
from libs.domain.ids import key_of
from libs.domain.money import net_of, share, times
from services.pos.faults import Faults, check_count, check_key, is_key, known_as, plain
from services.pos.house import READ, HouseState, house_of
from services.pos.pricing import check_quantity
from services.pos.receipts import RECEIPT, Back, ReceiptState, check_number, new_receipt, new_ref, number_claims, reply_receipt
from services.pos.takings import takings
from services.pos.tender import check_tender, drawn, settle

NOTHING: Final = Back()


class _Part(msgspec.Struct, frozen=True):
    """A share of a line, in positive figures."""

    line: ReceiptLine
    quantity: Decimal
    amount: int


def _original(states: States, key: str, command: Command[Any]) -> tuple[ReceiptState, ReceiptIssued]:
    """The receipt that is to be taken back, if it can be and this principal may. Raises the refusal."""
    state: ReceiptState = states.get(RECEIPT.stream(key), RECEIPT.initial)
    issued = state.issued
    faults = Faults()
    if issued is None:
        faults.not_found("receipt", "receipt_not_found", id=known_as(key))
    elif issued.voids is not None:
        faults.conflict("receipt", "receipt_is_a_void", id=key, voids=issued.voids)
    elif issued.refunds is not None:
        faults.conflict("receipt", "receipt_is_a_refund", id=key, refunds=issued.refunds)
    elif state.void_receipt is not None:
        faults.conflict("receipt", "receipt_already_voided", id=key, void_receipt=state.void_receipt)
    faults.refuse()
    assert issued is not None
    if issued.staff != command.principal.user and not command.principal.may(VOIDS, write=True):
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": VOIDS})
    return state, issued


# --- the whole of it ----------------------------------------------------------------------------------------------------------


def decide_void(states: States, command: Command[VoidReceipt], _: Any) -> Decision:
    """Every figure negated, in the same register's series. What was refunded in part is refunded to the end, not voided."""
    key = command.body.receipt
    state, original = _original(states, key, command)
    if state.refunds:
        raise DomainError(Kind.CONFLICT, "receipt_partly_refunded", {"id": key, "refund_receipt": state.refunds[0]})
    house = house_of(states)
    _check_register(original, command, house)
    void = _negated(original, command, house)
    voided = ReceiptVoided(receipt=key, void_receipt=void.receipt, staff=command.principal.user, at=command.at)
    return Decision({RECEIPT.stream(void.receipt): (void,), RECEIPT.stream(key): (voided,)}, take=number_claims(void))


def _check_register(original: ReceiptIssued, command: Command[VoidReceipt] | Command[RefundReceipt], house: HouseState) -> None:
    faults = Faults()
    check_key(command.body.register, "register", faults)
    check_number(house, command.body.register or original.register, command, faults)
    faults.refuse()


def _negated(issued: ReceiptIssued, command: Command[VoidReceipt], house: HouseState) -> ReceiptIssued:
    return msgspec.structs.replace(
        issued,
        lines=tuple(_negated_line(line) for line in issued.lines),
        taxes=tuple(TaxAmount(rate=t.rate, net=-t.net, tax=-t.tax, gross=-t.gross) for t in issued.taxes),
        gross=-issued.gross,
        net=-issued.net,
        tax=-issued.tax,
        payments=tuple(msgspec.structs.replace(p, amount=-p.amount) for p in issued.payments),
        change=-issued.change,
        tip=-issued.tip,
        voids=issued.receipt,
        payment=_giving_back(issued.payments, command),
        **_issued_now(issued, command, house),
    )


def _giving_back(payments: Sequence[PaymentTaken], command: Command[Any]) -> str | None:
    """The key under which accounts elsewhere get back what was drawn on them; None if there are none."""
    return key_of("pay", command.id) if drawn(payments) else None


def _issued_now(original: ReceiptIssued, command: Command[Any], house: HouseState) -> dict[str, Any]:
    """What a receipt that takes another one back has of its own."""
    shift = house.shift_of(command.principal.user)
    return {
        "receipt": new_receipt(command),
        "staff": command.principal.user,
        "register": command.body.register or original.register,
        "business_day": house.day_of(command.happened),
        "at": command.at,
        "shift": None if shift is None else shift.id,
        "client_at": command.client_at,
        "own_number": command.number,
        "signing_unit": house.settings.signing_unit,
    }


def _negated_line(line: ReceiptLine) -> ReceiptLine:
    return msgspec.structs.replace(line, quantity=-line.quantity, discount=-line.discount, total=-line.total)


# --- parts of it --------------------------------------------------------------------------------------------------------------


def decide_refund(states: States, command: Command[RefundReceipt], _: Any) -> Decision:
    body, house = command.body, house_of(states)
    state, original = _original(states, body.receipt, command)
    _check_register(original, command, house)
    faults = Faults()
    check_tender(body.payments, 0, faults, [payment.type for payment in drawn(original.payments)])
    parts = _parts(body.items, state, original, faults)
    faults.refuse()
    tip = _tip(state, original, parts)
    gross = sum(part.amount for part in parts)
    payments = _given_back(body.payments, state, original, gross + tip)
    refund = _refund(original, parts, payments, tip, state, command, house)
    refunded = ReceiptRefunded(
        receipt=body.receipt,
        refund_receipt=refund.receipt,
        parts=tuple(PaidPart(line=part.line.id, quantity=part.quantity, amount=part.amount) for part in parts),
        payments=payments,
        tip=tip,
        staff=command.principal.user,
        at=command.at,
    )
    return Decision({RECEIPT.stream(refund.receipt): (refund,), RECEIPT.stream(body.receipt): (refunded,)}, take=number_claims(refund))


def _left(line: ReceiptLine, state: ReceiptState) -> Decimal:
    return line.quantity - state.back.get(line.id, NOTHING).quantity


def _parts(items: Sequence[RefundedItem] | None, state: ReceiptState, original: ReceiptIssued, faults: Faults) -> list[_Part]:
    if items is None:
        parts = [_part(line, _left(line, state), state) for line in original.lines if _left(line, state) > 0]
        if not parts:
            faults.conflict("receipt", "nothing_to_refund", id=original.receipt)
        return parts
    parts = []
    lines = {line.id: line for line in original.lines}
    seen: set[str] = set()
    for ix, item in enumerate(items if check_count(items, LINES_PER_RECEIPT_MAX, "items", "too_many", faults) else ()):
        line = lines.get(item.line)
        if item.line in seen:
            faults.invalid(f"items[{ix}].line", "repeated")
        elif line is None:
            faults.not_found(f"items[{ix}].line", "line_not_found", id=known_as(item.line))
        elif (quantity := _asked(item, line, state, f"items[{ix}].quantity", faults)) is not None:
            parts.append(_part(line, quantity, state))
        seen.add(item.line)
    return parts


def _asked(item: RefundedItem, line: ReceiptLine, state: ReceiptState, path: str, faults: Faults) -> Decimal | None:
    left = _left(line, state)
    quantity = left if item.quantity is None else check_quantity(item.quantity, path, faults)
    if quantity is None:
        return None
    if left == 0 or quantity > left:
        faults.conflict(path, "line_quantity_exceeds_left", id=line.id, left=f"{plain(left):f}")
        return None
    return quantity


def _part(line: ReceiptLine, quantity: Decimal, state: ReceiptState) -> _Part:
    """Successive parts of a line add up to its total, whatever their order."""
    back = state.back.get(line.id, NOTHING)
    return _Part(line, plain(quantity), share(line.total, back.quantity + quantity, line.quantity) - back.amount)


def _tip(state: ReceiptState, original: ReceiptIssued, parts: Sequence[_Part]) -> int:
    """As much of the tip as of the bill; with the last line whatever is left of it."""
    taken = {part.line.id: part.quantity for part in parts}
    if all(_left(line, state) == taken.get(line.id, 0) for line in original.lines):
        return original.tip - state.tip_back
    if original.gross <= 0:
        return 0
    amount = sum(back.amount for back in state.back.values()) + sum(part.amount for part in parts)
    return max(0, share(original.tip, Decimal(amount), Decimal(original.gross)) - state.tip_back)


def _given_back(asked: Sequence[Payment], state: ReceiptState, original: ReceiptIssued, due: int) -> tuple[PaymentTaken, ...]:
    """By the ways that were asked for, else by those it was paid with, each up to what was kept of it."""
    if asked:
        settlement = settle(asked, due)
        faults = Faults()
        if settlement.change:
            faults.unprocessable("payments", "refund_not_exact", due=due)
        kept = _still_kept(state, original)
        for payment in drawn(settlement.payments):
            most = kept.get((payment.type, payment.reference), 0)
            if payment.amount > most:
                faults.unprocessable("payments", "refund_exceeds_tender", type=payment.type, kept=most)
        faults.refuse()
        return settlement.payments
    given: list[PaymentTaken] = []
    for (kind, reference), amount in _still_kept(state, original).items():
        back = min(due, amount)
        if back > 0:
            given.append(PaymentTaken(type=kind, amount=back, reference=reference))
            due -= back
    assert due == 0, "more is given back than was paid"
    return tuple(given)


def _still_kept(state: ReceiptState, original: ReceiptIssued) -> Mapping[tuple[int, str | None], int]:
    """By kind of payment and account."""
    left: dict[tuple[int, str | None], int] = {}
    for payment, taking in zip(original.payments, takings(original.payments, original.change, original.tip), strict=True):
        by = payment.type, payment.reference
        left[by] = left.get(by, 0) + taking.amount
    for by, amount in state.paid_back.items():
        left[by] = left.get(by, 0) - amount
    return left


def _refund(
    original: ReceiptIssued,
    parts: Sequence[_Part],
    payments: Sequence[PaymentTaken],
    tip: int,
    state: ReceiptState,
    command: Command[RefundReceipt],
    house: HouseState,
) -> ReceiptIssued:
    taxes = _taxes(original, parts, state)
    return msgspec.structs.replace(
        original,
        lines=tuple(_refunded_line(part, original.currency) for part in parts),
        taxes=taxes,
        gross=sum(tax.gross for tax in taxes),
        net=sum(tax.net for tax in taxes),
        tax=sum(tax.tax for tax in taxes),
        payments=tuple(msgspec.structs.replace(payment, amount=-payment.amount) for payment in payments),
        change=0,
        tip=-tip,
        refunds=original.receipt,
        payment=_giving_back(payments, command),
        **_issued_now(original, command, house),
    )


def _refunded_line(part: _Part, currency: str) -> ReceiptLine:
    full = times(part.line.unit_price, part.quantity, currency).minor
    return msgspec.structs.replace(part.line, quantity=-part.quantity, discount=part.amount - full, total=-part.amount)


def _taxes(original: ReceiptIssued, parts: Sequence[_Part], state: ReceiptState) -> tuple[TaxAmount, ...]:
    """Per rate, the tax in what was left before minus the tax in what is left now: successive refunds add up to the original's tax."""
    rates = {line.id: line.tax_rate for line in original.lines}
    before = {tax.rate: tax.gross for tax in original.taxes}
    for line, back in state.back.items():
        before[rates[line]] -= back.amount
    now: dict[Decimal, int] = {}
    for part in parts:
        now[part.line.tax_rate] = now.get(part.line.tax_rate, 0) + part.amount
    return tuple(_tax_back(rate, before[rate], gross) for rate, gross in sorted(now.items(), reverse=True))


def _tax_back(rate: Decimal, before: int, gross: int) -> TaxAmount:
    net = net_of(before, rate) - net_of(before - gross, rate)
    return TaxAmount(rate=rate, net=-net, tax=-(gross - net), gross=-gross)


# --- commands -----------------------------------------------------------------------------------------------------------------


def _refs(command: Command[VoidReceipt] | Command[RefundReceipt]) -> tuple[StreamRef, ...]:
    original = command.body.receipt
    return (*([StreamRef(RECEIPT, original)] if is_key(original) else []), new_ref(command), READ)


COMMANDS: Final = (
    CommandType(
        name="receipt.void",
        body=VoidReceipt,
        streams=_refs,
        decide=decide_void,
        reply=reply_receipt,
        permission=OWN_VOIDS,
    ),
    CommandType(
        name="receipt.refund",
        body=RefundReceipt,
        streams=_refs,
        decide=decide_refund,
        reply=reply_receipt,
        permission=OWN_VOIDS,
    ),
)
