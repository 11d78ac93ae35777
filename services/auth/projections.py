"""Query tables of auth beside its records: instances, whose password is where, and what was revoked."""

from __future__ import annotations

from typing import Final

from libs.contracts.auth.events import (
    USER_EVENTS,
    CredentialAdded,
    CredentialRemoved,
    CredentialSet,
    InstanceClosed,
    InstanceCreated,
    InstancePurged,
    InstanceReopened,
    SessionEnded,
    SessionOpened,
)
from libs.domain.events import Recorded
from libs.projections.declare import Projection, Table
from libs.projections.rows import Rows

INSTANCES: Final = Projection(
    "instances", 2, (Table("instances", {"key": "text", "id": "int", "closed_at": "timestamptz"}, indexes=(("id",),)),)
)
CREDENTIALS: Final = Projection(
    "credentials", 2, (Table("credentials", {"key": "text", "secret": "text", "pin": "text", "card": "text"}, indexes=(("card",),)),)
)
LOGINS: Final = Projection("logins", 1, (Table("logins", {"key": "text", "at": "timestamptz"}),))
REVOCATIONS: Final = Projection(
    "revocations", 2, (Table("revocations", {"key": "text", "valid_from": "timestamptz"}, indexes=(("valid_from",),)),)
)


@INSTANCES.on(InstanceCreated)
def instance_created(rows: Rows, event: Recorded) -> None:
    rows.put("instances", event.data.name, id=event.number, closed_at=None)


@INSTANCES.on(InstanceClosed)
def instance_closed(rows: Rows, event: Recorded) -> None:
    rows.put("instances", event.data.name, id=event.data.instance, closed_at=event.data.at)


@INSTANCES.on(InstanceReopened)
def instance_reopened(rows: Rows, event: Recorded) -> None:
    rows.put("instances", event.data.name, id=event.data.instance, closed_at=None)


@INSTANCES.on(InstancePurged)
def instance_purged(rows: Rows, event: Recorded) -> None:
    rows.delete("instances", event.data.name)


def _credentials(event: Recorded) -> list[tuple[str, tuple[str]]]:
    return [("credentials", (event.data.user,))]


def _change_credential(rows: Rows, user: str, **columns: str | None) -> None:
    row = rows.get("credentials", user) or {"secret": None, "pin": None, "card": None}
    rows.put("credentials", user, **{**row, **columns})


@CREDENTIALS.on(CredentialSet, reads=_credentials)
def credential_set(rows: Rows, event: Recorded) -> None:
    _change_credential(rows, event.data.user, secret=event.data.secret)


@CREDENTIALS.on(CredentialAdded, reads=_credentials)
def credential_added(rows: Rows, event: Recorded) -> None:
    _change_credential(rows, event.data.user, **{event.data.kind: event.data.secret})


@CREDENTIALS.on(CredentialRemoved, reads=_credentials)
def credential_removed(rows: Rows, event: Recorded) -> None:
    _change_credential(rows, event.data.user, **{event.data.kind: None})


@LOGINS.on(SessionOpened)
def session_opened(rows: Rows, event: Recorded) -> None:
    rows.put("logins", event.data.user, at=event.at)


def _credential_changed(rows: Rows, event: Recorded) -> None:
    rows.put("revocations", event.data.user, valid_from=event.at)


for _type in (CredentialSet, CredentialAdded, CredentialRemoved):
    REVOCATIONS.on(_type)(_credential_changed)


@REVOCATIONS.on(SessionEnded)
def session_ended(rows: Rows, event: Recorded) -> None:
    rows.put("revocations", event.stream.removeprefix("session-"), valid_from=event.at)


@REVOCATIONS.on(USER_EVENTS.changed)
def user_changed(rows: Rows, event: Recorded) -> None:
    rows.put("revocations", event.stream.removeprefix("user-"), valid_from=event.at)


@REVOCATIONS.on(USER_EVENTS.deleted)
def user_deleted(rows: Rows, event: Recorded) -> None:
    rows.put("revocations", event.stream.removeprefix("user-"), valid_from=event.at)
