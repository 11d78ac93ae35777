"""Query tables of auth beside its records: instances, whose password is where, and what was revoked."""

from __future__ import annotations

from typing import Final

from libs.contracts.auth.events import USER_EVENTS, CredentialSet, InstanceCreated, SessionEnded
from libs.domain.events import Recorded
from libs.projections.declare import Projection, Table
from libs.projections.rows import Rows

INSTANCES: Final = Projection("instances", 1, (Table("instances", {"key": "text", "id": "int"}, indexes=(("id",),)),))
CREDENTIALS: Final = Projection("credentials", 1, (Table("credentials", {"key": "text", "secret": "text"}),))
REVOCATIONS: Final = Projection(
    "revocations", 1, (Table("revocations", {"key": "text", "valid_from": "timestamptz"}, indexes=(("valid_from",),)),)
)


@INSTANCES.on(InstanceCreated)
def instance_created(rows: Rows, event: Recorded) -> None:
    rows.put("instances", event.data.name, id=event.number)


@CREDENTIALS.on(CredentialSet)
def credential_set(rows: Rows, event: Recorded) -> None:
    rows.put("credentials", event.data.user, secret=event.data.secret)


@REVOCATIONS.on(CredentialSet)
def password_changed(rows: Rows, event: Recorded) -> None:
    rows.put("revocations", event.data.user, valid_from=event.at)


@REVOCATIONS.on(SessionEnded)
def session_ended(rows: Rows, event: Recorded) -> None:
    rows.put("revocations", event.stream.removeprefix("session-"), valid_from=event.at)


@REVOCATIONS.on(USER_EVENTS.changed)
def user_changed(rows: Rows, event: Recorded) -> None:
    rows.put("revocations", event.stream.removeprefix("user-"), valid_from=event.at)


@REVOCATIONS.on(USER_EVENTS.deleted)
def user_deleted(rows: Rows, event: Recorded) -> None:
    rows.put("revocations", event.stream.removeprefix("user-"), valid_from=event.at)
