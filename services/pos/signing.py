"""Signing receipts. A receipt that was issued for a signing unit awaits exactly one end: ``receipt.signed`` or ``receipt.unsigned``.

The signer is asked after the append, never inside it: a sale is in the log whatever becomes of its signature. Whoever asked for the sale
waits for the end a few seconds. What a killed process left without an end is found by a sweep and signed then. A house without a signing
unit issues receipts that await nothing; their sale costs nothing more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Protocol
from uuid import uuid4

import msgspec
import structlog

from libs.contracts.pos.commands import Receipt
from libs.contracts.pos.events import ReceiptIssued
from libs.contracts.pos.payment_kinds import PAYMENT_KINDS
from libs.contracts.pos.signing import NO_UNIT, EndSigning, ReceiptSigned, ReceiptUnsigned, Signature
from libs.domain.clock import SystemClock
from libs.domain.decider import Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import DomainError, not_found
from libs.domain.events import Recorded
from libs.domain.principal import system
from libs.projections.tables import Statement
from libs.runtime.processes import EVERY_INSTANCE
from libs.runtime.processes import Process as Work
from libs.runtime.service import Host
from services.pos.queries import receipt_by_key, receipt_of_row
from services.pos.receipts import RECEIPT, ReceiptState, receipt_of
from services.pos.takings import takings

log = structlog.get_logger(__name__)

SIGN_WITHIN_S: Final = 5.0  # one process at one signer
END_WITHIN_S: Final = 3.0  # the append of what came of it
PENDING_MAX: Final = 1_024  # receipts of this process that wait for a signer
SWEEP_EVERY_S: Final = 15.0
SWEEP_AFTER: Final = timedelta(seconds=15)  # younger ones are in somebody's hands
SWEEP_ROWS: Final = 200

RECEIPT_PROCESS: Final = "Kassenbeleg-V1"
# tax rate in percent → place among the five gross sums of a process (DSFinV-K, appendix I); those of 2020 had the same places
SLOTS: Final[Mapping[Decimal, int]] = {
    Decimal("19"): 0,
    Decimal("16"): 0,
    Decimal("7"): 1,
    Decimal("5"): 1,
    Decimal("10.7"): 2,
    Decimal("9.5"): 2,
    Decimal("9"): 2,
    Decimal("8.4"): 2,
    Decimal("7.8"): 2,
    Decimal("5.5"): 3,
    Decimal("0"): 4,
}

# --- what a signer is -----------------------------------------------------------------------------------------------------------


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be signed: ``id`` names the process for ever, ``client`` the till. Receipts are ``Kassenbeleg-V1``; shifts, day closes
    and the like are ``SonstigerVorgang`` with a text of their own."""

    id: str
    instance: int
    unit: str
    client: str
    type: str
    content: str
    started: datetime


