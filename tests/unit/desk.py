"""ERP records without a database: a family's commands run whole (looked up, decided, appended) on an in-memory log.

    desk = Desk(FAMILY)
    invoice = desk.create("transaction", type=3, netamount="100", …)
    desk.create("ledger_payment", transaction=invoice, amount="100", status=1)
    assert desk.row("transaction", invoice)["status"] == 20

Rows of other services are there whenever they are asked for. ``seen`` makes look-ups stale: they show what the first so many events made.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid5

from libs.domain.decider import Command, CommandType, Referrer, StreamRef
from libs.domain.errors import DomainError, conflict
from libs.domain.events import Event, Recorded
from libs.domain.ids import derived
from libs.domain.principal import Principal, system
from libs.records.numbered import Change, Create, Delete, Dropped, Family, Forget, Numbered, Written
from libs.records.state import RecordState
from tests.unit.given import COMMANDS, INSTANCE, NOON, through_json

T = TypeVar("T")


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("something was waited for")


class Desk:
    def __init__(self, family: Family, foreign: Mapping[str, Mapping[int, Mapping[str, Any]]] | None = None) -> None:
        """``foreign``: rows of other services by table and ID."""
        self.family = family
        self.foreign = foreign or {}
        self.commands = {command.name: command for command in family.commands()}
        self.recorded: list[Recorded] = []
        self.claims: dict[tuple[str, str], str] = {}
        self.seen: int | None = None
        self.at = NOON
        self._tables: dict[str, Numbered] = {f"{family.service}.{one.type.table}": one for one in family.members}
        self._drawn = 0

    # what somebody does

    def create(self, record: str, id: int | None = None, **values: Any) -> int:
        written: Written = self.do(f"{record}.create", Create(values=values, id=id))
        return written.id

    def change(self, record: str, id: int, **values: Any) -> Written:
        written: Written = self.do(f"{record}.change", Change(id=id, values=values))
        return written

    def delete(self, record: str, id: int) -> Dropped:
        dropped: Dropped = self.do(f"{record}.delete", Delete(id=id))
        return dropped

    def forget(self, resource: str, *ids: int) -> Dropped:
        dropped: Dropped = self.do("erp.forget", Forget(resource=resource, ids=ids))
        return dropped

    def do(self, name: str, body: Any, principal: Principal | None = None, at: datetime | None = None) -> Any:
        """The answer. Raises the refusal."""
        type_ = self.commands[name]
        id_ = uuid5(COMMANDS, f"{name} {len(self.recorded)} {self._drawn}")
        command = Command(id_, at or self.at, principal or system(INSTANCE, self.family.service), body)
        if type_.complete is not None:
            command = at_once(_awaited(type_.complete(command, self)))
        facts = at_once(_awaited(type_.facts(command, self))) if type_.facts is not None else None
        recorded = self._decided(type_, command, facts, id_)
        return type_.reply({ref.name: self.state(ref) for ref in type_.streams(command)}, command, recorded)

    def refused(self, name: str, body: Any) -> DomainError:
        """The refusal of a command, which changed nothing."""
        before = len(self.recorded)
        try:
            done = self.do(name, body)
        except DomainError as error:
            assert len(self.recorded) == before
            return error
        raise AssertionError(f"accepted: {done}")

    def _decided(self, type_: CommandType, command: Command[Any], facts: Any, id_: UUID) -> list[Recorded]:
        refs = type_.streams(command)
        assert len({ref.name for ref in refs}) == len(refs), "a stream is named twice"
        decision = type_.decide({ref.name: self.state(ref) for ref in refs}, command, facts)
        writable = {ref.name for ref in refs if not ref.reads}
        assert decision.writes.keys() <= writable, decision.writes.keys() - writable
        assert not {claim for claim in decision.take if claim in decision.give_up}
        for claim in decision.take:
            if (claim.scope, claim.value) in self.claims:
                raise conflict("claim_taken", scope=claim.scope, value=claim.value)
        for claim in decision.give_up:
            assert self.claims.pop((claim.scope, claim.value)) == claim.stream, claim
        self.claims |= {(claim.scope, claim.value): claim.stream for claim in decision.take}
        recorded: list[Recorded] = []
        for stream, events in decision.writes.items():
            recorded += [self._append(stream, event, command, len(recorded) + ix) for ix, event in enumerate(events)]
        return recorded

    def _append(self, stream: str, event: Event, command: Command[Any], ordinal: int) -> Recorded:
        recorded = Recorded(
            instance=INSTANCE,
            position=len(self.recorded) + 1,
            stream=stream,
            version=1 + sum(one.stream == stream for one in self.recorded),
            id=derived(command.id, ordinal),
            type=event.TYPE,
            data=through_json(event),
            at=command.at,
            actor=command.principal.user,
            command=command.id,
        )
        self.recorded.append(recorded)
        return recorded

    # what is there

    def state(self, ref: StreamRef, up_to: int | None = None) -> Any:
        state = ref.aggregate.initial
        for event in self.recorded[:up_to]:
            if event.stream == ref.name:
                state = ref.aggregate.evolve(state, event)
        return state

    def row(self, record: str, id: int) -> dict[str, Any]:
        """All kept fields of a record that is there."""
        (member,) = [one for one in self.family.members if one.type.name == record]
        state: RecordState = self.state(member.ref(id))
        assert state.exists, f"{record} {id} is not there"
        return state.values

    def rows_of(self, record: str) -> dict[int, dict[str, Any]]:
        (member,) = [one for one in self.family.members if one.type.name == record]
        return self._all(member, None)

    def _all(self, member: Numbered, up_to: int | None) -> dict[int, dict[str, Any]]:
        states: dict[int, RecordState] = {}
        for event in self.recorded[:up_to]:
            name, _, key = event.stream.rpartition("-")
            if name == member.type.name:
                states[int(key)] = member.aggregate.evolve(states.get(int(key), member.aggregate.initial), event)
        return {id_: state.values for id_, state in states.items() if state.exists}

    # the look-up

    def _shown(self, table: str) -> Sequence[dict[str, Any]] | None:
        member = self._tables.get(table)
        if member is None:
            return None
        columns = {field.name: field.column for field in member.type.kept}
        found = self._all(member, self.seen)
        return [{"id": id_, **{columns[name]: value for name, value in row.items()}} for id_, row in found.items()]

    async def rows(
        self, table: str, instance: int, keys: Sequence[str], columns: tuple[str, ...], by: str = "key"
    ) -> Mapping[str, Sequence[Any]]:
        shown = self._shown(table)
        if shown is None:
            there = self.foreign.get(table)
            if there is None:
                return {key: [{**dict.fromkeys(columns), by: int(key)}] for key in keys}
            return {key: [{**dict.fromkeys(columns), "id": int(key), **there[int(key)]}] for key in keys if int(key) in there}
        found = {key: [row for row in shown if str(row[by]) == key] for key in keys}
        return {key: rows for key, rows in found.items() if rows}

    async def referrers(
        self, referrers: tuple[Referrer, ...], instance: int, ids: Sequence[int], limit: int, *, named: str = ""
    ) -> list[list[int]]:
        return [
            sorted(row["id"] for row in self._shown(table) or () if row[column] in ids and (not by or row[by] == named))[:limit]
            for table, column, by in referrers
        ]

    async def referenced(self, table: str, column: str, instance: int, key: str, *, listed: bool = False) -> bool:
        return any(str(row[column]) == key for row in self._shown(table) or ())

    async def fetch(self, statement: Any, instance: int, *arguments: Any) -> list[Any]:
        raise AssertionError(f"no database: {statement.text}")

    async def draw(self, name: str, instance: int) -> int:
        self._drawn += 1
        return self._drawn


async def _awaited(work: Any) -> Any:
    return await work
