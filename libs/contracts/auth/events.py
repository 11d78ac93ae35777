"""Events of auth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from libs.contracts.auth import access
from libs.contracts.auth.records import APPLICATION, USER
from libs.domain.events import Event, event
from libs.domain.records import RecordEvents, record_events

USER_EVENTS: Final = record_events(USER, __name__)
APPLICATION_EVENTS: Final = record_events(APPLICATION, __name__)
RECORD_EVENTS: Final[Mapping[str, RecordEvents]] = {record.name: record_events(record, __name__) for record in access.RECORDS}

INSTALLATION: Final = 0  # the log in which instances themselves are written down

EndReason = Literal["logout", "reuse", "expired", "password"]


@event("instance.created")
class InstanceCreated(Event, frozen=True, kw_only=True):
    """An instance's id is the number that the log gave this event."""

    name: str

    def series(self) -> str:
        return "instance"


@event("credential.set")
class CredentialSet(Event, frozen=True, kw_only=True):
    """A user's password changed. ``secret`` names the row that holds its hash, outside the log."""

    user: str
    secret: str


CredentialKind = Literal["pin", "card"]


@event("credential.added")
class CredentialAdded(Event, frozen=True, kw_only=True):
    """A user can come in by PIN or card, anew or for the first time. ``secret``: for a PIN the row that holds its hash, for a card its
    keyed digest; neither can be turned back."""

    user: str
    kind: CredentialKind
    secret: str


@event("credential.removed")
class CredentialRemoved(Event, frozen=True, kw_only=True):
    """A user cannot come in by PIN or card any more."""

    user: str
    kind: CredentialKind


@event("session.opened")
class SessionOpened(Event, frozen=True, kw_only=True):
    """Somebody logged in. ``expires``: when the session ends unless it is refreshed."""

    user: str
    at: datetime
    expires: datetime


@event("session.refreshed")
class SessionRefreshed(Event, frozen=True, kw_only=True):
    """A new pair of tokens, the ``generation``-th after the login."""

    user: str
    generation: int
    at: datetime
    expires: datetime


@event("session.confirmed")
class SessionConfirmed(Event, frozen=True, kw_only=True):
    """The access token of this generation was used: the refresh token before it is spent."""

    generation: int


@event("session.ended")
class SessionEnded(Event, frozen=True, kw_only=True):
    user: str
    reason: EndReason
