"""A record as its stream's events make it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from libs.domain.decider import Aggregate
from libs.domain.events import Event, Recorded
from libs.domain.records import RecordEvents, RecordType, RecordView, chosen_id


class RecordState(msgspec.Struct, frozen=True):
    """``version`` 0: never created. A deleted record keeps its values: what was done with it stays readable."""

    key: str = ""
    id: int = 0
    version: int = 0
    deleted: bool = False
    creator: str = ""
    created_at: datetime | None = None
    changed_at: datetime | None = None
    values: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return self.version > 0 and not self.deleted

    def view(self) -> RecordView:
        assert self.created_at is not None
        assert self.changed_at is not None
        return RecordView(
            key=self.key,
            id=self.id,
            version=self.version,
            created_at=self.created_at,
            changed_at=self.changed_at,
            creator=self.creator,
            values=self.values,
        )


def named_values(data: Event) -> dict[str, Any]:
    """The fields that an event names."""
    return {name: value for name in data.__struct_fields__ if (value := getattr(data, name)) is not UNSET}


def aggregate(record: RecordType, events: RecordEvents) -> Aggregate[RecordState]:
    blank = {field.name: field.default for field in record.kept}
    prefix = len(record.name) + 1

    def evolve(state: RecordState, event: Recorded) -> RecordState:
        if isinstance(event.data, events.created):
            return RecordState(
                key=event.stream[prefix:],
                id=event.number or chosen_id(event.data) or int(event.stream[prefix:]),
                version=event.version,
                creator=event.actor,
                created_at=event.at,
                changed_at=event.at,
                values={**blank, **named_values(event.data)},
            )
        if isinstance(event.data, events.changed):
            values = {**state.values, **named_values(event.data)}
            return msgspec.structs.replace(state, version=event.version, changed_at=event.at, values=values)
        return msgspec.structs.replace(state, version=event.version, changed_at=event.at, deleted=True)

    return Aggregate(record.name, RecordState(), evolve)
