"""What else follows when records are written: effects, decided in the same append as the write itself.

An effect hears of every write of some types of records of a service, whether a client asked for it or a delete took it along. It works
in three steps, as any command does:

    streams   what it needs beside the records themselves, looked up before the command is decided; a look-up may be stale
    facts     what else the decision rests on
    decide    pure: other records' fields that change, events of streams of its own, or a refusal

What is counted over many records (what was paid, what is in stock) is never summed up from look-ups, which may be stale: the effect keeps
a *tally*, a stream of its own that every such write appends to. Its state is exact, and two writes that count for the same tally wait for
each other. What an effect changes is heard by no other effect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from libs.domain.decider import Aggregate, Lookup, States
from libs.domain.errors import unavailable
from libs.domain.events import Event
from libs.domain.fields import INT64_MAX

Values = Mapping[str, Any]
NOTHING: Final[Mapping[Any, Any]] = {}


class Pending(msgspec.Struct, frozen=True):
    """A write that has not been decided: ``values`` as its caller named them, unchecked; None if the record goes. ``new``: it is being
    made."""

    record: str
    id: int
    values: Values | None
    new: bool = False

    def reference(self, name: str) -> int | None:
        """The ID that the write itself names, if it may be one."""
        return row_id((self.values or NOTHING).get(name))


class Write(msgspec.Struct, frozen=True):
    """A write that was decided: all kept fields before and after it; None: there was no such record, or there is none any more."""

    record: str
    id: int
    before: Values | None
    after: Values | None

    def changed(self, *fields: str) -> bool:
        before, after = self.before or NOTHING, self.after or NOTHING
        return any(before.get(name) != after.get(name) for name in fields)


class Also(msgspec.Struct, frozen=True):
    """A stream that an effect needs: of a record, by its name and ID, or a tally. ``reads``: it writes nothing there."""

    aggregate: str
    key: str
    reads: bool = False


class Follows(msgspec.Struct, frozen=True):
    """What follows: fields of other records, or of the written ones, by record and ID; events by stream."""

    changes: Mapping[tuple[str, int], Values] = msgspec.field(default_factory=dict)
    events: Mapping[str, Sequence[Event]] = msgspec.field(default_factory=dict)


class Effect(ABC):
    """Base of all effects. ``name`` tells them apart; ``hears`` names records, ``tallies`` the kinds of streams that are its own."""

    name: str
    hears: frozenset[str]
    tallies: tuple[Aggregate[Any], ...] = ()

    @abstractmethod
    async def streams(self, lookup: Lookup, instance: int, pending: Sequence[Pending]) -> Sequence[Also]:
        """Raises DomainError if there would be too many."""

    async def facts(self, lookup: Lookup, instance: int, pending: Sequence[Pending]) -> Any:
        return None

    @abstractmethod
    def decide(self, states: States, writes: Sequence[Write], facts: Any, at: datetime) -> Follows:
        """Raises DomainError to refuse the whole command."""


def needed(states: States, stream: str) -> Any:
    """Raises ``row_moved``: by now something else is needed than when it was looked up. Whoever repeats the command gets further."""
    if stream not in states:
        raise unavailable("row_moved")
    return states[stream]


def row_id(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= INT64_MAX else None
