"""A receipt written out, line by line. Text and PDF show the same lines; what a receipt must show is listed in § 6 KassenSichV and
§ 14 UStG. The same receipt always gives the same lines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from libs.contracts.pos.commands import Receipt
from libs.contracts.pos.events import Hospitality, ReceiptLine
from libs.contracts.pos.house import HouseSettings, Letterhead
from libs.contracts.pos.payment_kinds import PAYMENT_KINDS
from libs.contracts.pos.signing import NO_UNIT, Signature
from libs.domain.money import MINOR_DIGITS
from libs.projections.tables import Statement, Tables
from libs.texts import names
from libs.texts import paper as words
from libs.texts.catalogue import Language, Text
from services.pos.house_tables import settings_of
from services.pos.signatures import qr_of

COLUMNS: Final = 42  # 80 mm paper
INDENT: Final = "   "
TAX_MARKS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_STAFF: Final = Statement("select u.short_name, u.first_name, u.last_name from {auth.users} u where u.instance = $1 and u.key = $2")
_TABLE: Final = Statement("select t.number, t.name from {pos.tables} t where t.instance = $1 and t.key = $2")
_NUMBERS: Final = Statement("select r.key, r.number from {pos.receipts} r where r.instance = $1 and r.key = any($2::text[])")


class Line(msgspec.Struct, frozen=True):
    """At most ``COLUMNS`` characters, the first of which may be spaces."""

    text: str = ""
    bold: bool = False


class Paper(msgspec.Struct, frozen=True):
    """``qr``: the text of a QR code below the lines; empty if there is none."""

    title: str
    lines: tuple[Line, ...]
    qr: str = ""

    def text(self) -> str:
        return "".join(f"{line.text.rstrip()}\n" for line in self.lines)


class Surroundings(msgspec.Struct, frozen=True):
    """What a receipt refers to, as people know it. ``numbers``: of the receipts it is linked with, by id."""

    settings: HouseSettings = HouseSettings()
    staff: str = ""
    table: str = ""
    numbers: Mapping[str, int] = {}


class Papers:
    """Writes out receipts as the query tables know them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def paper(self, instance: int, receipt: Receipt, language: Language, *, copy: int = 0, hospitality: bool = False) -> Paper:
        around = await self._surroundings(instance, receipt)
        return hospitality_paper(receipt, around, language) if hospitality else receipt_paper(receipt, around, language, copy=copy)

    async def _surroundings(self, instance: int, receipt: Receipt) -> Surroundings:
        staff = await self._tables.fetch_one(_STAFF, instance, receipt.staff)
        table = await self._tables.fetch_one(_TABLE, instance, receipt.table) if receipt.table else None
        linked = [key for key in (receipt.void_receipt, receipt.voided_receipt, receipt.refunded_receipt) if key]
        numbers = await self._tables.fetch(_NUMBERS, instance, linked) if linked else []
        return Surroundings(
            settings=await settings_of(self._tables, instance),
            staff=(staff["short_name"] or staff["first_name"] or staff["last_name"] or "") if staff is not None else "",
            table=(table["name"] or str(table["number"])) if table is not None else "",
            numbers={row["key"]: row["number"] for row in numbers},
        )


# --- the receipt ----------------------------------------------------------------------------------------------------------------


def receipt_paper(receipt: Receipt, around: Surroundings, language: Language, *, copy: int = 0) -> Paper:
    """``copy`` > 0: a reprint, and marked as one."""
    write = _Writer(language, receipt, around)
    lines = (
        *write.head(),
        *write.marks(copy),
        *write.facts(),
        *write.rule(),
        *write.lines(),
        *write.rule(),
        *write.sums(),
        *write.rule(),
        *write.taxes(),
        *write.rule(),
        *write.security(),
        *write.footer(),
    )
    qr = qr_of(receipt.signature) if receipt.signature is not None else ""
    return Paper(write.title, lines, qr)


def hospitality_paper(receipt: Receipt, around: Surroundings, language: Language) -> Paper:
    """The form that goes with the receipt. What was not noted is left to be filled in by hand."""
    write = _Writer(language, receipt, around)
    noted = receipt.hospitality or Hospitality(occasion="", guests=(), host="")
    lines = (*write.head(), *write.meal(noted), *write.footer())
    return Paper(write.title, lines)


