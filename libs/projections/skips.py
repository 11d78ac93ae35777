"""Events that an operator lets a projection pass over: the decision is itself an event in the log, so a rebuild and a proof follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from libs.domain.decider import Aggregate, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.domain.events import Event, Recorded, event

REASON_MAX_CHARS: Final = 500
POSITION_MAX: Final = 2**53
OPERATORS_ONLY: Final = "projections"  # a right that nobody but Theke itself has


@event("projection.skipped")
class ProjectionSkipped(Event, frozen=True, kw_only=True):
    """The event at ``position`` of this log has no effect in this revision of a projection; a later revision tries it again."""

    projection: str
    revision: int
    position: int
    reason: str = ""


class Skip(msgspec.Struct, frozen=True, kw_only=True):
    projection: str
    revision: int
    position: int
    reason: str = ""


class Skipped(msgspec.Struct, frozen=True):
    """``position`` of the log in which the skip is written down."""

    position: int


Known = frozenset[tuple[str, int, int]]


def evolve(known: Known, recorded: Recorded) -> Known:
    skipped: ProjectionSkipped = recorded.data
    return known | {(skipped.projection, skipped.revision, skipped.position)}


SKIPS: Final[Aggregate[Known]] = Aggregate("projections", frozenset(), evolve)
STREAM: Final = SKIPS.stream("skips")


def _streams(_: Command[Skip]) -> tuple[StreamRef, ...]:
    return (StreamRef(SKIPS, "skips"),)


def decide(states: States, command: Command[Skip], _: Any) -> Decision:
    body = command.body
    if command.principal.level != "system":
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": OPERATORS_ONLY})
    if not 1 <= body.position <= POSITION_MAX:
        raise invalid(FieldError("position", "out_of_range", {"min": 1, "max": POSITION_MAX}))
    if len(body.reason) > REASON_MAX_CHARS:
        raise invalid(FieldError("reason", "too_long", {"max": REASON_MAX_CHARS}))
    if (body.projection, body.revision, body.position) in states[STREAM]:
        return Decision({})
    skipped = ProjectionSkipped(projection=body.projection, revision=body.revision, position=body.position, reason=body.reason)
    return Decision({STREAM: [skipped]})


def reply(_: States, command: Command[Skip], recorded: Sequence[Recorded]) -> Skipped:
    return Skipped(recorded[0].position if recorded else 0)


SKIP: Final = CommandType("projection.skip", Skip, _streams, decide, reply, OPERATORS_ONLY)


def known(events: Sequence[Recorded]) -> dict[int, Known]:
    """What is skipped, by instance."""
    found: dict[int, Known] = {}
    for recorded in events:
        found[recorded.instance] = evolve(found.get(recorded.instance, frozenset()), recorded)
    return found
