"""Endpoints of webhooks: all of an instance in one stream, since there are few and they are counted. How far each has been sent is not in
the log (see ``places``); from where it is to be sent is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.auth.rights import DOWNSTREAM
from libs.contracts.auth.webhooks import ENDPOINTS_MAX, KEY_PREFIX, OLD_SECRET_LASTS_S, TAGGED, Ended
from libs.domain.decider import Aggregate, Command, CommandType, Decision, Lookup, States, StreamRef
from libs.domain.errors import DomainError, Kind, not_found
from libs.domain.etags import etag
from libs.domain.events import Event, Recorded, event
from libs.domain.ids import key_of

# --- commands -----------------------------------------------------------------------------------------------------------------


class CreateEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """``secret``: a name for it. ``starts``: behind which position of each service's log it begins; what is not said is filled in."""

    url: str
    secret: str
    description: str = ""
    services: tuple[str, ...]
    types: tuple[str, ...] = ()
    starts: Mapping[str, int] = msgspec.field(default_factory=dict)


class ChangeEndpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``starts``: of services that are new to it; filled in. ``if_match``: tags of which it must have one, if there are any."""

    key: str
    if_match: tuple[str, ...] = ()
    url: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    services: tuple[str, ...] | UnsetType = UNSET
    types: tuple[str, ...] | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    starts: Mapping[str, int] = msgspec.field(default_factory=dict)


class ChangeSecret(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    secret: str


class ReplayEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    service: str
    after: int


class EndEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """``version``: of the endpoint as it failed; if it was changed since, it is to be tried again first."""

    key: str
    reason: Ended
    version: int


class DeleteEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    if_match: tuple[str, ...] = ()


# --- events -------------------------------------------------------------------------------------------------------------------


@event("webhooks.created")
class EndpointCreated(Event, frozen=True, kw_only=True):
    """Events are sent to ``url``, signed with what ``secret`` names; those of ``services`` (of ``types``, if there are any) that are behind
    ``starts``."""

    key: str
    url: str
    secret: str
    services: tuple[str, ...]
    starts: Mapping[str, int]
    at: datetime
    description: str = ""
    types: tuple[str, ...] = ()


@event("webhooks.changed")
class EndpointChanged(Event, frozen=True, kw_only=True):
    """Only what changed; ``starts``: of services that were not sent before."""

    key: str
    at: datetime
    url: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    services: tuple[str, ...] | UnsetType = UNSET
    types: tuple[str, ...] | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    starts: Mapping[str, int] = msgspec.field(default_factory=dict)


@event("webhooks.secret_changed")
class EndpointSecretChanged(Event, frozen=True, kw_only=True):
    """``until``: so long the secret before signs too."""

    key: str
    secret: str
    until: datetime
    at: datetime


@event("webhooks.replayed")
class EndpointReplayed(Event, frozen=True, kw_only=True):
    """It goes on behind ``after`` in a service's log, whatever was sent before."""

    key: str
    service: str
    after: int
    at: datetime


@event("webhooks.ended")
class EndpointEnded(Event, frozen=True, kw_only=True):
    """Theke sends nothing there any more, until it is made active again."""

    key: str
    reason: Ended
    at: datetime


@event("webhooks.deleted")
class EndpointDeleted(Event, frozen=True, kw_only=True):
    key: str


# --- state --------------------------------------------------------------------------------------------------------------------


class Start(msgspec.Struct, frozen=True, array_like=True):
    """Sending a service's events begins behind ``after``; said at ``said``, a position of auth's own log. A later word counts."""

    after: int
    said: int


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """``version``: the position in auth's log of what was last said of it. ``old_secret`` signs beside ``secret`` until ``old_until``."""

    key: str
    url: str
    secret: str
    services: tuple[str, ...]
    starts: Mapping[str, Start]
    version: int
    created_at: datetime
    changed_at: datetime
    description: str = ""
    types: tuple[str, ...] = ()
    active: bool = True
    ended: Ended = ""
    old_secret: str = ""
    old_until: datetime | None = None


Endpoints = Mapping[str, Endpoint]


def evolve(state: Endpoints, recorded: Recorded) -> Endpoints:
    said, position = recorded.data, recorded.position
    if isinstance(said, EndpointCreated):
        starts = {service: Start(after, position) for service, after in said.starts.items()}
        return {
            **state,
            said.key: Endpoint(
                key=said.key, url=said.url, secret=said.secret, services=said.services, starts=starts, version=position, created_at=said.at,
                changed_at=said.at, description=said.description, types=said.types,
            ),
        }  # fmt: skip
    if isinstance(said, EndpointDeleted):
        return {key: endpoint for key, endpoint in state.items() if key != said.key}
    return {**state, said.key: msgspec.structs.replace(_changed(state[said.key], said, position), version=position, changed_at=said.at)}


def _changed(endpoint: Endpoint, said: Any, position: int) -> Endpoint:
    replace = msgspec.structs.replace
    match said:
        case EndpointChanged():
            named = {name: value for name in _CHANGEABLE if (value := getattr(said, name)) is not UNSET}
            starts = {service: Start(after, position) for service, after in said.starts.items()}
            ended: dict[str, Any] = {"ended": ""} if said.active is True else {}
            return replace(endpoint, **named, **ended, starts={**endpoint.starts, **starts})
        case EndpointSecretChanged():
            return replace(endpoint, secret=said.secret, old_secret=endpoint.secret, old_until=said.until)
        case EndpointReplayed():
            return replace(endpoint, starts={**endpoint.starts, said.service: Start(said.after, position)})
        case EndpointEnded():
            return replace(endpoint, active=False, ended=said.reason)
    raise AssertionError(f"an endpoint has no {said}")


