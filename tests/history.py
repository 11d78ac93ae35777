"""Receipts of days gone by, put where the projection would have put them: through its own handlers, without a log.

history = History(seed=7, articles={"art_1": ("Cola", "artgrp_1")}, staff=["usr_1"])
rows = history.receipts(1_000, since=date(2026, 1, 1), days=365)
await write(connection, instance, rows)
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from libs.contracts.pos.events import PaymentTaken, ReceiptIssued, ReceiptLine, TaxAmount
from libs.domain.events import Recorded
from libs.projections.declare import suffix
from libs.projections.rows import Rows
from services.pos.pricing import taxes_of
from services.pos.projections import RECEIPTS, receipt_issued
from services.pos.settings import business_day

RATES: Final = ((0, Decimal(19)), (1, Decimal(7)), (2, Decimal(0)))
NOWHERE: Final = UUID(int=0)


class History:
    """``articles``: key → name and group; an article without a group is a free one. The same seed makes the same receipts."""

    def __init__(
        self, seed: int, articles: Mapping[str, tuple[str, str]], staff: Sequence[str], registers: Sequence[str] = ("1", "2")
    ) -> None:
        self._dice = random.Random(seed)
        self._articles = list(articles.items())
        self._staff = staff
        self._registers = registers
        self._count = 0

    def receipts(self, count: int, since: date, days: int) -> Iterator[ReceiptIssued]:
        """Spread over ``days`` beginning at noon of the first; now and then one is taken back, wholly or in part."""
        start = datetime(since.year, since.month, since.day, 11, tzinfo=UTC)
        step = timedelta(days=days) / count
        for ix in range(count):
            sale = self.sale(start + ix * step)
            yield sale
            if ix % 50 == 7:
                yield self.taking_back(sale, lines=sale.lines, voids=sale.receipt)
            elif ix % 50 == 31:
                yield self.taking_back(sale, lines=sale.lines[:1])

    def sale(self, at: datetime) -> ReceiptIssued:
        lines = tuple(self._line() for _ in range(self._dice.randint(1, 7)))
        gross = sum(line.total for line in lines)
        tip = self._dice.choice((0, 0, 0, 50, 137))
        payments, change = self._money(gross + tip)
        return self._issued(lines, payments, change, tip, at)

    def taking_back(self, sale: ReceiptIssued, *, lines: Sequence[ReceiptLine], voids: str | None = None) -> ReceiptIssued:
        """All of a sale, or some lines of it paid back in cash."""
        back = tuple(msgspec.structs.replace(line, quantity=-line.quantity, total=-line.total) for line in lines)
        if voids is None:
            payments: tuple[PaymentTaken, ...] = (PaymentTaken(type=0, amount=sum(line.total for line in back)),)
            return self._issued(back, payments, 0, 0, sale.at + timedelta(hours=3), refunds=sale.receipt)
        payments = tuple(PaymentTaken(type=payment.type, amount=-payment.amount) for payment in sale.payments)
        return self._issued(back, payments, -sale.change, -sale.tip, sale.at + timedelta(hours=2), voids)

    def _line(self) -> ReceiptLine:
        key, (name, group) = self._dice.choice(self._articles)
        tax_class, rate = self._dice.choice(RATES)
        quantity = Decimal(self._dice.choice(("1", "1", "2", "3", "0.5")))
        price = Decimal(self._dice.randint(50, 3000)).scaleb(-2)
        return ReceiptLine(
            id=f"obn_{self._dice.getrandbits(64):016x}",
            name=name,
            quantity=quantity,
            unit_price=price,
            total=int((price * quantity * 100).to_integral_value()),
            tax_class=tax_class,
            tax_rate=rate,
            article=key if group else None,
            group=group or None,
            course=self._dice.randint(1, 3),
        )

    def _money(self, due: int) -> tuple[tuple[PaymentTaken, ...], int]:
        """Exactly what is due, a note too large, or a part in another kind and the rest with a note too large."""
        how, note = self._dice.random(), self._dice.randint(0, 2000)
        if how < 0.4:
            return (PaymentTaken(type=self._dice.choice((0, 1, 4, 5)), amount=due),), 0
        if how < 0.8 or due < 2:
            return (PaymentTaken(type=self._dice.choice((0, 3)), amount=due + note),), note
        part = self._dice.randint(1, due - 1)
        both = PaymentTaken(type=self._dice.choice((1, 3)), amount=part), PaymentTaken(type=0, amount=due - part + note)
        return both if self._dice.random() < 0.5 else both[::-1], note

    def _issued(
        self,
        lines: tuple[ReceiptLine, ...],
        payments: tuple[PaymentTaken, ...],
        change: int,
        tip: int,
        at: datetime,
        voids: str | None = None,
        refunds: str | None = None,
    ) -> ReceiptIssued:
        self._count += 1
        taxes: tuple[TaxAmount, ...] = taxes_of(lines)
        return ReceiptIssued(
            receipt=f"bon_{self._count:08d}{self._dice.getrandbits(48):012x}",
            register=self._dice.choice(self._registers),
            currency="EUR",
            lines=lines,
            taxes=taxes,
            gross=sum(tax.gross for tax in taxes),
            net=sum(tax.net for tax in taxes),
            tax=sum(tax.tax for tax in taxes),
            payments=payments,
            change=change,
            tip=tip,
            staff=self._dice.choice(self._staff),
            business_day=business_day(at),
            at=at,
            voids=voids,
            refunds=refunds,
        )


async def write(connection: asyncpg.Connection, instance: int, receipts: Iterator[ReceiptIssued] | Sequence[ReceiptIssued]) -> None:
    """Rows of receipts as the projection makes them, at positions far above those of any log here."""
    table = RECEIPTS.table("receipts")
    rows = Rows()
    for ix, issued in enumerate(receipts, start=1_000_000):
        receipt_issued(rows, _recorded(instance, ix, issued))
    records = (
        (instance, *(row.get(column, key[0]) for column in table.columns)) for _, upserts, _ in rows.written() for key, row in upserts
    )
    await connection.copy_records_to_table(
        await receipts_table(connection), schema_name="pos", records=records, columns=["instance", *table.columns]
    )


async def receipts_table(connection: asyncpg.Connection) -> str:
    """The table of receipts that readers get, in the schema pos."""
    statement = "select active, generation from theke.revisions where service = 'pos' and projection = 'receipts'"
    return f"receipts_{suffix(*await connection.fetchrow(statement))}"


def _recorded(instance: int, position: int, issued: ReceiptIssued) -> Recorded:
    stream, number = f"receipt-{issued.receipt}", position
    return Recorded(instance, position, stream, 1, NOWHERE, "receipt.issued", issued, issued.at, number, issued.staff)
