"""Tests as the trade tells them: given these events, when this command, then those events, or a refusal.

An in-memory log stands in for the real one: it numbers positions, versions and series alike and sends every event through JSON,
so a struct that does not survive the log fails here.

    given(OrderPlaced(…)).when(PAY_TABLE, PayTable(table="tbl_1"), facts=facts).then(ReceiptIssued(…), LinesPaid(…))
    given().when(SELL, Sell(items=()), facts=facts).refused(Kind.INVALID, "invalid_fields", "items")
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec

from libs.domain.decider import Command, CommandType, Decision, StreamRef
from libs.domain.errors import DomainError, Kind
from libs.domain.events import Event, Recorded
from libs.domain.ids import derived
from libs.domain.principal import Principal

INSTANCE = 17
STAFF = "usr_anna"
NOON = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
COMMANDS = UUID("0f6f4a52-95c1-5d0a-8a63-0d6d3c2f7a10")
KEY_FIELDS = {"tab": "table", "z_report": "report"}  # the field that names an event's stream, where it is not called like the aggregate


HOUSE = {"house", "shift", "day"}  # all in one stream


def stream_of(event: Event) -> str:
    aggregate = event.TYPE.split(".", 1)[0]
    if aggregate in HOUSE:
        return "house-main"
    return f"{aggregate}-{getattr(event, KEY_FIELDS.get(aggregate, aggregate))}"


def through_json(event: Event) -> Event:
    return msgspec.json.decode(msgspec.json.encode(event), type=type(event))


class Log:
    """Events in order, as the real log would number them."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self._series: dict[str, int] = defaultdict(int)
        self._versions: dict[str, int] = defaultdict(int)

    def append(self, stream: str, event: Event, at: datetime, actor: str, command: UUID, ordinal: int) -> Recorded:
        self._versions[stream] += 1
        series = event.series()
        if series is not None:
            self._series[series] += 1
        recorded = Recorded(
            instance=INSTANCE,
            position=len(self.recorded) + 1,
            stream=stream,
            version=self._versions[stream],
            id=derived(command, ordinal),
            type=event.TYPE,
            data=through_json(event),
            at=at,
            number=self._series[series] if series is not None else None,
            actor=actor,
            command=command,
            schema_version=event.VERSION,
        )
        self.recorded.append(recorded)
        return recorded

    def state(self, ref: StreamRef, up_to: int | None = None) -> Any:
        state = ref.aggregate.initial
        for recorded in self.recorded[:up_to]:
            if recorded.stream == ref.name:
                state = ref.aggregate.evolve(state, recorded)
        return state

    def states(self, refs: Sequence[StreamRef], up_to: int | None = None) -> dict[str, Any]:
        return {ref.name: self.state(ref, up_to) for ref in refs}


class Outcome:
    """What became of a command. Go on with ``when`` on the same log."""

    def __init__(
        self, log: Log, type_: CommandType, command: Command[Any], recorded: Sequence[Recorded], error: DomainError | None
    ) -> None:
        self.log = log
        self.type = type_
        self.command = command
        self.recorded = recorded
        self.error = error
        self._head = len(log.recorded)
        self._reply = None if error else self.repeated()

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(recorded.data for recorded in self.recorded)

    @property
    def reply(self) -> Any:
        assert self.error is None, f"refused: {self.error}"
        return self._reply

    def repeated(self) -> Any:
        """The answer to a repeat of the command, however much has happened since."""
        states = self.log.states(self.type.streams(self.command), self._head)
        return self.type.reply(states, self.command, self.recorded)

    def then(self, *events: Event) -> Outcome:
        assert self.error is None, f"refused: {self.error}"
        assert self.events == events
        return self

    def refused(self, kind: Kind, reason: str, *paths: str) -> Outcome:
        """Refused for this reason; with ``paths`` exactly these fields were named. A field may be given as ``path: reason``."""
        assert self.error is not None, f"accepted: {self.events}"
        assert (self.error.kind, self.error.reason) == (kind, reason), str(self.error)
        if paths:
            named = [f"{field.path}: {field.reason}" for field in self.error.fields]
            assert len(named) == len(paths), named
            assert all(name == path or name.startswith(f"{path}: ") for name, path in zip(named, paths, strict=True)), named
        return self

    def when(self, type_: CommandType, body: Any, **how: Any) -> Outcome:
        return Given(self.log).when(type_, body, **how)


class Given:
    def __init__(self, log: Log) -> None:
        self.log = log

    def when(
        self,
        type_: CommandType,
        body: Any,
        *,
        facts: Any = None,
        at: datetime = NOON,
        by: str = STAFF,
        permissions: Mapping[str, bool] | None = None,
        id: UUID | None = None,
    ) -> Outcome:
        """Decides and, if not refused, appends. Without ``id`` every place in the log makes a command of its own."""
        id = id or uuid5(COMMANDS, f"{type_.name} {len(self.log.recorded)}")
        command = Command(id, at, Principal(INSTANCE, by, permissions=permissions or {}), through_wire(type_, body))
        refs = type_.streams(command)
        assert len({ref.name for ref in refs}) == len(refs), "a stream is named twice"
        try:
            decision = type_.decide(self.log.states(refs), command, facts)
        except DomainError as error:
            return Outcome(self.log, type_, command, (), error)
        return Outcome(self.log, type_, command, self._append(decision, command, refs), None)

    def _append(self, decision: Decision, command: Command[Any], refs: Sequence[StreamRef]) -> list[Recorded]:
        known = {ref.name for ref in refs}
        recorded: list[Recorded] = []
        for stream, events in decision.writes.items():
            assert stream in known, f"{stream} was not asked for"
            for event in events:
                assert stream == stream_of(event), f"{event.TYPE} does not belong into {stream}"
                actor = command.principal.user
                recorded.append(self.log.append(stream, event, command.at, actor, command.id, len(recorded)))
        return recorded


def through_wire(type_: CommandType, body: Any) -> Any:
    """A body as the bus delivers it."""
    return msgspec.json.decode(msgspec.json.encode(body), type=type_.body)


def given(*events: Event, at: datetime = NOON, by: str = STAFF) -> Given:
    """A log in which these events have happened, each in the stream it belongs to."""
    log = Log()
    for event in events:
        command = uuid5(COMMANDS, f"given {len(log.recorded)}")
        log.append(stream_of(event), event, at, by, command, 0)
    return Given(log)
