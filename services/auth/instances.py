"""Instances: every business on this installation. They are written down in a log of their own, that of instance 0."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from libs.contracts.auth.commands import CloseInstance, CreateInstance, Instance, PurgeInstance, ReopenInstance
from libs.contracts.auth.events import INSTALLATION, InstanceClosed, InstanceCreated, InstancePurged, InstanceReopened
from libs.contracts.auth.rights import OPERATE
from libs.domain.decider import Aggregate, Claim, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import DomainError, FieldError, Kind, conflict, invalid, not_found
from libs.domain.events import Recorded

REASON_MAX_CHARS: Final = 500
KEY: Final = re.compile(r"[0-9a-f]{32}")
NAME: Final = re.compile(r"[a-z][a-z0-9-]{1,30}")
RESERVED: Final = frozenset({"api", "rest", "hubs", "swagger", "auth", "oauth2", "console", "metrics", "healthz", "readyz", "events"})


class InstanceState(msgspec.Struct, frozen=True):
    id: int = 0
    name: str = ""
    closed_at: datetime | None = None
    purged: bool = False


def evolve(state: InstanceState, event: Recorded) -> InstanceState:
    match event.data:
        case InstanceCreated():
            return InstanceState(event.number or 0, event.data.name)
        case InstanceClosed():
            return msgspec.structs.replace(state, closed_at=event.data.at)
        case InstanceReopened():
            return msgspec.structs.replace(state, closed_at=None)
        case _:
            return msgspec.structs.replace(state, purged=True)


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


def reply(states: States, command: Command[Any], _: Sequence[Recorded]) -> Instance:
    key = command.id.hex if isinstance(command.body, CreateInstance) else command.body.key
    state: InstanceState = states[INSTANCE.stream(key)]
    return Instance(id=state.id, name=state.name, closed_at=state.closed_at)


def _known(command: Command[Any]) -> tuple[StreamRef, ...]:
    return (StreamRef(INSTANCE, command.body.key),) if KEY.fullmatch(command.body.key) else ()


def _named(states: States, command: Command[Any]) -> InstanceState:
    body = command.body
    if command.instance != INSTALLATION or command.principal.level != "system":
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": OPERATE})
    state: InstanceState = states.get(INSTANCE.stream(body.key), INSTANCE.initial)
    if not state.id or state.name != body.name or state.purged:
        raise not_found("instance_not_found", id=body.name[:31])
    if len(body.reason) > REASON_MAX_CHARS:
        raise invalid(FieldError("reason", "too_long", {"max": REASON_MAX_CHARS}))
    return state


def decide_close(states: States, command: Command[CloseInstance], _: Any) -> Decision:
    state, body = _named(states, command), command.body
    if state.closed_at is not None:
        return Decision({})
    return Decision({INSTANCE.stream(body.key): [InstanceClosed(instance=state.id, name=state.name, at=command.at, reason=body.reason)]})


def decide_reopen(states: States, command: Command[ReopenInstance], _: Any) -> Decision:
    state, body = _named(states, command), command.body
    if state.closed_at is None:
        return Decision({})
    return Decision({INSTANCE.stream(body.key): [InstanceReopened(instance=state.id, name=state.name, reason=body.reason)]})


def decide_purge(states: States, command: Command[PurgeInstance], _: Any) -> Decision:
    state, body = _named(states, command), command.body
    if state.closed_at is None:
        raise conflict("instance_open", id=state.name)
    purged = InstancePurged(instance=state.id, name=state.name, logs=body.logs, export=body.export, reason=body.reason)
    return Decision({INSTANCE.stream(body.key): [purged]})


COMMANDS: Final = (
    CommandType("instance.create", CreateInstance, _streams, decide_create, reply, OPERATE),
    CommandType("instance.close", CloseInstance, _known, decide_close, reply, OPERATE),
    CommandType("instance.reopen", ReopenInstance, _known, decide_reopen, reply, OPERATE),
    CommandType("instance.purge", PurgeInstance, _known, decide_purge, reply, OPERATE),
)
