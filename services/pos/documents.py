"""Receipts in people's hands: reprints that are counted, what a guest needs to deduct a business meal, and mail that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from libs.contracts.pos.documents import (
    COPIES_MAX,
    GUEST_MAX_CHARS,
    GUESTS_MAX,
    HOSPITALITIES_MAX,
    MAILS_MAX,
    OCCASION_MAX_CHARS,
    Copy,
    EndMail,
    HospitalityNoted,
    Mail,
    MailFailed,
    MailReceipt,
    MailRequested,
    NoteHospitality,
    ReceiptMailed,
    ReceiptReprinted,
    Reprint,
)
from libs.contracts.pos.permissions import PAYMENTS
from libs.domain.decider import Command, CommandType, Decision, States, StreamRef
from libs.domain.events import Event, Recorded
from libs.domain.ids import key_of
from services.pos.faults import Faults, check_count, check_text, is_key, known_as
from services.pos.receipts import RECEIPT, ReceiptState, receipt_of
from services.pos.settings import is_address


def _refs(command: Command[Any]) -> tuple[StreamRef, ...]:
    key = command.body.receipt
    return (StreamRef(RECEIPT, key),) if is_key(key) else ()


def _state(states: States, key: str, faults: Faults) -> ReceiptState:
    state: ReceiptState = states.get(RECEIPT.stream(key), RECEIPT.initial)
    if state.issued is None:
        faults.not_found("receipt", "receipt_not_found", id=known_as(key))
    return state


def _write(key: str, event: Event) -> Decision:
    return Decision({RECEIPT.stream(key): (event,)})


# --- copies ---------------------------------------------------------------------------------------------------------------------


def decide_reprint(states: States, command: Command[Reprint], _: Any) -> Decision:
    key, faults = command.body.receipt, Faults()
    state = _state(states, key, faults)
    if state.copies >= COPIES_MAX:
        faults.conflict("receipt", "too_many_copies", id=key, max=COPIES_MAX)
    faults.refuse()
    return _write(key, ReceiptReprinted(receipt=key, copy=state.copies + 1, staff=command.principal.user, at=command.at))


def reply_reprint(states: States, command: Command[Reprint], _: Sequence[Recorded]) -> Copy:
    state: ReceiptState = states[RECEIPT.stream(command.body.receipt)]
    return Copy(receipt=receipt_of(state), copy=state.copies)


# --- business meals -------------------------------------------------------------------------------------------------------------


def decide_hospitality(states: States, command: Command[NoteHospitality], _: Any) -> Decision:
    """On a sale that stands. What is already noted just so is not noted again."""
    key, noted, faults = command.body.receipt, command.body.hospitality, Faults()
    _check_line(noted.occasion, OCCASION_MAX_CHARS, "occasion", faults)
    _check_line(noted.host, GUEST_MAX_CHARS, "host", faults)
    if check_count(noted.guests, GUESTS_MAX, "guests", "too_many", faults):
        for ix, guest in enumerate(noted.guests):
            _check_line(guest, GUEST_MAX_CHARS, f"guests[{ix}]", faults)
    state = _state(states, key, faults)
    if state.issued is not None and (state.issued.voids or state.issued.refunds or state.void_receipt):
        faults.conflict("receipt", "no_business_meal", id=key)
    if state.hospitalities >= HOSPITALITIES_MAX:
        faults.conflict("receipt", "too_many_hospitalities", id=key, max=HOSPITALITIES_MAX)
    faults.refuse()
    if noted == state.hospitality:
        return Decision({})
    return _write(key, HospitalityNoted(receipt=key, hospitality=noted, staff=command.principal.user, at=command.at))


def _check_line(value: str, most: int, path: str, faults: Faults) -> None:
    if not value.strip():
        faults.invalid(path, "empty")
    elif "\n" in value:
        faults.invalid(path, "unprintable")
    else:
        check_text(value, most, path, faults)


# --- mail -----------------------------------------------------------------------------------------------------------------------


def mail_key(command: Command[MailReceipt]) -> str:
    return key_of("mail", command.id)


def decide_mail(states: States, command: Command[MailReceipt], _: Any) -> Decision:
    body, faults = command.body, Faults()
    if not is_address(body.to):
        faults.invalid("to", "not_an_address")
    state = _state(states, body.receipt, faults)
    if len(state.mails) >= MAILS_MAX:
        faults.conflict("receipt", "too_many_mails", id=body.receipt, max=MAILS_MAX)
    faults.refuse()
    requested = MailRequested(
        receipt=body.receipt, mail=mail_key(command), to=body.to, language=body.language, staff=command.principal.user, at=command.at
    )
    return _write(body.receipt, requested)


def reply_mail(_: States, command: Command[MailReceipt], __: Sequence[Recorded]) -> Mail:
    return Mail(id=mail_key(command), receipt=command.body.receipt, to=command.body.to)


def decide_end_mail(states: States, command: Command[EndMail], _: Any) -> Decision:
    """What was sent stays sent; what failed may fail for another reason, or succeed, when it is tried again."""
    body, faults = command.body, Faults()
    state = _state(states, body.receipt, faults)
    faults.refuse()
    if state.mails.get(body.mail, "") == "" or state.mails[body.mail] == body.reason:
        return Decision({})
    if body.reason:
        return _write(body.receipt, MailFailed(receipt=body.receipt, mail=body.mail, reason=body.reason, at=command.at))
    return _write(body.receipt, ReceiptMailed(receipt=body.receipt, mail=body.mail, at=command.at))


def _reply_receipt(states: States, command: Command[Any], _: Sequence[Recorded]) -> Any:
    return receipt_of(states[RECEIPT.stream(command.body.receipt)])


# --- commands -------------------------------------------------------------------------------------------------------------------

REPRINT: Final = CommandType("receipt.reprint", Reprint, _refs, decide_reprint, reply_reprint, PAYMENTS)
NOTE_HOSPITALITY: Final = CommandType("receipt.note_hospitality", NoteHospitality, _refs, decide_hospitality, _reply_receipt, PAYMENTS)
REQUEST_MAIL: Final = CommandType("receipt.request_mail", MailReceipt, _refs, decide_mail, reply_mail, PAYMENTS)
END_MAIL: Final = CommandType("receipt.end_mail", EndMail, _refs, decide_end_mail, _reply_receipt, PAYMENTS)
COMMANDS: Final = (REPRINT, NOTE_HOSPITALITY)
