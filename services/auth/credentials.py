"""Passwords: the hash goes into ``secrets``, the fact that it changed into the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from libs.contracts.auth.events import CredentialSet
from libs.contracts.auth.rights import STAFF
from libs.domain.decider import Aggregate, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import not_found
from libs.domain.events import Recorded
from services.auth.records import USERS


class SetCredential(msgspec.Struct, frozen=True, kw_only=True):
    user: str
    secret: str


class CredentialState(msgspec.Struct, frozen=True):
    """``set_at``: when the log took it."""

    secret: str = ""
    set_at: datetime | None = None


class CredentialKept(msgspec.Struct, frozen=True, kw_only=True):
    user: str


def evolve(_: CredentialState, event: Recorded) -> CredentialState:
    data: CredentialSet = event.data
    return CredentialState(data.secret, event.at)


CREDENTIAL: Final = Aggregate("credential", CredentialState(), evolve)


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