class _Writer:
    """The parts of a receipt in one language."""

    def __init__(self, language: Language, receipt: Receipt, around: Surroundings) -> None:
        self._language = language
        self._receipt = receipt
        self._around = around
        self._zone = ZoneInfo(around.settings.zone)
        self._marks = {tax.rate: TAX_MARKS[ix % len(TAX_MARKS)] for ix, tax in enumerate(receipt.taxes)}
        self.title = self._say(words.RECEIPT, number=receipt.number)

    def _say(self, text: Text, **params: str | int) -> str:
        return text(self._language, params)

    def rule(self) -> Iterator[Line]:
        yield Line("-" * COLUMNS)

    def head(self) -> Iterator[Line]:
        letterhead: Letterhead = self._around.settings.letterhead
        yield from _centred(letterhead.company, bold=True)
        place = f"{letterhead.postcode} {letterhead.city}".strip()
        for text in (letterhead.street, place, letterhead.country):
            yield from _centred(text)
        if letterhead.phone:
            yield from _centred(self._say(words.PHONE, phone=letterhead.phone))
        yield from _centred(letterhead.email)
        if letterhead.tax_number:
            yield from _centred(self._say(words.TAX_NUMBER, number=letterhead.tax_number))
        if letterhead.vat_id:
            yield from _centred(self._say(words.VAT_ID, number=letterhead.vat_id))
        yield from self.rule()

    def marks(self, copy: int) -> Iterator[Line]:
        """What must not be overlooked."""
        receipt, marks = self._receipt, []
        if copy:
            marks.append(self._say(words.COPY, copy=copy))
        links = ((words.VOIDS, receipt.voided_receipt), (words.REFUNDS, receipt.refunded_receipt), (words.VOIDED, receipt.void_receipt))
        marks += [self._say(text, number=self._around.numbers.get(key, 0) or key) for text, key in links if key]
        for mark in marks:
            yield from _centred(f"*** {mark} ***", bold=True)
        if marks:
            yield from self.rule()

    def facts(self) -> Iterator[Line]:
        receipt = self._receipt
        yield from _pair(self.title, self._say(words.REGISTER, register=receipt.register), bold=True)
        table = self._say(words.TABLE, name=self._around.table) if self._around.table else ""
        yield from _pair(self._moment(receipt.client_at or receipt.date), table)
        if self._around.staff:
            yield from _wrapped(self._say(words.STAFF, name=self._around.staff))

    def lines(self) -> Iterator[Line]:
        for line in self._receipt.lines:
            yield from self._line(line)

    def _line(self, line: ReceiptLine) -> Iterator[Line]:
        mark = self._marks.get(line.tax_rate, " ")
        yield from _wrapped(line.name)
        each = f"{INDENT}{self._number(line.quantity)} × {self._price(line.unit_price)}"
        yield from _pair(each, f"{self._money(line.total + line.discount)} {mark}")
        for option in line.options:
            many = f"{option.quantity} × " if option.quantity != 1 else ""
            price = f" ({self._price(option.surcharge)})" if option.surcharge else ""
            yield from _wrapped(f"+ {many}{option.name}{price}", INDENT)
        if line.discount:
            taken_off = line.discount > 0 if line.quantity > 0 else line.discount < 0
            word = words.DISCOUNT if taken_off else words.SURCHARGE
            yield from _pair(INDENT + self._say(word), f"{self._money(-line.discount)} {mark}")

    def sums(self) -> Iterator[Line]:
        receipt = self._receipt
        yield from _pair(f"{self._say(words.TOTAL)} {receipt.currency}", self._money(receipt.gross), bold=True)
        if receipt.tip:
            yield from _pair(self._say(words.TIP), self._money(receipt.tip))
        for payment in receipt.payments:
            name = names.PAYMENT_KINDS[PAYMENT_KINDS[payment.type].key]
            yield from _pair(self._say(name), self._money(payment.amount))
        if receipt.change:
            yield from _pair(self._say(words.CHANGE), self._money(-receipt.change))
        if receipt.refunded:
            yield from _pair(self._say(words.REFUNDED), self._money(receipt.refunded))

    def taxes(self) -> Iterator[Line]:
        def row(*cells: str) -> Line:
            return Line(f"{cells[0]:<9}{cells[1]:>11}{cells[2]:>11}{cells[3]:>11}")

        yield row(*(self._say(text) for text in (words.TAX, words.NET, words.TAX_AMOUNT, words.GROSS)))
        for tax in self._receipt.taxes:
            rate = f"{self._marks[tax.rate]} {self._number(tax.rate)} %"
            yield row(rate, self._money(tax.net), self._money(tax.tax), self._money(tax.gross))

    def security(self) -> Iterator[Line]:
        receipt = self._receipt
        if receipt.signature is not None:
            yield from self._signature(receipt.signature)
            return
        reason = receipt.unsigned or ("" if receipt.signing_unit else NO_UNIT)
        text = words.UNSIGNED_REASONS.get(reason, words.AWAITED) if reason else words.AWAITED
        yield from _wrapped(self._say(words.UNSIGNED, reason=self._say(text)))

    def _signature(self, signature: Signature) -> Iterator[Line]:
        yield Line(self._say(words.SIGNED), bold=True)
        yield from _pair(self._say(words.TRANSACTION), str(signature.transaction))
        yield from _pair(self._say(words.COUNTER), str(signature.counter))
        yield from _pair(self._say(words.STARTED), self._moment(signature.started, seconds=True))
        yield from _pair(self._say(words.FINISHED), self._moment(signature.finished, seconds=True))
        yield from _pair(self._say(words.CLIENT), signature.client)
        for text, value in ((words.SERIAL, signature.serial), (words.CHECK_VALUE, signature.signature)):
            yield from _wrapped(f"{self._say(text)}: {value}")

    def meal(self, noted: Hospitality) -> Iterator[Line]:
        receipt, letterhead = self._receipt, self._around.settings.letterhead
        yield from _centred(self._say(words.HOSPITALITY), bold=True)
        yield from _wrapped(self._say(words.HOSPITALITY_LAW))
        yield from self.rule()
        yield from _pair(self.title, self._say(words.REGISTER, register=receipt.register), bold=True)
        yield from _pair(self._say(words.MEAL_DAY), self._moment(receipt.client_at or receipt.date))
        town = f"{letterhead.postcode} {letterhead.city}".strip()
        place = ", ".join(part for part in (letterhead.company, letterhead.street, town) if part)
        yield from self._asked_for(words.MEAL_PLACE, (place,))
        yield from self._asked_for(words.GUESTS, noted.guests)
        yield from self._asked_for(words.OCCASION, (noted.occasion,))
        yield from self._asked_for(words.HOST, (noted.host,))
        yield from self.rule()
        yield from _pair(f"{self._say(words.EXPENSE)} {receipt.currency}", self._money(receipt.gross), bold=True)
        if receipt.tip:
            yield from _pair(self._say(words.EXPENSE_WITH_TIP), self._money(receipt.gross + receipt.tip))
        yield from (Line(), Line(), Line("_" * COLUMNS))
        yield from _wrapped(self._say(words.SIGN_HERE))

    def _asked_for(self, text: Text, values: tuple[str, ...]) -> Iterator[Line]:
        yield Line(f"{self._say(text)}:")
        filled = [value for value in values if value]
        for value in filled:
            yield from _wrapped(value, INDENT)
        if not filled:
            yield Line(INDENT + "_" * (COLUMNS - len(INDENT)))

    def footer(self) -> Iterator[Line]:
        for line in self._around.settings.letterhead.footer:
            yield from _centred(line)

    # figures

    def _money(self, minor: int) -> str:
        places = MINOR_DIGITS.get(self._receipt.currency, 2)
        return self._local(f"{Decimal(minor).scaleb(-places):,.{places}f}")

    def _price(self, value: Decimal) -> str:
        places = max(2, -int(value.normalize().as_tuple().exponent)) if value else 2
        return self._local(f"{value:,.{places}f}")

    def _number(self, value: Decimal) -> str:
        return self._local(f"{value.normalize():f}")

    def _local(self, text: str) -> str:
        return text.translate(_GERMAN) if self._language is Language.GERMAN else text

    def _moment(self, at: datetime, *, seconds: bool = False) -> str:
        local = at.astimezone(self._zone)
        day = "%d.%m.%Y" if self._language is Language.GERMAN else "%Y-%m-%d"
        return local.strftime(f"{day} %H:%M:%S" if seconds else f"{day} %H:%M")


_GERMAN: Final = str.maketrans(",.", ".,")


# --- lines ----------------------------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    return " ".join(text.split())


def _wrapped(text: str, indent: str = "") -> Iterator[Line]:
    for part in textwrap.wrap(_plain(text), COLUMNS, initial_indent=indent, subsequent_indent=indent):
        yield Line(part)


def _centred(text: str, *, bold: bool = False) -> Iterator[Line]:
    for part in textwrap.wrap(_plain(text), COLUMNS):
        yield Line(part.center(COLUMNS).rstrip(), bold)


def _pair(left: str, right: str, *, bold: bool = False) -> Iterator[Line]:
    """Two texts at the edges; one below the other if they do not fit."""
    if len(left) + len(right) + 1 <= COLUMNS:
        yield Line(left + right.rjust(COLUMNS - len(left)), bold)
        return
    yield from (Line(part, bold) for part in textwrap.wrap(left, COLUMNS))
    yield from (Line(part.rjust(COLUMNS), bold) for part in textwrap.wrap(right, COLUMNS))
