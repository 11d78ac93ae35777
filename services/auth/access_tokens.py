"""Access tokens of ERP clients: issued for a password, refreshed, revoked.

A stream per user, identifier and application, so that a second login replaces the first whoever is faster; with OAuth2 a stream per
grant. A token is bound to the password it was given for: with another one it is dead without a word of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid5

import msgspec

from libs.contracts.auth.access_tokens import KEY_PREFIX, Done, RevokeToken
from libs.contracts.auth.oauth import GRANT_LIFE_S, REFRESHABLE_S
from libs.contracts.auth.records import ACTIVE
from libs.contracts.auth.rights import DENY_LOGIN
from libs.contracts.auth.token_events import RevokeReason, TokenIssued, TokenRefreshed, TokenRevoked
from libs.domain.decider import Aggregate, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import DomainError, Kind
from libs.domain.events import Event, Recorded
from libs.domain.ids import NAMESPACE, key_of
from libs.records.state import RecordState
from services.auth.applications import APPLICATIONS
from services.auth.credentials import CREDENTIAL, CredentialState
from services.auth.records import USERS


class IssueToken(msgspec.Struct, frozen=True, kw_only=True):
    """``credential``: the name of the password's hash that was shown; ``refreshable``: a grant of OAuth2, whose ``expires`` is Theke's."""

    key: str
    user: str
    credential: str
    digest: str
    identifier: str = ""
    application: str | None = None
    expires: datetime | None = None
    refreshable: bool = False


class RefreshToken(msgspec.Struct, frozen=True, kw_only=True):
    """``generation``: the one whose refresh token was shown; ``digest``: of the next access token."""

    key: str
    user: str
    generation: int
    digest: str


class EndToken(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    reason: RevokeReason


class TokenState(msgspec.Struct, frozen=True):
    """``digest``: of the access token that is good; empty if none is."""

    user: str = ""
    credential: str = ""
    digest: str = ""
    generation: int = 0
    expires: datetime | None = None
    refreshable_until: datetime | None = None


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """``refused``: a refresh token was no good, so the grant was ended instead."""

    key: str
    state: TokenState
    refused: bool = False


def evolve(state: TokenState, event: Recorded) -> TokenState:
    match event.data:
        case TokenIssued() as issued:
            return TokenState(issued.user, issued.credential, issued.digest, 0, issued.expires, issued.refreshable_until)
        case TokenRefreshed() as refreshed:
            return msgspec.structs.replace(
                state,
                digest=refreshed.digest,
                generation=refreshed.generation,
                expires=refreshed.expires,
                refreshable_until=refreshed.refreshable_until,
            )
        case TokenRevoked():
            return msgspec.structs.replace(state, digest="", refreshable_until=None)
    raise AssertionError(f"an access token has no {event.type}")


TOKEN: Final = Aggregate("token", TokenState(), evolve)


def login_key(instance: int, user: str, identifier: str, application: str | None) -> str:
    """The stream of all tokens that somebody gets under one identifier."""
    return key_of(KEY_PREFIX, uuid5(NAMESPACE, f"token {instance} {user} {application or ''} {identifier}"))


def _may_log_in(state: RecordState) -> bool:
    return bool(state.exists and state.values.get("is_active") and DENY_LOGIN not in (state.values.get("rights") or ()))


def _issue_streams(command: Command[IssueToken]) -> tuple[StreamRef, ...]:
    body = command.body
    user = (StreamRef(CREDENTIAL, body.user, reads=True), StreamRef(USERS.aggregate, body.user, reads=True))
    application = [StreamRef(APPLICATIONS.aggregate, body.application, reads=True)] if body.application else []
    return (StreamRef(TOKEN, body.key), *user, *application)


def decide_issue(states: States, command: Command[IssueToken], _: Any) -> Decision:
    """Looked at once more in the streams: query tables may be behind a password that was changed a moment ago."""
    body, stream = command.body, TOKEN.stream(command.body.key)
    credential: CredentialState = states[CREDENTIAL.stream(body.user)]
    if credential.secret != body.credential or not _may_log_in(states[USERS.aggregate.stream(body.user)]):
        raise DomainError(Kind.UNAUTHENTICATED, "credentials_wrong")
    if body.application:
        application: RecordState = states[APPLICATIONS.aggregate.stream(body.application)]
        if not application.exists or application.values["activity"] != ACTIVE:
            raise DomainError(Kind.UNAUTHENTICATED, "client_unknown")
    before: TokenState = states[stream]
    if body.refreshable and before.user:  # whoever comes second with a code has stolen it, or was stolen from
        if not before.digest:
            raise DomainError(Kind.UNAUTHENTICATED, "code_invalid")
        return Decision({stream: [TokenRevoked(user=before.user, reason="reuse")]})
    issued = TokenIssued(
        user=body.user,
        credential=body.credential,
        digest=body.digest,
        at=command.at,
        identifier=body.identifier,
        application=body.application,
        expires=command.at + timedelta(seconds=GRANT_LIFE_S) if body.refreshable else body.expires,
        refreshable_until=command.at + timedelta(seconds=REFRESHABLE_S) if body.refreshable else None,
    )
    return Decision({stream: [issued]})


def _refresh_streams(command: Command[RefreshToken]) -> tuple[StreamRef, ...]:
    return StreamRef(TOKEN, command.body.key), StreamRef(CREDENTIAL, command.body.user, reads=True)


def decide_refresh(states: States, command: Command[RefreshToken], _: Any) -> Decision:
    body, stream = command.body, TOKEN.stream(command.body.key)
    state: TokenState = states[stream]
    if state.refreshable_until is None or state.user != body.user:
        raise DomainError(Kind.UNAUTHENTICATED, "refresh_token_invalid")
    credential: CredentialState = states[CREDENTIAL.stream(body.user)]
    reason: RevokeReason | None = None
    if command.at >= state.refreshable_until:
        reason = "expired"
    elif credential.secret != state.credential:
        reason = "password"
    elif body.generation != state.generation:
        reason = "reuse"
    if reason is not None:
        return Decision({stream: [TokenRevoked(user=state.user, reason=reason)]})
    event: Event = TokenRefreshed(
        generation=state.generation + 1,
        digest=body.digest,
        at=command.at,
        expires=command.at + timedelta(seconds=GRANT_LIFE_S),
        refreshable_until=command.at + timedelta(seconds=REFRESHABLE_S),
    )
    return Decision({stream: [event]})


def decide_revoke(states: States, command: Command[RevokeToken], _: Any) -> Decision:
    if command.principal.session != command.body.key:
        raise DomainError(Kind.FORBIDDEN, "foreign_session")
    stream = TOKEN.stream(command.body.key)
    state: TokenState = states[stream]
    if state.digest != command.body.digest:
        return Decision({})
    return Decision({stream: [TokenRevoked(user=state.user, reason="logout")]})


def decide_end(states: States, command: Command[EndToken], _: Any) -> Decision:
    stream = TOKEN.stream(command.body.key)
    state: TokenState = states[stream]
    if not state.digest:
        return Decision({})
    return Decision({stream: [TokenRevoked(user=state.user, reason=command.body.reason)]})


def _view(states: States, command: Command[Any], recorded: Sequence[Recorded]) -> TokenView:
    refused = any(isinstance(event.data, TokenRevoked) for event in recorded)
    return TokenView(key=command.body.key, state=states[TOKEN.stream(command.body.key)], refused=refused)


def _done(_: States, command: Command[Any], __: Sequence[Recorded]) -> Done:
    return Done(key=command.body.key)


def _own(command: Command[Any]) -> tuple[StreamRef, ...]:
    return (StreamRef(TOKEN, command.body.key),)


ISSUE: Final = CommandType("token.issue", IssueToken, _issue_streams, decide_issue, _view)
REFRESH: Final = CommandType("token.refresh", RefreshToken, _refresh_streams, decide_refresh, _view)
END: Final = CommandType("token.end", EndToken, _own, decide_end, _done)
REVOKE: Final = CommandType("token.revoke", RevokeToken, _own, decide_revoke, _done)
