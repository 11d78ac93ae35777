"""What the tills remember: everything Theke has ever promised them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Promise:
    """An answer of 201 (a settled shift: 200): ``data`` as it came, under the key it was asked with. ``behind``: query tables may not show
    it yet."""

    key: str
    data: dict[str, Any]
    behind: bool = False

    @property
    def id(self) -> str:
        return str(self.data["id"])


@dataclass(frozen=True)
class Gone:
    """A till wanted this line to be paid, and was told at that moment that it is not open any more."""

    line: str
    at: datetime


def cents(amount: Decimal | int) -> int:
    """Euros as the API writes them, in minor units."""
    scaled = Decimal(amount) * 100
    assert scaled == int(scaled), f"{amount} has more than cents"
    return int(scaled)


@dataclass
class Ledger:
    """``receipts``, ``orders``, settled ``shifts`` and Z ``reports`` by key; ``refused``: key → status of a final refusal; ``gone``:
    which of them said that a line is not open any more; ``open``: keys without a final answer; ``faults``: answers that should not be
    possible; ``longest_s``: the longest a till stood waiting."""

    receipts: dict[str, Promise] = field(default_factory=dict)
    orders: dict[str, Promise] = field(default_factory=dict)
    shifts: dict[str, Promise] = field(default_factory=dict)
    reports: dict[str, Promise] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    gone: dict[str, Gone] = field(default_factory=dict)
    open: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    repeats: int = 0
    behind: int = 0
    longest_s: float = 0.0

    def receipts_now(self) -> dict[str, dict[str, Any]]:
        """Every promised receipt by id, with what was taken back of it since."""
        now = {promise.id: dict(promise.data) for promise in self.receipts.values()}
        for back in sorted(now.values(), key=lambda receipt: int(receipt["number"])):
            if (original := now.get(back["refundedReceiptId"])) is not None:
                original["refundReceiptIds"] = [*original["refundReceiptIds"], back["id"]]
                original["refunded"] -= back["gross"]
        return now

    def gross(self) -> int:
        """Minor units of all promised receipts."""
        return sum(cents(promise.data["gross"]) for promise in self.receipts.values())
