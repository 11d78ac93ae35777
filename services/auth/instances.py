"""Instances: every business on this installation. They are written down in a log of their own, that of instance 0."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from libs.contracts.auth.commands import CreateInstance, Instance
from libs.contracts.auth.events import INSTALLATION, InstanceCreated
from libs.contracts.auth.rights import OPERATE
from libs.domain.decider import Aggregate, Claim, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.domain.events import Recorded

NAME: Final = re.compile(r"[a-z][a-z0-9-]{1,30}")
RESERVED: Final = frozenset({"api", "rest", "hubs", "swagger", "auth", "oauth2", "console", "metrics", "healthz", "readyz", "events"})


class InstanceState(msgspec.Struct, frozen=True):
    id: int = 0
    name: str = ""


def evolve(state: InstanceState, event: Recorded) -> InstanceState:
    created: InstanceCreated = event.data
    return InstanceState(event.number or 0, created.name)


INSTANCE: Final = Aggregate("instance", InstanceState(), evolve)


def _streams(command: Command[CreateInstance]) -> tuple[StreamRef, ...]:
    return (StreamRef(INSTANCE, command.id.hex, new=True),)


def decide_create(_: States, command: Command[CreateInstance], __: Any) -> Decision:
    name = command.body.name
    if command.instance != INSTALLATION:
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": OPERATE})
    if not NAME.fullmatch(name):
        raise invalid(FieldError("name", "instance_name"))
    if name in RESERVED:
        raise invalid(FieldError("name", "reserved_name"))
    return Decision({INSTANCE.stream(command.id.hex): [InstanceCreated(name=name)]}, take=(Claim("instance.name", name),))


def reply_create(states: States, command: Command[CreateInstance], _: Sequence[Recorded]) -> Instance:
    state: InstanceState = states[INSTANCE.stream(command.id.hex)]
    return Instance(id=state.id, name=state.name)


COMMANDS: Final = (CommandType("instance.create", CreateInstance, _streams, decide_create, reply_create, OPERATE),)
