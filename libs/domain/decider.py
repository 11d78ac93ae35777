"""Deciding is pure: ``decide(states, command, facts) -> Decision`` and ``evolve(state, recorded) -> state``. No I/O, no clock, no dice.

An *aggregate* is a kind of stream (``receipt``, ``tab``); one stream holds the events of one thing. A command names the streams it
needs; the batcher gives their states, the decider answers with what to write, all of it or nothing.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

import msgspec

from libs.domain.events import Event, Recorded
from libs.domain.principal import Principal

S = TypeVar("S")
B = TypeVar("B")


class Aggregate(msgspec.Struct, Generic[S], frozen=True):
    """A kind of stream. ``at_rest(state)`` tells that nothing before this point matters any more (a table that was paid and
    cleaned): the log remembers that version, and loading starts behind it."""

    name: str
    initial: S
    evolve: Callable[[S, Recorded], S]
    at_rest: Callable[[S], bool] | None = None

    def stream(self, key: str) -> str:
        return f"{self.name}-{key}"


class Command(msgspec.Struct, Generic[B], frozen=True):
    """What arrives: ``id`` (new things take their ids from it), ``at`` (stamped once at the gateway), who, and the body. ``client_at``:
    when it happened at a till that was cut off; ``number``: the number such a till gave the receipt. ``began``: when this attempt at it was
    made, on this process's monotonic clock, in seconds; of no interest to deciders."""

    id: UUID
    at: datetime
    principal: Principal
    body: B
    client_at: datetime | None = None
    number: int | None = None
    began: float = msgspec.field(default_factory=time.monotonic)

    @property
    def happened(self) -> datetime:
        return self.client_at or self.at

    @property
    def instance(self) -> int:
        return self.principal.instance


class StreamRef(msgspec.Struct, frozen=True):
    """A stream a command reads and may write. ``new``: it must not exist yet, so it is not loaded. ``reads``: it is never written by
    this command, so others that only read it can be decided beside it; it must not have moved when the command is appended all the same.
    ``name``: the stream's, made of the first two."""

    aggregate: Aggregate[Any]
    key: str
    new: bool = False
    reads: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "name", self.aggregate.stream(self.key))


class Claim(msgspec.Struct, frozen=True, order=True):
    """A value that one holder at a time may have within an instance: a user name, a table number. ``stream``: who holds it, of a command
    that writes several; without one the first stream it writes."""

    scope: str
    value: str
    stream: str = ""


class Decision(msgspec.Struct, frozen=True):
    """What follows from a command: events per stream (in the order they are to be numbered) and claims taken or given up."""

    writes: Mapping[str, Sequence[Event]]
    take: tuple[Claim, ...] = ()
    give_up: tuple[Claim, ...] = ()


States = Mapping[str, Any]


class RowsKept:
    """What a process may keep of ``service.table``, whose rows seldom change: some columns of the rows that a key finds, ``made`` into
    something once. ``by``: the column of the keys, as text. Compared by identity: one for every use, for good."""

    def __init__(self, table: str, columns: tuple[str, ...], made: Callable[[Sequence[Any]], Any], by: str = "key") -> None:
        self.service, self.name = table.split(".")
        self.table = table
        self.columns = columns
        self.made = made
        self.by = by


class Referrer(NamedTuple):
    """A column of ``service.table`` with IDs of rows that it refers to; ``by``: the column that names the resource they are of, or ""."""

    table: str
    column: str
    by: str = ""


class Lookup(Protocol):
    """Query tables as facts are loaded from them: many commands' look-ups share one statement."""

    def rows(
        self, table: str, instance: int, keys: Sequence[str], columns: tuple[str, ...], by: str = "key"
    ) -> Awaitable[Mapping[str, Sequence[Any]]]:
        """Rows of ``service.table`` by the text of a column; absent keys are absent from the answer."""
        ...

    def kept(self, what: RowsKept, instance: int, keys: Sequence[str]) -> Awaitable[Mapping[str, Any]]:
        """What was made of the rows of each key, as they are now; absent keys are absent from the answer."""
        ...

    async def referenced(self, table: str, column: str, instance: int, key: str, *, listed: bool = False) -> bool:
        """Whether any row of ``service.table`` has ``key`` in ``column``; ``listed``: among those in a column of lists."""
        ...

    async def referrers(
        self, referrers: tuple[Referrer, ...], instance: int, ids: Sequence[int], limit: int, *, named: str = ""
    ) -> Sequence[Sequence[int]]:
        """For each of these columns the IDs of rows that have one of ``ids`` in it, in order, at most about ``limit``; all are asked at
        once. ``named``: the resource that columns with a ``by`` have to name."""
        ...

    async def fetch(self, statement: Any, instance: int, *arguments: Any) -> list[Any]:
        """The rows of a statement on query tables."""
        ...

    async def draw(self, name: str, instance: int) -> int:
        """The next ID of a series: unique, not gapless."""
        ...


class CommandType(msgspec.Struct, frozen=True):
    """A command a service accepts, as ``cmd.<service>.<name>``.

    ``permission``: the right that is needed to write (empty: every principal of the instance).
    ``streams(command)``: the streams it reads and may write.
    ``complete(command, lookup)``: the command with what only query tables know (where an item stands), before its streams are named.
    What it fills in is no part of what a repeat must match, so a repeat is answered even when that has changed: ``reply`` of such a
    command rests on ``recorded`` and on states of streams that its body names without it.
    ``facts(command, lookup)``: what else the decision rests on, read before deciding.
    ``decide(states, command, facts)``: raises DomainError to refuse.
    ``reply(states, command, recorded)``: the answer, from the states after the command; also used when it is repeated later.
    """

    name: str
    body: type[Any]
    streams: Callable[[Command[Any]], tuple[StreamRef, ...]]
    decide: Callable[[States, Command[Any], Any], Decision]
    reply: Callable[[States, Command[Any], Sequence[Recorded]], Any]
    permission: str = ""
    facts: Callable[[Command[Any], Lookup], Awaitable[Any]] | None = None
    complete: Callable[[Command[Any], Lookup], Awaitable[Command[Any]]] | None = None
