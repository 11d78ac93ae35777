"""Histories as deciders make them: evenings at tables and tills, and records that come, change and go. The same seed, the same history."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

from libs.contracts.pos.commands import Item, RefundedItem
from libs.contracts.pos.documents import NoteHospitality, Reprint
from libs.contracts.pos.events import Hospitality, ReceiptIssued
from libs.contracts.pos.floor import (
    CancelLine,
    ChangeLine,
    MoveTable,
    PrintInterimBill,
    SetKitchenState,
    SplitItem,
    SplitTable,
    TransferTable,
)
from libs.contracts.pos.house import HouseSettings, HouseSettingsChanged
from libs.contracts.pos.signing import EndSigning
from libs.contracts.pos.tab_events import KitchenState
from libs.domain.decider import Command, CommandType
from libs.domain.errors import DomainError
from libs.domain.events import Recorded
from libs.domain.principal import system
from libs.projections.declare import Projection
from libs.projections.rows import Rows
from libs.records.engine import Change, Create, Delete, Records
from services.inventory.records import ARTICLES, GROUPS
from services.pos.documents import NOTE_HOSPITALITY, REPRINT
from services.pos.signing import END
from services.pos.tabs import tab_refs
from services.pos.tabs.waiting import HandOverFacts
from tests.unit.given import NOON, Outcome, given
from tests.unit.pos import inn
from tests.unit.pos.test_documents import SIGNATURE

INSTANCE = 17
TABLES = ("tbl_1", "tbl_clean")
Tables = dict[tuple[str, tuple[Any, ...]], dict[str, Any]]


def fold(made: Projection, events: Sequence[Recorded], cuts: Iterable[int] = ()) -> Tables:
    """The tables after batches that end at ``cuts``: a batch sees only the rows its handlers say they read."""
    stored: Tables = {}
    edges = [0, *sorted({cut % (len(events) + 1) for cut in cuts}), len(events)]
    for begin, end in pairwise(edges):
        rows = Rows()
        for event in events[begin:end]:
            handler = made.handlers.get(event.type)
            for table, key in handler[1](event) if handler and handler[1] else ():
                rows.seed(table, key, stored.get((table, key)))
        for event in events[begin:end]:
            if event.type in made.handlers:
                made.handlers[event.type][0](rows, event)
        for table, changed, dropped in rows.written():
            stored.update({(table, key): row for key, row in changed})
            for key in dropped:
                stored.pop((table, key), None)
    return stored


def evening(seed: int, steps: int = 25) -> list[Recorded]:
    """Orders, part payments, sales, voids, courses and cleaned tables; what a decider refuses does not happen."""
    dice = random.Random(seed)
    settings = HouseSettings(signing_unit=dice.choice(("", "sim")))
    at: Any = given(HouseSettingsChanged(settings=settings, staff="usr_1", at=NOON))
    for _ in range(steps):
        done = _step(dice, at) if dice.random() < 0.8 else _handed_over(dice, at)
        if done.error is None:
            at = done
    recorded: list[Recorded] = at.log.recorded
    return recorded


def _handed_over(dice: random.Random, at: Any) -> Outcome:
    """What happens to a receipt after its issue."""
    issued = [event.data.receipt for event in at.log.recorded if event.type == "receipt.issued"]
    receipt = dice.choice(issued or ["bon_none"])
    match dice.randrange(3):
        case 0:
            return at.when(REPRINT, Reprint(receipt=receipt))
        case 1:
            meal = Hospitality(occasion=dice.choice(("Abschluss", "Auftakt")), guests=("Ada",), host="Konrad")
            return at.when(NOTE_HOSPITALITY, NoteHospitality(receipt=receipt, hospitality=meal))
        case _:
            return at.when(END, EndSigning(receipt=receipt, signature=dice.choice((None, SIGNATURE)), reason="signer_failed"))


def _step(dice: random.Random, at: Any) -> Outcome:
    table = dice.choice(TABLES)
    things = [_thing(dice), _thing(dice)]
    if dice.random() < 0.4:
        return _floor(dice, at, table)
    match dice.randrange(12):
        case 0 | 1 | 2 | 3:
            return inn.order(at, table, *things)
        case 4 | 5:
            return inn.pay(at, table)
        case 6:
            return inn.pay(at, table, items=_part(dice, at, table))
        case 7:
            return inn.sell(*things, at=at, payments=(inn.card(),))
        case 8:
            issued = [event.data.receipt for event in at.log.recorded if event.type == "receipt.issued"]
            return at.when(inn.VOID, inn.VOID.body(receipt=dice.choice(issued or ["bon_none"])))
        case 9:
            issued = [event.data for event in at.log.recorded if event.type == "receipt.issued"]
            if issued:
                bill = dice.choice(issued)
                items = tuple(_some_of(dice, bill))
                return at.when(inn.REFUND, inn.REFUND.body(receipt=bill.receipt, items=items), permissions={"pos.voids": True})
            return inn.sell(*things, at=at)
        case _:
            if dice.random() < 0.5:
                return at.when(inn.CALL_COURSE, inn.CALL_COURSE.body(table=table, course=dice.choice((1, 2))), facts=inn.FACTS)
            return at.when(inn.MARK_CLEANED, inn.MARK_CLEANED.body(table=table), facts=inn.FACTS)


def _some_of(dice: random.Random, bill: ReceiptIssued) -> list[RefundedItem]:
    lines = dice.sample(bill.lines, dice.randint(1, len(bill.lines)))
    return [RefundedItem(line=line.id, quantity=dice.choice((None, Decimal("0.5")))) for line in lines]


def _floor(dice: random.Random, at: Any, table: str) -> Outcome:
    """What can be done with open items and their tables."""
    still_open = [line.line.id for line in at.log.state(tab_refs([table])[0]).open_lines()] or ["obn_none"]
    line, other = dice.choice(still_open), dice.choice(TABLES)
    quantity = dice.choice((None, Decimal("0.5"), Decimal(1)))
    body: Any
    match dice.randrange(8):
        case 0:
            body = MoveTable(table=table, target=other)
        case 1:
            body = SplitTable(table=table, items=(SplitItem(line=line, quantity=quantity),), target=other, seat=dice.choice((None, 2)))
        case 2:
            body = CancelLine(line=line, quantity=quantity, reason="kalt", table=table)
        case 3:
            body = ChangeLine(line=line, quantity=Decimal(dice.choice((1, 3))), reason="vertippt", note="heiß", table=table)
        case 4 | 5:
            state = dice.choice((KitchenState.PREPARING, KitchenState.READY, KitchenState.SERVED))
            body = SetKitchenState(line=line, state=state, table=table)
        case 6:
            body = PrintInterimBill(table=table)
        case _:
            return at.when(inn.HAND_OVER, TransferTable(table=table, waiter="usr_ben"), facts=HandOverFacts(inn.FACTS, True))
    type_ = next(type_ for type_ in inn.TYPES.values() if type_.body is type(body))
    return at.when(type_, body, facts=inn.FACTS)


def _thing(dice: random.Random) -> Item:
    return inn.item(dice.choice(("cola", "soup", "burger")), dice.choice(("1", "2", "0.5")), course=dice.choice((None, 1, 2)))


def _part(dice: random.Random, at: Any, table: str) -> list[tuple[str, str | None]]:
    orders = [event.data for event in at.log.recorded if event.type == "tab.order_placed" and event.data.table == table]
    ordered = [line.id for order in orders for line in order.lines]
    chosen = dice.sample(ordered, min(len(ordered), 2)) or ["obn_none"]
    return [(line, dice.choice((None, "0.5", "1"))) for line in chosen]


class RecordLog:
    """Records of one service as its log would hold them."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self._states: dict[str, Any] = {}
        self._ids: dict[str | None, int] = {}

    def do(self, type_: CommandType, body: Any, id_: UUID, facts: Any = ()) -> Any:
        """The command's answer. Raises its refusal."""
        command = Command(id_, NOON, system(INSTANCE, "records"), body)
        refs = type_.streams(command)
        states = {ref.name: self._states.get(ref.name, ref.aggregate.initial) for ref in refs}
        decision = type_.decide(states, command, facts)
        for stream, events in decision.writes.items():
            aggregate = next(ref.aggregate for ref in refs if ref.name == stream)
            for event in events:
                number = self._ids[event.series()] = self._ids.get(event.series(), 0) + 1
                version = sum(earlier.stream == stream for earlier in self.recorded) + 1
                numbered = number if event.series() else None
                made = Recorded(INSTANCE, len(self.recorded) + 1, stream, version, id_, event.TYPE, event, NOON, numbered, "usr_anna")
                self.recorded.append(made)
                states[stream] = self._states[stream] = aggregate.evolve(states[stream], made)
        return type_.reply(states, command, self.recorded)


