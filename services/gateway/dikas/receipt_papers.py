"""Section Receipts, what is done with them: text, PDF, copies, mail, business meals, signatures."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from libs.contracts.pos.commands import Receipt, ReceiptKey
from libs.contracts.pos.documents import Copy, Mail, MailReceipt, NoteHospitality, Paper, PaperPdf, PaperText, Reprint
from libs.contracts.pos.events import Hospitality
from libs.contracts.pos.signing import SignatureState
from libs.domain.errors import FieldError, invalid
from libs.texts.catalogue import Language
from libs.texts.paper import AWAITED, UNSIGNED_REASONS
from services.gateway import limits
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Picture, Route
from services.gateway.dikas.params import Form, Param

LANGUAGES: Final = ("de", "en")
TEXT: Final = "text/plain; charset=utf-8"
PDF: Final = "application/pdf"


class MailBody(msgspec.Struct, rename="camel"):
    """``language`` (de, en): of the receipt; by itself that of the request."""

    to: str
    language: str | None = None


class HospitalityBody(msgspec.Struct, rename="camel"):
    """``host``: who invited, and signs."""

    occasion: str
    guests: list[str]
    host: str


class CopyOut(msgspec.Struct, rename="camel"):
    """``copy`` counts from 1."""

    receipt_id: str
    copy: int
    text: str


class MailOut(msgspec.Struct, rename="camel"):
    id: str
    receipt_id: str
    to: str


class HospitalityOut(msgspec.Struct, rename="camel"):
    receipt_id: str
    occasion: str
    guests: list[str]
    host: str
    text: str


class TseOut(msgspec.Struct, rename="camel"):
    """``reason`` and ``message`` say why it is unsigned; ``reason`` is null as long as the answer is awaited."""

    receipt_id: str
    is_signed: bool
    reason: str | None = None
    message: str | None = None
    client_id: str | None = None
    process_type: str | None = None
    process_data: str | None = None
    transaction_number: int | None = None
    signature_counter: int | None = None
    serial_number: str | None = None
    start_time: str | None = None
    log_time: str | None = None
    signature_algorithm: str | None = None
    log_time_format: str | None = None
    signature: str | None = None
    public_key: str | None = None
    qr_code: str | None = None


def _key(call: Call) -> str:
    return call.id("id", "receipt_not_found")


def _language(call: Call, name: str | None) -> Literal["de", "en"]:
    """The one that is asked for, else that of the request."""
    if not name:
        return "en" if call.language is Language.ENGLISH else "de"
    if name == "de":
        return "de"
    if name == "en":
        return "en"
    raise invalid(FieldError("language", "not_allowed", {"allowed": ", ".join(LANGUAGES)}))


# --- written out ------------------------------------------------------------------------------------------------------------------


def _paper(call: Call, *, hospitality: bool = False) -> Paper:
    return Paper(receipt=_key(call), language=_language(call, call.choice("language")), hospitality=hospitality)


async def _text(call: Call, paper: Paper) -> str:
    return (await call.query("pos", "receipt.text", paper, PaperText)).text


async def _pdf(call: Call, paper: Paper) -> Picture:
    return Picture(type=PDF, body=(await call.query("pos", "receipt.pdf", paper, PaperPdf)).content)


async def text(call: Call) -> Picture:
    """As plain text of 42 columns; ``language`` de or en."""
    return Picture(type=TEXT, body=(await _text(call, _paper(call))).encode())


async def pdf(call: Call) -> Picture:
    """As PDF; ``language`` de or en."""
    return await _pdf(call, _paper(call))


async def reprint(call: Call) -> CopyOut:
    """One more copy, counted and marked as such; ``language`` de or en."""
    paper = _paper(call)
    copy = await call.command("pos", "receipt.reprint", Reprint(receipt=paper.receipt), Copy)
    shown = msgspec.structs.replace(paper, copy=copy.copy)
    return CopyOut(receipt_id=paper.receipt, copy=copy.copy, text=await _text(call, shown))


async def email(call: Call) -> MailOut:
    """Sends the receipt as PDF; answers when the mail server has taken it."""
    body: MailBody = call.body
    asked = MailReceipt(receipt=_key(call), to=body.to, language=_language(call, body.language))
    mail = await call.command("pos", "receipt.mail", asked, Mail, deadline=limits.MAIL_DEADLINE_S)
    return MailOut(id=mail.id, receipt_id=mail.receipt, to=mail.to)


async def note_hospitality(call: Call) -> HospitalityOut:
    """What makes the receipt proof of a business meal (Bewirtungsbeleg), and the form that goes with it."""
    body: HospitalityBody = call.body
    paper = _paper(call, hospitality=True)
    noted = Hospitality(occasion=body.occasion, guests=tuple(body.guests), host=body.host)
    await call.command("pos", "receipt.note_hospitality", NoteHospitality(receipt=paper.receipt, hospitality=noted), Receipt)
    return HospitalityOut(paper.receipt, body.occasion, body.guests, body.host, await _text(call, paper))


async def hospitality_text(call: Call) -> Picture:
    """The form for a business meal as plain text; what was not noted is left to be filled in."""
    return Picture(type=TEXT, body=(await _text(call, _paper(call, hospitality=True))).encode())


async def hospitality_pdf(call: Call) -> Picture:
    """The form for a business meal as PDF; what was not noted is left to be filled in."""
    return await _pdf(call, _paper(call, hospitality=True))


async def tse(call: Call) -> TseOut:
    """The receipt's signature and what its QR code says, or why it has none."""
    state = await call.query("pos", "receipt.signature", ReceiptKey(receipt=_key(call)), SignatureState)
    signature = state.signature
    if signature is None:
        message = UNSIGNED_REASONS.get(state.reason, AWAITED)(call.language, {})
        return TseOut(receipt_id=state.receipt, is_signed=False, reason=state.reason or None, message=message)
    return TseOut(
        receipt_id=state.receipt,
        is_signed=True,
        client_id=signature.client,
        process_type=signature.process_type,
        process_data=signature.process_data,
        transaction_number=signature.transaction,
        signature_counter=signature.counter,
        serial_number=signature.serial,
        start_time=shapes.moment(signature.started),
        log_time=shapes.moment(signature.finished),
        signature_algorithm=signature.algorithm,
        log_time_format=signature.time_format,
        signature=signature.signature,
        public_key=signature.public_key,
        qr_code=state.qr,
    )