_CHANGEABLE: Final = ("url", "description", "services", "types", "active")
NONE: Final[Endpoints] = {}
ENDPOINTS: Final[Aggregate[Endpoints]] = Aggregate("webhooks", NONE, evolve)
STREAM: Final = ENDPOINTS.stream("all")
REF: Final = StreamRef(ENDPOINTS, "all")


def folded(events: Sequence[Recorded]) -> dict[int, Endpoints]:
    """By instance."""
    found: dict[int, Endpoints] = {}
    for one in events:
        found[one.instance] = evolve(found.get(one.instance, NONE), one)
    return found


# --- decide -------------------------------------------------------------------------------------------------------------------


def _known(states: States, key: str) -> Endpoint:
    found: Endpoint | None = states[STREAM].get(key)
    if found is None:
        raise not_found("webhook_not_found", id=key)
    return found


def _unchanged(states: States, command: Command[Any]) -> Endpoint:
    """Raises ``version_mismatch`` if it is not as the client read it."""
    known, tags = _known(states, command.body.key), command.body.if_match
    if tags and etag(command.instance, TAGGED, known.key, known.version) not in tags:
        raise DomainError(Kind.PRECONDITION_FAILED, "version_mismatch", {"version": known.version})
    return known


def webhook_key(command: Command[CreateEndpoint]) -> str:
    return key_of(KEY_PREFIX, command.id)


def decide_create(states: States, command: Command[CreateEndpoint], _: Any) -> Decision:
    if len(states[STREAM]) >= ENDPOINTS_MAX:
        raise DomainError(Kind.CONFLICT, "too_many_records", {"max": ENDPOINTS_MAX})
    body = command.body
    created = EndpointCreated(
        key=webhook_key(command), url=body.url, secret=body.secret, services=body.services, starts=body.starts, at=command.at,
        description=body.description, types=body.types,
    )  # fmt: skip
    return Decision({STREAM: [created]})


def decide_change(states: States, command: Command[ChangeEndpoint], _: Any) -> Decision:
    body, known = command.body, _unchanged(states, command)
    named = {name: value for name in _CHANGEABLE if (value := getattr(body, name)) is not UNSET and value != getattr(known, name)}
    if not named:
        return Decision({})
    wanted = named.get("services", known.services)
    starts = {service: after for service, after in body.starts.items() if service in wanted and service not in known.services}
    return Decision({STREAM: [EndpointChanged(key=body.key, at=command.at, starts=starts, **named)]})


def decide_secret(states: States, command: Command[ChangeSecret], _: Any) -> Decision:
    _known(states, command.body.key)
    until = command.at + timedelta(seconds=OLD_SECRET_LASTS_S)
    changed = EndpointSecretChanged(key=command.body.key, secret=command.body.secret, until=until, at=command.at)
    return Decision({STREAM: [changed]})


def decide_replay(states: States, command: Command[ReplayEndpoint], _: Any) -> Decision:
    body = command.body
    if body.service not in _known(states, body.key).services:
        raise DomainError(Kind.CONFLICT, "service_not_sent", {"service": body.service})
    return Decision({STREAM: [EndpointReplayed(key=body.key, service=body.service, after=body.after, at=command.at)]})


def decide_end(states: States, command: Command[EndEndpoint], _: Any) -> Decision:
    body = command.body
    known: Endpoint | None = states[STREAM].get(body.key)
    if known is None or not known.active or known.version != body.version:
        return Decision({})
    return Decision({STREAM: [EndpointEnded(key=body.key, reason=body.reason, at=command.at)]})


def decide_delete(states: States, command: Command[DeleteEndpoint], _: Any) -> Decision:
    _unchanged(states, command)
    return Decision({STREAM: [EndpointDeleted(key=command.body.key)]})


def _streams(_: Command[Any]) -> tuple[StreamRef, ...]:
    return (REF,)


def _created(states: States, command: Command[CreateEndpoint], _: Sequence[Recorded]) -> Endpoint:
    return _known(states, webhook_key(command))


def _present(states: States, command: Command[Any], _: Sequence[Recorded]) -> Endpoint:
    return _known(states, command.body.key)


def _gone(_: States, __: Command[Any], ___: Sequence[Recorded]) -> None:
    return None


Heads = Callable[[int, Sequence[str]], Awaitable[Mapping[str, int]]]
"""(instance, services) → where their logs end"""


def _beginning_at(heads: Heads) -> Callable[[Command[Any], Lookup], Awaitable[Command[Any]]]:
    """Whoever says nothing else gets what happens from now on."""

    async def complete(command: Command[Any], _: Lookup) -> Command[Any]:
        body = command.body
        services = () if body.services is UNSET else body.services
        silent = [service for service in services if service not in body.starts]
        starts = {**await heads(command.instance, silent), **body.starts}
        return msgspec.structs.replace(command, body=msgspec.structs.replace(body, starts=starts))

    return complete


def create_command(heads: Heads) -> CommandType:
    return CommandType("webhook.create", CreateEndpoint, _streams, decide_create, _created, DOWNSTREAM, complete=_beginning_at(heads))


def change_command(heads: Heads) -> CommandType:
    return CommandType("webhook.change", ChangeEndpoint, _streams, decide_change, _present, DOWNSTREAM, complete=_beginning_at(heads))


CHANGE_SECRET: Final = CommandType("webhook.secret", ChangeSecret, _streams, decide_secret, _present, DOWNSTREAM)
REPLAY: Final = CommandType("webhook.replay", ReplayEndpoint, _streams, decide_replay, _present, DOWNSTREAM)
END: Final = CommandType("webhook.end", EndEndpoint, _streams, decide_end, _gone, DOWNSTREAM)
DELETE: Final = CommandType("webhook.delete", DeleteEndpoint, _streams, decide_delete, _gone, DOWNSTREAM)
