"""Commands that tills recorded while they were cut off. Each is a command like any other, with an id made from the till's own: sent again,
it is the same command. A bad one is answered as refused and holds nobody up; what happened at one table keeps its order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from libs.bus.server import Request
from libs.bus.subjects import Call, subject_name
from libs.contracts.pos.commands import Order, PayTable, PlaceOrder, Receipt, RefundReceipt, Sell, VoidReceipt
from libs.contracts.pos.permissions import ORDERS
from libs.contracts.pos.sync import CLIENT_AHEAD_MAX, CLIENT_BEHIND_MAX, ITEMS_PER_REQUEST_MAX, Refusal, Sync, SyncAnswer, Synced, SyncItem
from libs.domain.decider import Command, CommandType
from libs.domain.errors import DomainError, FieldError, Kind, invalid, unprocessable
from libs.domain.ids import command_id, key_of
from libs.domain.principal import Principal
from libs.runtime.dispatcher import decoded, principal_of
from libs.runtime.service import Host
from services.pos import receipts, tabs, taking_back
from services.pos.faults import known_as
from services.pos.tabs import line_keys
from services.pos.tender import DRAWN

log = structlog.get_logger(__name__)

TYPES: Final[Mapping[str, CommandType]] = {
    kind: next(type_ for type_ in (*tabs.COMMANDS, *receipts.COMMANDS, *taking_back.COMMANDS) if type_.name == name)
    for kind, name in {
        "sell": "receipt.sell",
        "place_order": "tab.place_order",
        "pay_table": "receipt.pay_table",
        "void": "receipt.void",
        "refund": "receipt.refund",
    }.items()
}
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_REFERENCE: Final = re.compile(r"@([A-Za-z0-9_.:-]{1,64})(?:/(\d{1,4}))?")


def id_of(instance: int, register: str, client_id: str) -> UUID:
    """The same for the same till's command, whoever brings it in and however often."""
    return command_id(instance, f"register {register}", "sync", client_id)


class Offline:
    def __init__(self, host: Host) -> None:
        self._host = host

    def register(self) -> None:
        self._host.server.register(Call.COMMAND, subject_name("till.sync"), self.sync)

    async def sync(self, request: Request) -> bytes:
        """Everything that does not depend on each other at once; what does, one after the other. Raises ``unavailable`` if any item may
        or may not have been done, once nothing of it is under way any more: then all of it is to be sent again, which is harmless."""
        asked: Sync = decoded(request.body, Sync)
        principal = principal_of(request)
        if not principal.may(ORDERS, write=True):
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": ORDERS})
        if len(asked.items) > ITEMS_PER_REQUEST_MAX:
            raise invalid(FieldError("items", "too_many", {"max": ITEMS_PER_REQUEST_MAX}))
        bodies = [_resolved(decoded(item.body, TYPES[item.kind].body), principal.instance, asked.register) for item in asked.items]
        lanes = _lanes(asked, bodies, principal.instance)
        answers: list[Synced | None] = [None] * len(asked.items)

        async def run(lane: Sequence[int]) -> None:
            for ix in lane:
                answers[ix] = await self._one(asked.items[ix], bodies[ix], asked.register, principal, request)

        for ended in await asyncio.gather(*(run(lane) for lane in lanes), return_exceptions=True):
            if ended is not None:
                raise ended
        return msgspec.msgpack.encode(SyncAnswer(items=tuple(answer for answer in answers if answer is not None)))

    async def _one(self, item: SyncItem, body: Any, register: str, principal: Principal, request: Request) -> Synced:
        try:
            _check(item, request)
            _check_payments(body)
            id_ = id_of(principal.instance, register, item.id)
            happened = min(item.client_at, request.at)
            command = Command(id_, request.at, principal, body, happened, item.number, began=request.began)
            answer, _ = await self._host.dispatcher.execute(TYPES[item.kind], command, timeout=request.left())
        except DomainError as error:
            if error.kind in (Kind.UNAVAILABLE, Kind.RATE_LIMITED):
                raise
            refusal = Refusal(kind=str(error.kind), reason=error.reason, params=dict(error.params), fields=error.fields)
            return Synced(id=item.id, refusal=refusal)
        if isinstance(answer, Order):
            return Synced(id=item.id, order=answer)
        assert isinstance(answer, Receipt)
        return Synced(id=item.id, receipt=answer)


def _check(item: SyncItem, request: Request) -> None:
    """What only a till that was cut off can get wrong. A clock that is a little fast is taken for now."""
    if not _ID.fullmatch(item.id):
        raise invalid(FieldError("id", "not_a_key"))
    if item.client_at > request.at + CLIENT_AHEAD_MAX:
        raise invalid(FieldError("client_at", "in_the_future"))
    if item.client_at < request.at - CLIENT_BEHIND_MAX:
        raise invalid(FieldError("client_at", "too_long_ago", {"max": CLIENT_BEHIND_MAX.days}))


def _check_payments(body: Any) -> None:
    """An account elsewhere could not be asked when the guest paid, and may say no now."""
    if not isinstance(body, Sell | PayTable):
        return
    for ix, payment in enumerate(body.payments):
        if payment.type in DRAWN:
            params = {"type": payment.type}
            raise unprocessable(
                "payment_type_not_offline", FieldError(f"payments[{ix}].type", "payment_type_not_offline", params), **params
            )


def _lanes(asked: Sync, bodies: Sequence[Any], instance: int) -> list[list[int]]:
    """Places in the request whose commands depend on each other, in their order: those of one table, and a receipt with what takes it
    back."""
    lanes: dict[str, list[int]] = {}
    lane_of_receipt: dict[str, str] = {}
    for ix, (item, body) in enumerate(zip(asked.items, bodies, strict=True)):
        own = key_of("bon", id_of(instance, asked.register, item.id))
        match body:
            case PlaceOrder(table=table) | PayTable(table=table):
                lane = f"table {table}"
            case VoidReceipt(receipt=receipt) | RefundReceipt(receipt=receipt):
                lane = lane_of_receipt.get(receipt, f"receipt {receipt}")
            case _:
                lane = f"receipt {own}"
        lane_of_receipt[own] = lane
        lanes.setdefault(lane, []).append(ix)
    return list(lanes.values())


def _resolved(body: Any, instance: int, register: str) -> Any:
    """References to what was made offline, as the keys it has or will have."""
    replace = msgspec.structs.replace

    def key(text: str, prefix: str) -> str:
        found = _REFERENCE.fullmatch(text)
        if found is None:
            return text
        id_ = id_of(instance, register, found[1])
        return key_of(prefix, id_) if found[2] is None else line_keys(id_, 0)(int(found[2]))

    match body:
        case PayTable(items=items) if items is not None:
            return replace(body, items=tuple(replace(item, line=key(item.line, "obn")) for item in items))
        case VoidReceipt(receipt=receipt):
            return replace(body, receipt=key(receipt, "bon"))
        case RefundReceipt(receipt=receipt, items=items):
            items = None if items is None else tuple(replace(item, line=key(item.line, "obn")) for item in items)
            return replace(body, receipt=key(receipt, "bon"), items=items)
    assert isinstance(body, PlaceOrder | Sell | PayTable), known_as(type(body).__name__)
    return body