LANGUAGE: Final = Param("language", Form.CHOICE, "Of the paper; by itself that of the request.", choices=LANGUAGES, example="en")

ROUTES = (
    Route("GET", "/api/v1/receipts/{id}/text", "Receipts", text, asks=("pos.receipt.text",), params=(LANGUAGE,), media=("text/plain",)),
    Route("GET", "/api/v1/receipts/{id}/pdf", "Receipts", pdf, asks=("pos.receipt.pdf",), params=(LANGUAGE,), media=(PDF,)),
    Route("GET", "/api/v1/receipts/{id}/tse", "Receipts", tse, asks=("pos.receipt.signature",)),
    Route(
        "POST",
        "/api/v1/receipts/{id}/print",
        "Receipts",
        reprint,
        status=201,
        asks=("pos.receipt.reprint", "pos.receipt.text"),
        params=(LANGUAGE,),
    ),
    Route("POST", "/api/v1/receipts/{id}/email", "Receipts", email, MailBody, asks=("pos.receipt.mail",)),
    Route(
        "POST",
        "/api/v1/receipts/{id}/hospitality",
        "Receipts",
        note_hospitality,
        HospitalityBody,
        asks=("pos.receipt.note_hospitality", "pos.receipt.text"),
        params=(LANGUAGE,),
    ),
    Route(
        "GET",
        "/api/v1/receipts/{id}/hospitality/text",
        "Receipts",
        hospitality_text,
        asks=("pos.receipt.text",),
        params=(LANGUAGE,),
        media=("text/plain",),
    ),
    Route(
        "GET",
        "/api/v1/receipts/{id}/hospitality/pdf",
        "Receipts",
        hospitality_pdf,
        asks=("pos.receipt.pdf",),
        params=(LANGUAGE,),
        media=(PDF,),
    ),
)
