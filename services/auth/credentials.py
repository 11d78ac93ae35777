"""What a user comes in with: password, PIN, card. Hashes go into ``secrets``, the fact that something changed into the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from libs.contracts.auth.events import CredentialAdded, CredentialRemoved, CredentialSet
from libs.contracts.auth.rights import STAFF
from libs.domain.decider import Aggregate, Claim, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import not_found
from libs.domain.events import Event, Recorded
from services.auth.records import USERS

CARD_CLAIM: Final = "user.card_id"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A login that is to be possible from now on; ``secret`` as in the events. None: that is to be possible no more."""

    kind: Literal["password", "pin", "card"]
    secret: str | None


class SetCredential(msgspec.Struct, frozen=True, kw_only=True):
    user: str
    secret: str


class CredentialState(msgspec.Struct, frozen=True):
    """``secret``: of the password; ``set_at``: when the log took the last change of any of them."""

    secret: str = ""
    set_at: datetime | None = None
    pin: str = ""
    card: str = ""


class CredentialKept(msgspec.Struct, frozen=True, kw_only=True):
    user: str


def evolve(state: CredentialState, event: Recorded) -> CredentialState:
    match event.data:
        case CredentialSet(secret=secret):
            return msgspec.structs.replace(state, secret=secret, set_at=event.at)
        case CredentialAdded(kind=kind, secret=secret):
            return msgspec.structs.replace(state, set_at=event.at, **{kind: secret})
        case CredentialRemoved(kind=kind):
            return msgspec.structs.replace(state, set_at=event.at, **{kind: ""})
    raise AssertionError(f"a credential has no {event.type}")


CREDENTIAL: Final = Aggregate("credential", CredentialState(), evolve)


class CredentialChanges(msgspec.Struct, frozen=True):
    """What a change of credentials writes; a card belongs to one user at a time."""

    events: tuple[Event, ...] = ()
    take: tuple[Claim, ...] = ()
    give_up: tuple[Claim, ...] = ()


def changes(user: str, state: CredentialState, wanted: Sequence[Credential]) -> CredentialChanges:
    events: list[Event] = []
    take: list[Claim] = []
    give_up: list[Claim] = []
    for credential in wanted:
        if credential.kind == "password":
            if credential.secret is not None:
                events.append(CredentialSet(user=user, secret=credential.secret))
            continue
        present: str = getattr(state, credential.kind)
        if present == (credential.secret or ""):
            continue
        if credential.secret is None:
            events.append(CredentialRemoved(user=user, kind=credential.kind))
        else:
            events.append(CredentialAdded(user=user, kind=credential.kind, secret=credential.secret))
        if credential.kind == "card":
            take += [Claim(CARD_CLAIM, credential.secret)] if credential.secret else []
            give_up += [Claim(CARD_CLAIM, present)] if present else []
    return CredentialChanges(tuple(events), tuple(take), tuple(give_up))


def _streams(command: Command[SetCredential]) -> tuple[StreamRef, ...]:
    return StreamRef(CREDENTIAL, command.body.user), StreamRef(USERS.aggregate, command.body.user)


def decide_set(states: States, command: Command[SetCredential], _: Any) -> Decision:
    user = command.body.user
    if not states[USERS.aggregate.stream(user)].exists:
        raise not_found("user_not_found", id=user)
    return Decision({CREDENTIAL.stream(user): [CredentialSet(user=user, secret=command.body.secret)]})


def decide_set_first(states: States, command: Command[SetCredential], _: Any) -> Decision:
    state: CredentialState = states[CREDENTIAL.stream(command.body.user)]
    return Decision({}) if state.secret else decide_set(states, command, _)


def reply_set(_: States, command: Command[SetCredential], __: Sequence[Recorded]) -> CredentialKept:
    return CredentialKept(user=command.body.user)


SET: Final = CommandType("credential.set", SetCredential, _streams, decide_set, reply_set, STAFF)
SET_FIRST: Final = CommandType("credential.set_first", SetCredential, _streams, decide_set_first, reply_set, STAFF)
