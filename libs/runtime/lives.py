"""The command that writes down that a log began a new life (``libs/contracts/lives.py``); every service has it, for Theke alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from libs.contracts.lives import REASON_MAX_CHARS, BeginLife, Begun, LifeBegan
from libs.domain.decider import Aggregate, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.domain.events import Recorded
from libs.domain.ids import instance_token

OPERATORS_ONLY: Final = "log"  # a right that nobody but Theke itself has

Lives = tuple[LifeBegan, ...]


def evolve(lives: Lives, recorded: Recorded) -> Lives:
    return (*lives, recorded.data)


LOG: Final[Aggregate[Lives]] = Aggregate("log", (), evolve)


def stream(service: str, instance: int) -> str:
    """The stream of a log's lives, in the log itself and in that of the installation."""
    return LOG.stream(_name(service, instance))


def _name(service: str, instance: int) -> str:
    return f"{service}-{instance_token(instance)}"


def _streams(command: Command[BeginLife]) -> tuple[StreamRef, ...]:
    return (StreamRef(LOG, _name(command.body.service, command.body.instance)),)


def decide(states: States, command: Command[BeginLife], _: Any) -> Decision:
    body = command.body
    if command.principal.level != "system":
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": OPERATORS_ONLY})
    if len(body.reason) > REASON_MAX_CHARS:
        raise invalid(FieldError("reason", "too_long", {"max": REASON_MAX_CHARS}))
    own = stream(body.service, body.instance)
    known: Lives = states[own]
    if any(began.life == body.life for began in known):
        return Decision({})
    began = LifeBegan(service=body.service, instance=body.instance, life=body.life, behind=body.behind, lost=body.lost, reason=body.reason)
    return Decision({own: [began]})


def reply(_: States, __: Command[BeginLife], recorded: Sequence[Recorded]) -> Begun:
    return Begun(recorded[0].position if recorded else 0)


BEGIN_LIFE: Final = CommandType("log.begin_life", BeginLife, _streams, decide, reply, OPERATORS_ONLY)
