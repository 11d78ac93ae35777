"""A session: from login to logout. Each refresh is a new generation; a spent refresh token that comes back ends the session.

A refresh whose answer got lost may be repeated until the new access token was first used: the same pair is given again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from libs.contracts.auth.commands import SESSION_LIFE_S, ConfirmSession, Logout
from libs.contracts.auth.events import SessionConfirmed, SessionEnded, SessionOpened, SessionRefreshed
from libs.domain.decider import Aggregate, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import DomainError, Kind
from libs.domain.events import Event, Recorded
from libs.domain.ids import key_of
from services.auth.credentials import CREDENTIAL, CredentialState


class OpenSession(msgspec.Struct, frozen=True, kw_only=True):
    user: str


class RefreshSession(msgspec.Struct, frozen=True, kw_only=True):
    """``generation``: the one whose refresh token was shown; ``user``: whose access token came with it."""

    session: str
    generation: int
    user: str


class SessionState(msgspec.Struct, frozen=True):
    """``opened_at``: when the log took the login; ``issued_at``: when the tokens of ``generation`` were made; ``confirmed``: the newest
    generation whose access token was used."""

    user: str = ""
    generation: int = 0
    confirmed: int = 0
    opened_at: datetime | None = None
    issued_at: datetime | None = None
    expires: datetime | None = None
    ended: bool = False


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """``reused``: a spent token was shown, so the session was ended instead."""

    key: str
    state: SessionState
    reused: bool = False


def evolve(state: SessionState, event: Recorded) -> SessionState:
    match event.data:
        case SessionOpened() as opened:
            return SessionState(opened.user, 0, 0, event.at, opened.at, opened.expires)
        case SessionRefreshed() as refreshed:
            return msgspec.structs.replace(state, generation=refreshed.generation, issued_at=refreshed.at, expires=refreshed.expires)
        case SessionConfirmed(generation=generation):
            return msgspec.structs.replace(state, confirmed=generation)
        case SessionEnded():
            return msgspec.structs.replace(state, ended=True)
    raise AssertionError(f"a session has no {event.type}")


SESSION: Final = Aggregate("session", SessionState(), evolve)


def session_key(command: Command[OpenSession]) -> str:
    return key_of("ses", command.id)


def _expires(at: datetime) -> datetime:
    return at + timedelta(seconds=SESSION_LIFE_S)


def _only_own(command: Command[ConfirmSession] | Command[Logout]) -> None:
    if command.principal.session != command.body.session:
        raise DomainError(Kind.FORBIDDEN, "foreign_session")


def _own(states: States, key: str) -> tuple[str, SessionState]:
    stream = SESSION.stream(key)
    state: SessionState = states[stream]
    if not state.user or state.ended:
        raise DomainError(Kind.UNAUTHENTICATED, "session_ended")
    return stream, state


def decide_open(_: States, command: Command[OpenSession], __: Any) -> Decision:
    opened = SessionOpened(user=command.body.user, at=command.at, expires=_expires(command.at))
    return Decision({SESSION.stream(session_key(command)): [opened]})


def decide_refresh(states: States, command: Command[RefreshSession], _: Any) -> Decision:
    stream, state = _own(states, command.body.session)
    shown = command.body.generation
    assert state.expires is not None
    if command.at >= state.expires:
        return Decision({stream: [SessionEnded(user=state.user, reason="expired")]})
    if _credential_changed(states, command, state):
        return Decision({stream: [SessionEnded(user=state.user, reason="password")]})
    if shown == state.generation:
        event: Event = SessionRefreshed(user=state.user, generation=state.generation + 1, at=command.at, expires=_expires(command.at))
        return Decision({stream: [event]})
    if shown == state.generation - 1 and state.confirmed < state.generation:
        return Decision({})  # the answer was lost: the same pair again
    return Decision({stream: [SessionEnded(user=state.user, reason="reuse")]})


def _credential_changed(states: States, command: Command[RefreshSession], state: SessionState) -> bool:
    """Whether somebody else may be holding this session: its password, PIN or card is not the one of its beginning."""
    if command.body.user != state.user:
        raise DomainError(Kind.UNAUTHENTICATED, "tokens_of_two_sessions")
    credential: CredentialState = states[CREDENTIAL.stream(state.user)]
    return credential.set_at is not None and state.opened_at is not None and credential.set_at > state.opened_at


def decide_confirm(states: States, command: Command[ConfirmSession], _: Any) -> Decision:
    _only_own(command)
    stream, state = _own(states, command.body.session)
    if command.body.generation <= state.confirmed:
        return Decision({})
    return Decision({stream: [SessionConfirmed(generation=command.body.generation)]})


def decide_end(states: States, command: Command[Logout], _: Any) -> Decision:
    _only_own(command)
    stream = SESSION.stream(command.body.session)
    state: SessionState = states[stream]
    if not state.user or state.ended:
        return Decision({})
    return Decision({stream: [SessionEnded(user=state.user, reason="logout")]})


def _view(states: States, key: str, recorded: Sequence[Recorded] = ()) -> SessionView:
    ended = any(isinstance(event.data, SessionEnded) for event in recorded)
    return SessionView(key=key, state=states[SESSION.stream(key)], reused=ended)


def _existing(command: Command[RefreshSession] | Command[ConfirmSession] | Command[Logout]) -> tuple[StreamRef, ...]:
    return (StreamRef(SESSION, command.body.session),)


OPEN: Final = CommandType(
    "session.open",
    OpenSession,
    lambda command: (StreamRef(SESSION, session_key(command), new=True),),
    decide_open,
    lambda states, command, _: _view(states, session_key(command)),
)
REFRESH: Final = CommandType(
    "session.refresh",
    RefreshSession,
    lambda command: (*_existing(command), StreamRef(CREDENTIAL, command.body.user)),
    decide_refresh,
    lambda states, command, recorded: _view(states, command.body.session, recorded),
)
CONFIRM: Final = CommandType(
    "session.confirm", ConfirmSession, _existing, decide_confirm, lambda states, command, _: _view(states, command.body.session)
)
END: Final = CommandType("session.end", Logout, _existing, decide_end, lambda states, command, _: _view(states, command.body.session))
