"""Section Receipts, what is done with them: search, text, PDF, copies, mail, business meals, signatures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Final, Literal

import msgspec

from libs.contracts.pos.commands import Receipt, ReceiptKey
from libs.contracts.pos.documents import Copy, Mail, MailReceipt, NoteHospitality, Paper, PaperPdf, PaperText, Reprint
from libs.contracts.pos.events import Hospitality
from libs.contracts.pos.receipt_search import PAGE_MAX, PAGE_SIZE, PAGE_SIZE_MAX, TEXT_MAX_CHARS, ReceiptSearch
from libs.contracts.pos.signing import SignatureState
from libs.domain.errors import FieldError, invalid
from libs.texts.catalogue import Language
from libs.texts.paper import AWAITED, UNSIGNED_REASONS
from services.gateway import limits
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Picture, Route
from services.gateway.dikas.params import Form, Param
from services.gateway.dikas.receipts import ReceiptOut, receipt_out

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


# --- looking for them -------------------------------------------------------------------------------------------------------------


def _searched(call: Call, *, customer: str | None = None, voided: bool | None = None) -> ReceiptSearch:
    """``from`` and ``to`` are business days, or moments of the receipt's date; a full second is all of it."""
    first, last = call.day("from"), call.day("to")
    if isinstance(last, datetime) and last.microsecond == 0:
        last = last.replace(microsecond=999_999)
    page, size = call.number("page"), call.number("pageSize")
    return ReceiptSearch(
        number=call.number("number"),
        since=first if isinstance(first, datetime) else None,
        until=last if isinstance(last, datetime) else None,
        first_day=_day(first),
        last_day=_day(last),
        staff=call.named("staffId"),
        customer=customer or call.named("customerId"),
        register=call.named("registerId"),
        table=call.named("tableId"),
        text=call.text("q") or None,
        voided=voided,
        page=1 if page is None and size is not None else page,
        page_size=PAGE_SIZE if size is None else size,
    )


def _day(value: date | datetime | None) -> date | None:
    return value if value is not None and not isinstance(value, datetime) else None


async def _found(call: Call, wanted: ReceiptSearch) -> AsyncIterator[list[ReceiptOut]]:
    async for piece in call.stream("pos", "receipt.search", wanted, Receipt):
        yield [receipt_out(receipt) for receipt in piece]


async def search(call: Call) -> AsyncIterator[list[ReceiptOut]]:
    """Newest first: all for which everything holds that is named. ``q`` is a part of an item's name."""
    async for piece in _found(call, _searched(call)):
        yield piece


async def by_customer(call: Call) -> AsyncIterator[list[ReceiptOut]]:
    """Those of a customer, newest first; filters as in the search."""
    async for piece in _found(call, _searched(call, customer=call.id("customerId", "customer_not_found"))):
        yield piece


async def voided(call: Call) -> AsyncIterator[list[ReceiptOut]]:
    """Those that were voided, newest first; filters as in the search."""
    async for piece in _found(call, _searched(call, voided=True)):
        yield piece


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
WHICH: Final = (
    Param("number", Form.WHOLE, "The number as printed.", low=1, high=10**limits.NUMBER_MAX_DIGITS - 1, example=1),
    Param("from", Form.DAY, "From this business day or moment on.", example="2026-03-01"),
    Param("to", Form.DAY, "Up to this business day or moment.", example="2026-03-31"),
    Param("staffId", Form.ID, "Those this employee made.", example="{staff}"),
    Param("registerId", Form.ID, "Those of this register.", example="1"),
    Param("tableId", Form.ID, "Those of this table.", example="{table}"),
    Param("q", Form.TEXT, "A part of an item's name.", max_chars=TEXT_MAX_CHARS, example="Schnitzel"),
    Param("page", Form.WHOLE, "Which page, from 1; without it all of them.", low=1, high=PAGE_MAX, example=1),
    Param("pageSize", Form.WHOLE, "How many on a page.", low=1, high=PAGE_SIZE_MAX, example=20),
)
CUSTOMER: Final = Param("customerId", Form.ID, "Those of this customer.", example="{customer}")
_SEARCH: Final = ("pos.receipt.search",)
_BY_CUSTOMER: Final = "/api/v1/receipts/by-customer/{customerId}"

ROUTES = (
    Route("GET", "/api/v1/receipts/search", "Receipts", search, stream=True, asks=_SEARCH, params=(*WHICH, CUSTOMER)),
    Route("GET", "/api/v1/receipts/voided", "Receipts", voided, stream=True, asks=_SEARCH, params=(*WHICH, CUSTOMER)),
    Route("GET", _BY_CUSTOMER, "Receipts", by_customer, stream=True, asks=_SEARCH, params=(*WHICH, CUSTOMER)),
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