class Unsigned(Exception):
    """There is no signature, and there will be none. ``reason`` is one of ``UNSIGNED_REASONS``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Signer(Protocol):
    """A security module, or the way to one. It may be asked twice for a process (after a crash) and then gives the same signature."""

    async def sign(self, process: Process) -> Signature:
        """Raises Unsigned. Whatever else it raises counts as a signer that failed."""
        ...


class NoUnit:
    """The signer of a unit that this installation does not know."""

    async def sign(self, process: Process) -> Signature:
        raise Unsigned(NO_UNIT)


# --- what is signed -------------------------------------------------------------------------------------------------------------


def process_of(instance: int, receipt: Receipt) -> Process:
    """Raises Unsigned if the receipt has a tax rate that the process data have no place for."""
    return Process(
        id=receipt.id,
        instance=instance,
        unit=receipt.signing_unit,
        client=receipt.register,
        type=RECEIPT_PROCESS,
        content=process_data(receipt),
        started=receipt.client_at or receipt.date,
    )


def process_data(receipt: Receipt) -> str:
    """``Beleg^19%_7%_…^amount:Bar_amount:Unbar``: gross sums, then what was kept of each way of paying. A tip is the staff's own and
    stands with what is not taxed."""
    sums = [0] * 5
    for tax in receipt.taxes:
        slot = SLOTS.get(tax.rate)
        if slot is None:
            raise Unsigned("tax_rate_without_slot")
        sums[slot] += tax.gross
    sums[SLOTS[Decimal(0)]] += receipt.tip
    paid = {True: 0, False: 0}
    for payment in takings(receipt.payments, receipt.change, receipt.tip):
        paid[PAYMENT_KINDS[payment.type].cash] += payment.amount
    currency = "" if receipt.currency == "EUR" else f":{receipt.currency}"
    payments = [f"{_amount(amount)}:{kind}{currency}" for kind, amount in (("Bar", paid[True]), ("Unbar", paid[False])) if amount]
    return f"Beleg^{'_'.join(map(_amount, sums))}^{'_'.join(payments)}"


def _amount(minor: int) -> str:
    return f"{Decimal(minor).scaleb(-2):.2f}"


# --- the end of it --------------------------------------------------------------------------------------------------------------


def decide_end(states: States, command: Command[EndSigning], _: Any) -> Decision:
    """The first end counts; every later one changes nothing."""
    body = command.body
    state: ReceiptState = states.get(RECEIPT.stream(body.receipt), RECEIPT.initial)
    if state.issued is None:
        raise not_found("receipt_not_found", id=body.receipt)
    if not state.awaits_signature:
        return Decision({})
    if body.signature is None:
        end: ReceiptSigned | ReceiptUnsigned = ReceiptUnsigned(receipt=body.receipt, reason=body.reason, at=command.at)
    else:
        end = ReceiptSigned(receipt=body.receipt, signature=body.signature, at=command.at)
    return Decision({RECEIPT.stream(body.receipt): (end,)})


def reply_end(states: States, command: Command[EndSigning], _: Sequence[Recorded]) -> Receipt:
    return receipt_of(states[RECEIPT.stream(command.body.receipt)])


END: Final = CommandType(
    name="receipt.end_signing",
    body=EndSigning,
    streams=lambda command: (StreamRef(RECEIPT, command.body.receipt),),
    decide=decide_end,
    reply=reply_end,
    permission="pos.signing",
)

_AWAITED: Final = Statement(
    "select r.document, r.void_receipt, r.refund_receipts, r.refunded, r.after, a.position from {pos.awaited_signatures} a "
    "join {pos.receipts} r on r.instance = a.instance and r.key = a.key "
    f"where a.instance = $1 and r.instance = $1 and a.issued_at <= $2 order by a.position limit {SWEEP_ROWS}"
)


class Signings:
    """The receipts of a running pos that await a signature. One at a time per unit: a security module works one after the other."""

    def __init__(self, host: Host, signers: Mapping[str, Signer]) -> None:
        self._host = host
        self._signers = signers
        self._turns: dict[str, asyncio.Lock] = {}  # of units that have a signer
        self._pending: dict[tuple[int, str], asyncio.Task[Receipt]] = {}
        self._process = Work("signing")

    def appended(self, events: Sequence[Recorded]) -> None:
        """Hears of every append of this process."""
        for event in events:
            if isinstance(event.data, ReceiptIssued) and event.data.signing_unit:
                self.begin(event.instance, receipt_of(RECEIPT.evolve(RECEIPT.initial, event)))

    def begin(self, instance: int, receipt: Receipt) -> asyncio.Task[Receipt] | None:
        """Sees to the receipt's end; None if too many wait already: the sweep will find it."""
        key = instance, receipt.id
        task = self._pending.get(key)
        if task is None and len(self._pending) < PENDING_MAX:
            task = self._pending[key] = asyncio.get_running_loop().create_task(self._end(instance, receipt))
            task.add_done_callback(lambda done: self._done(key, done))
        return task

    def _done(self, key: tuple[int, str], task: asyncio.Task[Receipt]) -> None:
        self._pending.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a receipt is still without an end", instance=key[0], receipt=key[1], error=str(error))

    async def ended(self, command: Command[Any], receipt: Receipt, within: float) -> Receipt:
        """The receipt with its end, if that comes in time; else as it is."""
        if not receipt.signing_unit or receipt.signature is not None or receipt.unsigned:
            return receipt
        ends = time.monotonic() + max(0.0, min(within, SIGN_WITHIN_S + END_WITHIN_S))
        key = command.instance, receipt.id
        task = self._pending.get(key)
        if task is None:  # a repeat: it may have had its end long ago
            known = await receipt_by_key(self._host.tables, command.instance, receipt.id)
            if known is not None and (known.signature is not None or known.unsigned):
                return msgspec.structs.replace(receipt, signature=known.signature, unsigned=known.unsigned)
            task = self.begin(command.instance, receipt)
        if task is None:
            return receipt
        done, _ = await asyncio.wait({task}, timeout=max(0.0, ends - time.monotonic()))
        if not done or task.cancelled() or task.exception() is not None:
            return receipt
        signed = task.result()
        return msgspec.structs.replace(receipt, signature=signed.signature, unsigned=signed.unsigned)

    async def _end(self, instance: int, receipt: Receipt) -> Receipt:
        signature, reason = await self._asked(instance, receipt)
        body = EndSigning(receipt=receipt.id, signature=signature, reason=reason)
        command = Command(uuid4(), SystemClock().now(), system(instance, "pos"), body)
        ended, _ = await self._host.dispatcher.execute(END, command, timeout=END_WITHIN_S)
        found: Receipt = ended
        return found

    async def _asked(self, instance: int, receipt: Receipt) -> tuple[Signature | None, str]:
        """The signature, or why there is none. A signer gets a few seconds; what it says afterwards is not listened to."""
        try:
            process = process_of(instance, receipt)
            return await self._signed(process), ""
        except Unsigned as refusal:
            return None, refusal.reason
        except TimeoutError:
            return None, "signer_timeout"
        except Exception as error:
            log.warning("a signer failed", unit=receipt.signing_unit, receipt=receipt.id, error=repr(error))
            return None, "signer_failed"

    async def _signed(self, process: Process) -> Signature:
        """Raises Unsigned, TimeoutError, or what the signer raises. A signer that does not let itself be stopped is left to itself."""
        signer = self._signers.get(process.unit)
        if signer is None:
            return await NoUnit().sign(process)
        ends = time.monotonic() + SIGN_WITHIN_S
        turn = self._turns.setdefault(process.unit, asyncio.Lock())
        async with asyncio.timeout(SIGN_WITHIN_S):
            await turn.acquire()
        try:
            asked = asyncio.ensure_future(signer.sign(process))
            done, _ = await asyncio.wait({asked}, timeout=max(0.0, ends - time.monotonic()))
            if not done:
                asked.cancel()
                asked.add_done_callback(_overheard)
                raise TimeoutError
            return asked.result()
        finally:
            turn.release()

    async def sweep(self) -> None:
        """Takes on what was left without an end; one of the replicas does so."""
        self._host.processes.add(self._process)
        while True:
            try:
                if self._host.projector.leading:
                    await self.sweep_once(SystemClock().now() - SWEEP_AFTER)
                    self._process.came_round()
                self._process.reached(EVERY_INSTANCE)
            except DomainError as error:
                log.warning("unsigned receipts are looked for later", error=str(error))
                self._process.stopped(EVERY_INSTANCE, str(error))
            await self._process.rest(SWEEP_EVERY_S)

    async def sweep_once(self, before: datetime) -> None:
        for instance in await self._host.log.heads():
            rows = await self._host.tables.fetch(_AWAITED, instance, before)
            tasks = [task for row in rows if (task := self.begin(instance, receipt_of_row(row))) is not None]
            if tasks:
                await asyncio.wait(tasks)


def _overheard(late: asyncio.Future[Signature]) -> None:
    """An answer that came after the receipt had its end."""
    if not late.cancelled():
        log.warning("a signer answered too late", error=repr(late.exception()))
