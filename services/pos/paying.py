"""Carrying payments that draw on accounts elsewhere to their end, and telling the accounts what it was.

Start → reserve tender by tender → complete or abandon → confirm or release. Every step may be done twice, by anybody: the payment's
stream in the log is the only judge of whether there is an end and which, and the accounts (``tenders``) do a thing once. So whoever dies in
between leaves nothing that another cannot go on with, and the sweep goes on with everything. Bills that draw on nothing never come here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from uuid import uuid4

import msgspec
import structlog

from libs.contracts.pos.commands import PayTable, Receipt, RefundReceipt, Sell, VoidReceipt
from libs.contracts.pos.events import ReceiptIssued
from libs.contracts.pos.payments import (
    AbandonPayment,
    CompletePayment,
    DrawnTender,
    NotePayment,
    PaymentStarted,
    StartedPayment,
)
from libs.contracts.pos.sync import Refusal
from libs.domain.clock import Clock, SystemClock
from libs.domain.decider import Command, CommandType, Lookup
from libs.domain.errors import DomainError, FieldError, Kind, conflict, unavailable
from libs.domain.events import Recorded
from libs.domain.ids import derived
from libs.domain.principal import Principal, system
from services.pos.facts import sale_facts, table_facts
from services.pos.payments import (
    ABANDON,
    COMPLETE,
    NOTE,
    PAYMENT,
    START_BILL,
    START_SALE,
    PaymentState,
    StartFacts,
    error_of,
    refusal_of,
)
from services.pos.receipts import RECEIPT, receipt_of
from services.pos.tender import DRAWN, drawn
from services.pos.tenders import Declined, Tender, TenderPort

log = structlog.get_logger(__name__)

T = TypeVar("T")
Ports = Mapping[int, TenderPort]  # by kind of payment

ASK_WITHIN_S: Final = 3.0  # one account, one question
STEP_WITHIN_S: Final = 5.0  # one append
ANSWER_WITHIN_S: Final = 0.5  # kept of a request's time for the way back
RETRY_AFTER_S: Final = 1.0
GIVE_UP_AFTER: Final = timedelta(minutes=2)  # a payment this old that is taken up again is abandoned: its guests have paid otherwise
IN_HAND_MAX: Final = 1_024  # payments of this process that are being worked at
ALARM_AFTER_TRIES: Final = 6  # half a minute of sweeps


class Unanswered(Exception):
    """An account gave no answer that tells whether it did what it was asked."""


class Journal(Protocol):
    """The log as payments use it."""

    async def read(self, instance: int, stream: str) -> Sequence[Recorded]: ...

    async def execute(self, type_: CommandType, command: Command[Any], timeout: float) -> tuple[Any, bool]: ...


class End(msgspec.Struct, frozen=True):
    """Exactly one of the two; ``behind``: query tables do not show it yet."""

    receipt: Receipt | None = None
    refusal: Refusal | None = None
    behind: bool = False


Key = tuple[int, str]  # instance, payment


class Payments:
    """The payments of a running pos. At one payment only one task of a process works at a time; several processes may, harmlessly."""

    def __init__(self, journal: Journal, ports: Ports, clock: Clock | None = None, within: float = ASK_WITHIN_S) -> None:
        self._journal = journal
        self._ports = ports
        self._clock = clock or SystemClock()
        self._within = within
        self._ending: dict[Key, asyncio.Task[End]] = {}
        self._telling: dict[Key, asyncio.Task[None]] = {}
        self._tries: dict[Key, tuple[int, str]] = {}  # how often in vain, and why the last time
        self.retries = 0

    # --- what comes in ----------------------------------------------------------------------------------------------------------

    def draws(self, body: Sell | PayTable) -> bool:
        """Whether a bill is to draw on an account that is plugged in. All others are settled at once, as if this were not there."""
        return bool(self._ports) and any(payment.type in self._ports for payment in body.payments)

    def may_give_back(self, _: VoidReceipt | RefundReceipt) -> bool:
        return bool(self._ports)

    async def pay(self, type_: CommandType, command: Command[Any], timeout: float) -> tuple[Receipt, bool]:
        """The receipt. Raises the refusal if there is none; ``unavailable`` as long as nobody knows: the sweep goes on, and the same
        request asked again tells."""
        ends = time.monotonic() + timeout - ANSWER_WITHIN_S
        start = START_SALE if type_.body is Sell else START_BILL
        start = msgspec.structs.replace(start, facts=self._start_facts)
        started, _ = await self._journal.execute(start, command, timeout)
        assert isinstance(started, StartedPayment)
        end = await self._ended((command.instance, started.payment), ends - time.monotonic())
        if end.refusal is not None:
            raise error_of(end.refusal)
        assert end.receipt is not None
        return end.receipt, end.behind

    async def _start_facts(self, command: Command[Any], lookup: Lookup) -> StartFacts:
        sale = await (sale_facts if isinstance(command.body, Sell) else table_facts)(command, lookup)
        return StartFacts(sale, frozenset(self._ports))

    async def _ended(self, key: Key, left: float) -> End:
        task = self._take_up(key)
        if task is None:
            raise unavailable("overloaded")
        await asyncio.wait({task}, timeout=max(0.0, left))
        if not task.done() or task.cancelled() or task.exception() is not None:
            raise unavailable("payment_under_way", RETRY_AFTER_S, payment=key[1])
        return task.result()

    async def take_back(self, type_: CommandType, command: Command[Any], timeout: float) -> tuple[Receipt, bool]:
        """A void or refund: the receipt stands with its append; what was drawn is given back after it."""
        receipt, behind = await self._journal.execute(type_, command, timeout)
        assert isinstance(receipt, Receipt)
        if any(payment.type in DRAWN for payment in receipt.payments):
            self._give_back(command.instance, receipt.id)
        return receipt, behind

    # --- to the end -------------------------------------------------------------------------------------------------------------

    def _take_up(self, key: Key) -> asyncio.Task[End] | None:
        """The task that carries the payment to its end; None if too many are being worked at: the sweep will come back to it."""
        task = self._ending.get(key)
        if task is None and len(self._ending) < IN_HAND_MAX:
            task = self._ending[key] = asyncio.get_running_loop().create_task(self._to_its_end(key))
            task.add_done_callback(partial(self._settled, self._ending, key))
        return task

    async def _to_its_end(self, key: Key) -> End:
        payment, behind = await self._payment(key), False
        if payment.is_open:
            assert payment.started is not None
            refusal = await self._reserved(key, payment.started)
            if refusal is None:
                behind = await self._complete(key[0], payment, payment.started)
            else:
                await self._abandon(key, refusal)
            payment = await self._payment(key)
        if not payment.told:
            self._tell(key, self._told(key))
        if payment.refusal is not None:
            return End(refusal=payment.refusal)
        return End(receipt=await self._as_issued(key[0], payment.receipt), behind=behind)

    async def _reserved(self, key: Key, started: PaymentStarted) -> Refusal | None:
        """None if every account agreed, one after the other; else why the payment is to be abandoned. Raises Unanswered."""
        if self._clock.now() - started.at >= GIVE_UP_AFTER:
            return refusal_of(conflict("payment_given_up", payment=key[1]))
        for tender in started.tenders:
            answer = await self._asked(self._port(tender.type).reserve(self._tender(key[0], started, tender)))
            if isinstance(answer, Declined):
                return refusal_of(_declined(started, tender, answer))
        return None

    async def _complete(self, instance: int, payment: PaymentState, started: PaymentStarted) -> bool:
        """The same command for everybody who finishes this payment; what it decides stands in the payment's stream."""
        body = CompletePayment(payment=started.payment, sale=started.sale, bill=started.bill)
        principal = Principal(instance, started.staff, level="system")
        assert payment.id is not None
        command = Command(derived(payment.id, "complete"), started.at, principal, body)
        _, behind = await self._journal.execute(COMPLETE, command, STEP_WITHIN_S)
        return behind

    async def _abandon(self, key: Key, refusal: Refusal) -> None:
        await self._own(ABANDON, key, AbandonPayment(payment=key[1], refusal=refusal))

    async def _own(self, type_: CommandType, key: Key, body: Any) -> None:
        command = Command(uuid4(), self._clock.now(), system(key[0], "pos"), body)
        await self._journal.execute(type_, command, STEP_WITHIN_S)

    # --- afterwards -------------------------------------------------------------------------------------------------------------

    def _tell(self, key: Key, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Tells the accounts in a task of its own: nobody waits for it, and what fails is told again by the sweep."""
        task = self._telling.get(key)
        if task is not None or len(self._telling) >= IN_HAND_MAX:
            work.close()
            return task
        task = self._telling[key] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(partial(self._settled, self._telling, key))
        return task

    async def _told(self, key: Key) -> None:
        """Confirms or releases, in the order they were reserved."""
        payment = await self._payment(key)
        if payment.told or payment.is_open:
            return
        assert payment.started is not None
        for tender in payment.started.tenders:
            port = self._port(tender.type)
            told = port.confirm if payment.receipt else port.release
            await self._asked(told(self._tender(key[0], payment.started, tender)))
        await self._own(NOTE, key, NotePayment(payment=key[1]))

    def _give_back(self, instance: int, receipt: str) -> asyncio.Task[None] | None:
        return self._tell((instance, receipt), self._given_back(instance, receipt))

    async def _given_back(self, instance: int, receipt: str) -> None:
        """What a void or refund gives back, once the accounts know that it was taken at all."""
        back = await self._issued(instance, receipt)
        assert back.payment is not None
        key = instance, back.payment
        if (await self._payment(key)).told:
            return
        original = await self._issued(instance, back.voids or back.refunds or "")
        assert original.payment is not None
        await self._told((instance, original.payment))
        started = (await self._payment((instance, original.payment))).started
        assert started is not None
        of = {(tender.type, tender.reference): tender.id for tender in started.tenders}
        for ix, payment in enumerate(drawn(back.payments)):
            tender = DrawnTender(id=f"{back.payment}-{ix}", type=payment.type, amount=-payment.amount, reference=payment.reference)
            asked = msgspec.structs.replace(self._tender(instance, started, tender), payment=back.payment, staff=back.staff)
            await self._asked(self._port(payment.type).refund(asked, of[payment.type, payment.reference]))
        await self._own(NOTE, key, NotePayment(payment=back.payment, receipt=receipt))

    def _settled(self, working: dict[Key, Any], key: Key, task: asyncio.Task[Any]) -> None:
        working.pop(key, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            if working is self._telling:
                self._tries.pop(key, None)
            return
        if len(self._tries) >= IN_HAND_MAX:  # another process may have finished what failed here
            self._tries.clear()
        why = str(error) or repr(error)
        tries = self._tries.get(key, (0, ""))[0] + 1
        self._tries[key] = tries, why
        self.retries += 1
        say = log.error if tries >= ALARM_AFTER_TRIES else log.warning
        say("a payment waits for an account", instance=key[0], payment=key[1], tries=tries, error=why)

    @property
    def stuck(self) -> int:
        """Payments that were tried so often that somebody should look."""
        return sum(tries >= ALARM_AFTER_TRIES for tries, _ in self._tries.values())

    # --- accounts and log ---------------------------------------------------------------------------------------------------------

    def _port(self, kind: int) -> TenderPort:
        port = self._ports.get(kind)
        if port is None:
            raise Unanswered(f"no account is plugged in for payments of kind {kind}")
        return port

    def _tender(self, instance: int, started: PaymentStarted, tender: DrawnTender) -> Tender:
        return Tender(
            id=tender.id,
            instance=instance,
            payment=started.payment,
            type=tender.type,
            amount=tender.amount,
            currency=started.currency,
            staff=started.staff,
            reference=tender.reference,
            customer=_asked_for(started).customer,
        )

    async def _asked(self, question: Coroutine[Any, Any, T]) -> T:
        """The answer, if it comes in time; an account that does not let itself be stopped is left to itself. Raises Unanswered."""
        asked = asyncio.ensure_future(question)
        try:
            done, _ = await asyncio.wait({asked}, timeout=self._within)
            if not done:
                raise Unanswered(f"no answer within {self._within:g} s")
        finally:
            if not asked.done():
                asked.add_done_callback(_overheard)
                asked.cancel()
        if asked.cancelled():
            raise Unanswered("cancelled")
        if (error := asked.exception()) is not None:
            raise Unanswered(repr(error)) from error
        return asked.result()

    async def _payment(self, key: Key) -> PaymentState:
        state = PAYMENT.initial
        for event in await self._journal.read(key[0], PAYMENT.stream(key[1])):
            state = PAYMENT.evolve(state, event)
        return state

    async def _issued(self, instance: int, receipt: str) -> ReceiptIssued:
        first = (await self._journal.read(instance, RECEIPT.stream(receipt)))[0]
        issued: ReceiptIssued = first.data
        return issued

    async def _as_issued(self, instance: int, receipt: str) -> Receipt:
        """As it was on paper, whatever became of it since."""
        first = (await self._journal.read(instance, RECEIPT.stream(receipt)))[0]
        return receipt_of(RECEIPT.evolve(RECEIPT.initial, first))

    # --- what was left behind -----------------------------------------------------------------------------------------------------

    async def go_on(self, instance: int, payment: str, receipt: str | None) -> None:
        """Takes a payment that is not over one step further, or to its very end; ``receipt``: the one that gives back under it."""
        if receipt is not None:
            task: asyncio.Task[Any] | None = self._give_back(instance, receipt)
        else:
            task = self._take_up((instance, payment))
            if task is not None:
                await asyncio.wait({task})
            task = self._telling.get((instance, payment))
        if task is not None:
            await asyncio.wait({task})

    def waiting(self, instance: int) -> list[str]:
        """What the accounts say of each of an instance's payments that wait for them."""
        return [why for (of, _), (_, why) in self._tries.items() if of == instance]

    async def close(self) -> None:
        """Leaves what is being worked at to whoever starts next."""
        tasks = [*self._ending.values(), *self._telling.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _asked_for(started: PaymentStarted) -> Sell | PayTable:
    body = started.sale if started.sale is not None else started.bill
    assert body is not None, "a payment is for a sale or a bill"
    return body


def _declined(started: PaymentStarted, tender: DrawnTender, answer: Declined) -> DomainError:
    """Names the payment as the request did, and under which key it is known here."""
    asked = [(payment.type, payment.reference) for payment in _asked_for(started).payments]
    path = f"payments[{asked.index((tender.type, tender.reference))}]"
    params: dict[str, str | int] = {"type": tender.type, "payment": started.payment}
    match answer.reason:
        case "account_unknown":
            field = FieldError(path, "tender_account_unknown", params)
        case "account_blocked":
            field = FieldError(path, "tender_account_blocked", params)
        case "account_expired":
            field = FieldError(path, "tender_account_expired", params)
        case "balance_too_low":
            field = FieldError(path, "tender_balance_too_low", params)
        case _:
            field = FieldError(path, "tender_declined", params)
    return DomainError(Kind.UNPROCESSABLE, field.reason, params, fields=(field,))


def _overheard(late: asyncio.Future[Any]) -> None:
    """An answer that came after nobody waited for it any more; the account is asked again anyway."""
    if not late.cancelled() and (error := late.exception()) is not None:
        log.warning("an account failed too late", error=repr(error))