def commands_of(records: Records) -> dict[str, CommandType]:
    """``create``, ``change`` and ``delete`` of a record type."""
    return {type_.name.rpartition(".")[2]: type_ for type_ in records.commands()}


def stock_taking(seed: int, steps: int = 30) -> list[Recorded]:
    """Article groups and articles made, changed and deleted."""
    dice, log = random.Random(seed), RecordLog()
    keys: dict[Records, list[str]] = {GROUPS: [], ARTICLES: []}
    for _ in range(steps):
        records = dice.choice((GROUPS, ARTICLES))
        types, own = commands_of(records), keys[records]
        id_ = UUID(int=dice.getrandbits(128))
        try:
            match dice.randrange(5):
                case 0 | 1:
                    own.append(log.do(types["create"], Create(values=_values(dice, records, keys)), id_).key)
                case 2 | 3:
                    log.do(types["change"], Change(key=dice.choice(own or ["x"]), values=_changes(dice, records, keys)), id_)
                case _:
                    log.do(types["delete"], Delete(key=dice.choice(own or ["x"])), id_, facts=False)
        except DomainError:
            continue
    return log.recorded


def _values(dice: random.Random, records: Records, keys: dict[Records, list[str]]) -> dict[str, Any]:
    if records is GROUPS:
        return {"name": f"Gruppe {dice.randint(1, 9)}", "sort_order": dice.randint(0, 5)}
    options = [{"id": "x", "name": "extra", "price": "1.20"}] if dice.random() < 0.5 else []
    price = str(Decimal(dice.randint(1, 2_000)).scaleb(-2))
    return {"name": "Ware", "price": price, "tax_class": 0, "group_key": dice.choice(keys[GROUPS] or ["artgrp_none"]), "options": options}


def _changes(dice: random.Random, records: Records, keys: dict[Records, list[str]]) -> dict[str, Any]:
    given_ = {**_values(dice, records, keys), "is_active": dice.choice((True, False, None)), "colour": dice.choice((None, "rot"))}
    return {name: given_[name] for name in dice.sample(list(given_), 2)}
