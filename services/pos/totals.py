"""Sums over receipts as the log holds them: for shifts, X and Z. Never from query tables."""

from __future__ import annotations

from decimal import Decimal

from libs.contracts.pos.events import ReceiptIssued, TaxAmount
from libs.contracts.pos.house import PaymentTotal, RegisterTotal, Totals
from libs.contracts.pos.payment_kinds import PAYMENT_KINDS
from services.pos.takings import takings


class Sums:
    """Totals while receipts are being added."""

    def __init__(self) -> None:
        self.receipts = self.voids = self.refunds = 0
        self.gross = self.net = self.tax = self.tips = self.cash = 0
        self._taxes: dict[Decimal, list[int]] = {}
        self._payments: dict[int, list[int]] = {}
        self._registers: dict[str, list[int]] = {}

    def add(self, issued: ReceiptIssued, number: int) -> None:
        """Raises ValueError, before anything is counted, if the payments make no sense."""
        if sum(payment.amount for payment in issued.payments) != issued.gross + issued.tip + issued.change:
            raise ValueError("payments are not what the receipt comes to")
        taken = takings(issued.payments, issued.change, issued.tip)
        self.voids += issued.voids is not None
        self.refunds += issued.refunds is not None
        self.receipts += issued.voids is None and issued.refunds is None
        self.gross += issued.gross
        self.net += issued.net
        self.tax += issued.tax
        self.tips += issued.tip
        for tax in issued.taxes:
            _add(self._taxes.setdefault(tax.rate, [0, 0, 0]), tax.net, tax.tax, tax.gross)
        for payment in taken:
            _add(self._payments.setdefault(payment.type, [0, 0]), payment.amount, 1)
            self.cash += payment.amount if PAYMENT_KINDS[payment.type].cash else 0
        register = self._registers.setdefault(issued.register, [number, number, 0, 0])
        register[0], register[1] = min(register[0], number), max(register[1], number)
        register[2] += 1
        register[3] += issued.gross

    def merge(self, other: Sums) -> None:
        for name in ("receipts", "voids", "refunds", "gross", "net", "tax", "tips", "cash"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for rate, values in other._taxes.items():
            _add(self._taxes.setdefault(rate, [0, 0, 0]), *values)
        for kind, values in other._payments.items():
            _add(self._payments.setdefault(kind, [0, 0]), *values)
        for name, (first, last, receipts, gross) in other._registers.items():
            register = self._registers.setdefault(name, [first, last, 0, 0])
            register[0], register[1] = min(register[0], first), max(register[1], last)
            register[2] += receipts
            register[3] += gross

    def totals(self) -> Totals:
        return Totals(
            receipts=self.receipts,
            voids=self.voids,
            refunds=self.refunds,
            gross=self.gross,
            net=self.net,
            tax=self.tax,
            tips=self.tips,
            cash=self.cash,
            taxes=tuple(
                TaxAmount(rate=rate, net=net, tax=tax, gross=gross) for rate, (net, tax, gross) in sorted(self._taxes.items())[::-1]
            ),
            payments=tuple(PaymentTotal(type=kind, amount=amount, count=count) for kind, (amount, count) in sorted(self._payments.items())),
        )

    def registers(self) -> tuple[RegisterTotal, ...]:
        return tuple(
            RegisterTotal(register=register, first_number=first, last_number=last, receipts=receipts, gross=gross)
            for register, (first, last, receipts, gross) in sorted(self._registers.items())
        )


def _add(sums: list[int], *values: int) -> None:
    for ix, value in enumerate(values):
        sums[ix] += value
