"""Copies, business meals and mail of a receipt, and the end of its signing, as decisions."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from libs.contracts.pos.documents import (
    EndMail,
    HospitalityNoted,
    MailFailed,
    MailReceipt,
    MailRequested,
    NoteHospitality,
    ReceiptMailed,
    ReceiptReprinted,
    Reprint,
)
from libs.contracts.pos.events import Hospitality, PaymentTaken, ReceiptIssued, ReceiptLine, ReceiptVoided, TaxAmount
from libs.contracts.pos.signing import EndSigning, ReceiptSigned, ReceiptUnsigned, Signature
from libs.domain.errors import Kind
from libs.domain.ids import key_of
from services.pos import documents
from services.pos.documents import END_MAIL, NOTE_HOSPITALITY, REPRINT, REQUEST_MAIL
from services.pos.receipts import RECEIPT, receipt_of
from services.pos.signing import END, Unsigned, process_data
from tests.unit.given import NOON, STAFF, given

ISSUED = ReceiptIssued(
    receipt="bon_1",
    register="1",
    currency="EUR",
    lines=(
        ReceiptLine(id="l1", name="Cola", quantity=Decimal(1), unit_price=Decimal("3.50"), total=350, tax_class=0, tax_rate=Decimal(19)),
    ),
    taxes=(TaxAmount(rate=Decimal(19), net=294, tax=56, gross=350),),
    gross=350,
    net=294,
    tax=56,
    payments=(PaymentTaken(type=0, amount=350),),
    staff=STAFF,
    business_day=date(2026, 3, 5),
    at=NOON,
)
AWAITING = msgspec.structs.replace(ISSUED, signing_unit="sim")
SIGNATURE = Signature(
    client="1",
    process_type="Kassenbeleg-V1",
    process_data="Beleg^3.50_0.00_0.00_0.00_0.00^3.50:Bar",
    transaction=7,
    counter=15,
    serial="ab",
    started=NOON,
    finished=datetime(2026, 3, 5, 12, 0, 1, tzinfo=UTC),
    algorithm="ecdsa-plain-SHA256",
    time_format="unixTime",
    public_key="BA",
    signature="MA",
)
MEAL = Hospitality(occasion="Abschluss", guests=("Ada",), host="Konrad")
MAIL = UUID(int=7)
REQUESTED = MailRequested(receipt="bon_1", mail=key_of("mail", MAIL), to="a@b.de", language="de", staff=STAFF, at=NOON)


def test_copies_count_from_one() -> None:
    first = given(ISSUED).when(REPRINT, Reprint(receipt="bon_1")).then(ReceiptReprinted(receipt="bon_1", copy=1, staff=STAFF, at=NOON))
    second = first.when(REPRINT, Reprint(receipt="bon_1")).then(ReceiptReprinted(receipt="bon_1", copy=2, staff=STAFF, at=NOON))
    assert (first.repeated().copy, second.reply.copy) == (1, 2)


def test_there_is_an_end_to_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "COPIES_MAX", 1)
    once = given(ISSUED).when(REPRINT, Reprint(receipt="bon_1"))
    once.when(REPRINT, Reprint(receipt="bon_1")).refused(Kind.CONFLICT, "too_many_copies")


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        (REPRINT, Reprint(receipt="bon_1")),
        (REPRINT, Reprint(receipt="b o n")),
        (NOTE_HOSPITALITY, NoteHospitality(receipt="bon_1", hospitality=MEAL)),
        (REQUEST_MAIL, MailReceipt(receipt="bon_1", to="a@b.de")),
    ],
)
def test_nothing_is_done_with_a_receipt_that_is_not_there(type_: Any, body: Any) -> None:
    given().when(type_, body).refused(Kind.NOT_FOUND, "receipt_not_found", "receipt")


def test_a_business_meal_may_be_corrected_but_is_not_noted_twice() -> None:
    noted = given(ISSUED).when(NOTE_HOSPITALITY, NoteHospitality(receipt="bon_1", hospitality=MEAL))
    noted.then(HospitalityNoted(receipt="bon_1", hospitality=MEAL, staff=STAFF, at=NOON))
    assert noted.when(NOTE_HOSPITALITY, NoteHospitality(receipt="bon_1", hospitality=MEAL)).events == ()
    other = msgspec.structs.replace(MEAL, guests=("Ada", "Grace"))
    assert noted.when(NOTE_HOSPITALITY, NoteHospitality(receipt="bon_1", hospitality=other)).reply.hospitality == other


def test_a_voided_receipt_is_no_business_meal() -> None:
    voided = ReceiptVoided(receipt="bon_1", void_receipt="bon_2", staff=STAFF, at=NOON)
    body = NoteHospitality(receipt="bon_1", hospitality=MEAL)
    given(ISSUED, voided).when(NOTE_HOSPITALITY, body).refused(Kind.CONFLICT, "no_business_meal")


def test_a_mail_is_requested_and_ends() -> None:
    asked = given(ISSUED).when(REQUEST_MAIL, MailReceipt(receipt="bon_1", to="a@b.de"), id=MAIL).then(REQUESTED)
    failed = asked.when(END_MAIL, EndMail(receipt="bon_1", mail=REQUESTED.mail, reason="mail_refused"))
    failed.then(MailFailed(receipt="bon_1", mail=REQUESTED.mail, reason="mail_refused", at=NOON))
    assert failed.when(END_MAIL, EndMail(receipt="bon_1", mail=REQUESTED.mail, reason="mail_refused")).events == ()
    sent = failed.when(END_MAIL, EndMail(receipt="bon_1", mail=REQUESTED.mail))
    sent.then(ReceiptMailed(receipt="bon_1", mail=REQUESTED.mail, at=NOON))
    assert sent.when(END_MAIL, EndMail(receipt="bon_1", mail=REQUESTED.mail, reason="mail_refused")).events == (), "sent stays sent"


def test_a_mail_nobody_asked_for_has_no_end() -> None:
    assert given(ISSUED).when(END_MAIL, EndMail(receipt="bon_1", mail="mail_x")).events == ()


def test_there_is_an_end_to_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAILS_MAX", 1)
    given(ISSUED, REQUESTED).when(REQUEST_MAIL, MailReceipt(receipt="bon_1", to="a@b.de")).refused(Kind.CONFLICT, "too_many_mails")


# --- signing --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [EndSigning(receipt="bon_1", signature=SIGNATURE), EndSigning(receipt="bon_1", reason="signer_timeout")])
@pytest.mark.parametrize("second", [EndSigning(receipt="bon_1", signature=SIGNATURE), EndSigning(receipt="bon_1", reason="signer_failed")])
def test_the_first_end_counts(first: EndSigning, second: EndSigning) -> None:
    ended = given(AWAITING).when(END, first, permissions={"pos.signing": True})
    if first.signature is not None:
        ended.then(ReceiptSigned(receipt="bon_1", signature=SIGNATURE, at=NOON))
    else:
        ended.then(ReceiptUnsigned(receipt="bon_1", reason="signer_timeout", at=NOON))
    late = ended.when(END, second, permissions={"pos.signing": True})
    assert late.events == ()
    assert late.reply == ended.reply


def test_a_receipt_that_awaits_nothing_gets_no_end() -> None:
    assert given(ISSUED).when(END, EndSigning(receipt="bon_1", signature=SIGNATURE)).events == ()


def shown(**changes: Any) -> Any:
    log = given(msgspec.structs.replace(AWAITING, **changes)).log
    return receipt_of(RECEIPT.evolve(RECEIPT.initial, log.recorded[0]))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Beleg^3.50_0.00_0.00_0.00_0.00^3.50:Bar"),
        ({"payments": (PaymentTaken(type=1, amount=350),)}, "Beleg^3.50_0.00_0.00_0.00_0.00^3.50:Unbar"),
        ({"payments": (PaymentTaken(type=0, amount=500),), "change": 150}, "Beleg^3.50_0.00_0.00_0.00_0.00^3.50:Bar"),
        (
            {"payments": (PaymentTaken(type=1, amount=200), PaymentTaken(type=0, amount=200)), "tip": 50},
            "Beleg^3.50_0.00_0.00_0.00_0.50^2.00:Bar_2.00:Unbar",
        ),
        ({"payments": (), "taxes": (), "gross": 0}, "Beleg^0.00_0.00_0.00_0.00_0.00^"),
        ({"currency": "CHF"}, "Beleg^3.50_0.00_0.00_0.00_0.00^3.50:Bar:CHF"),
        (
            {
                "taxes": tuple(
                    TaxAmount(rate=Decimal(rate), net=0, tax=0, gross=gross)
                    for rate, gross in (("7", 1), ("10.7", 2), ("5.5", 3), ("0", 4))
                )
            },
            "Beleg^0.00_0.01_0.02_0.03_0.04^3.50:Bar",
        ),
    ],
)
def test_process_data_follow_the_grammar(changes: dict[str, Any], expected: str) -> None:
    assert process_data(shown(**changes)) == expected


def test_a_rate_without_a_place_is_not_signed_under_another() -> None:
    with pytest.raises(Unsigned, match="tax_rate_without_slot"):
        process_data(shown(taxes=(TaxAmount(rate=Decimal(13), net=1, tax=0, gross=1),)))
