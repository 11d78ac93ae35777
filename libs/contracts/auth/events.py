"""Events of auth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec

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


@event("instance.closed")
class InstanceClosed(Event, frozen=True, kw_only=True):
    """Nobody logs in there and nothing is written any more; what was written stays."""

    instance: int
    name: str
    at: datetime
    reason: str = ""


@event("instance.reopened")
class InstanceReopened(Event, frozen=True, kw_only=True):
    """It goes on as if it had not been closed."""

    instance: int
    name: str
    reason: str = ""


class PurgedLog(msgspec.Struct, frozen=True):
    """Where a log ended, and the digest of its last commit in hex: an export that ends so is this log."""

    service: str
    head: int
    digest: str


@event("instance.purged")
class InstancePurged(Event, frozen=True, kw_only=True):
    """Everything of it was removed; its name and its id are never given again. ``export``: the SHA-256 of the manifest of the
    export that was shown for it, if one was."""

    instance: int
    name: str
    logs: tuple[PurgedLog, ...]
    export: str = ""
    reason: str = ""


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
