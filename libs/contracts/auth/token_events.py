"""Access tokens as the log tells of them: by digest, from which no token can be made."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from libs.domain.events import Event, event

RevokeReason = Literal["logout", "revoked", "reuse", "expired", "password"]


@event("token.issued")
class TokenIssued(Event, frozen=True, kw_only=True):
    """A program may act for a user; what its stream issued before is dead. ``credential``: the password it was given for, by the name
    of its hash; ``application``: the record it is bound to; ``expires``: None for never; ``refreshable_until``: until when it can be
    renewed."""

    user: str
    credential: str
    digest: str
    at: datetime
    identifier: str = ""
    application: str | None = None
    expires: datetime | None = None
    refreshable_until: datetime | None = None


@event("token.refreshed")
class TokenRefreshed(Event, frozen=True, kw_only=True):
    """Another access token, the ``generation``-th after the first; the one before is dead."""

    generation: int
    digest: str
    at: datetime
    expires: datetime
    refreshable_until: datetime


@event("token.revoked")
class TokenRevoked(Event, frozen=True, kw_only=True):
    """The access token is dead, and nothing renews it."""

    user: str
    reason: RevokeReason


@event("client_secret.set")
class ClientSecretSet(Event, frozen=True, kw_only=True):
    """An application has another secret. ``secret`` names it; its digest is kept outside the log."""

    application: str
    secret: str
