"""A receipt written out, as text and PDF, and what its signature says."""

from __future__ import annotations

from typing import Final

from libs.contracts.pos.commands import Receipt, ReceiptKey
from libs.contracts.pos.documents import Paper as PaperAsked
from libs.contracts.pos.documents import PaperPdf, PaperText
from libs.contracts.pos.permissions import PAYMENTS
from libs.contracts.pos.signing import NO_UNIT, SignatureState
from libs.domain.errors import not_found
from libs.runtime.service import Ask, Query
from libs.texts.catalogue import Language
from services.pos.papers import Paper, Papers
from services.pos.pdf import pdf_of
from services.pos.queries import receipt_by_key
from services.pos.signatures import qr_of


async def _receipt(ask: Ask) -> Receipt:
    receipt = await receipt_by_key(ask.tables, ask.instance, ask.body.receipt)
    if receipt is None:
        raise not_found("receipt_not_found", id=ask.body.receipt)
    return receipt


async def _paper(ask: Ask) -> Paper:
    asked: PaperAsked = ask.body
    receipt = await _receipt(ask)
    return await Papers(ask.tables).paper(ask.instance, receipt, Language(asked.language), copy=asked.copy, hospitality=asked.hospitality)


async def text(ask: Ask) -> PaperText:
    return PaperText(text=(await _paper(ask)).text())


async def pdf(ask: Ask) -> PaperPdf:
    return PaperPdf(content=await pdf_of(await _paper(ask)))


async def signature(ask: Ask) -> SignatureState:
    receipt = await _receipt(ask)
    reason = receipt.unsigned or ("" if receipt.signing_unit else NO_UNIT)
    qr = qr_of(receipt.signature) if receipt.signature is not None else ""
    return SignatureState(receipt=receipt.id, signature=receipt.signature, reason=reason, qr=qr)


QUERIES: Final = (
    Query("receipt.text", PaperAsked, text, PAYMENTS),
    Query("receipt.pdf", PaperAsked, pdf, PAYMENTS),
    Query("receipt.signature", ReceiptKey, signature, PAYMENTS),
)
