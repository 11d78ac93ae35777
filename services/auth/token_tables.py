"""Query tables of access tokens and applications' secrets, and what decides whether a token is good.

Whether somebody may come in is never written into a token's row: it is asked of the rows of user, password and application each time.
``stops`` remembers where in the log a user or an application was last shut out, so that letting it in again wakes no old token.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from libs.contracts.auth.events import APPLICATION_EVENTS, USER_EVENTS
from libs.contracts.auth.records import ACTIVE
from libs.contracts.auth.rights import DENY_LOGIN
from libs.contracts.auth.token_events import ClientSecretSet, TokenIssued, TokenRefreshed, TokenRevoked
from libs.domain.events import Recorded
from libs.projections.declare import Projection, Table
from libs.projections.rows import Rows
from libs.projections.tables import Statement
from services.auth.admission import may_log_in

_COLUMNS: Final = {
    "key": "text",
    "digest": "text",
    "user_key": "text",
    "application": "text",
    "identifier": "text",
    "credential": "text",
    "issued": "bigint",
    "generation": "int",
    "expires": "timestamptz",
    "refreshable_until": "timestamptz",
}
TOKENS: Final = Projection("tokens", 1, (Table("tokens", _COLUMNS, indexes=(("digest",),)),))
STOPS: Final = Projection("stops", 1, (Table("stops", {"key": "text", "position": "bigint"}),))
CLIENT_SECRETS: Final = Projection("client_secrets", 1, (Table("client_secrets", {"key": "text", "secret": "text"}),))
TOKEN_PROJECTIONS: Final = (TOKENS, STOPS, CLIENT_SECRETS)
RESTS_ON: Final = ("tokens", "stops", "users", "credentials", "applications")


_urls = msgspec.json.Decoder(tuple[str, ...])


def _token(event: Recorded) -> str:
    return event.stream.removeprefix("token-")


@TOKENS.on(TokenIssued)
def token_issued(rows: Rows, event: Recorded) -> None:
    issued: TokenIssued = event.data
    rows.put(
        "tokens",
        _token(event),
        digest=issued.digest,
        user_key=issued.user,
        application=issued.application,
        identifier=issued.identifier,
        credential=issued.credential,
        issued=event.position,
        generation=0,
        expires=issued.expires,
        refreshable_until=issued.refreshable_until,
    )


@TOKENS.on(TokenRefreshed, reads=lambda event: [("tokens", (_token(event),))])
def token_refreshed(rows: Rows, event: Recorded) -> None:
    new: TokenRefreshed = event.data
    moved = {"generation": new.generation, "expires": new.expires, "refreshable_until": new.refreshable_until}
    rows.change("tokens", _token(event), digest=new.digest, **moved)


@TOKENS.on(TokenRevoked)
def token_revoked(rows: Rows, event: Recorded) -> None:
    rows.delete("tokens", _token(event))


@STOPS.on(USER_EVENTS.changed)
def user_changed(rows: Rows, event: Recorded) -> None:
    changed: Any = event.data
    if changed.is_active is False or (isinstance(changed.rights, tuple) and DENY_LOGIN in changed.rights):
        rows.put("stops", event.stream.removeprefix("user-"), position=event.position)


@STOPS.on(APPLICATION_EVENTS.changed)
def application_changed(rows: Rows, event: Recorded) -> None:
    changed: Any = event.data
    if isinstance(changed.activity, int) and changed.activity != ACTIVE:
        rows.put("stops", event.stream.removeprefix("application-"), position=event.position)


@CLIENT_SECRETS.on(ClientSecretSet)
def client_secret_set(rows: Rows, event: Recorded) -> None:
    rows.put("client_secrets", event.data.application, secret=event.data.secret)


_HOLDER: Final = (
    "select t.key, t.user_key, t.application, t.identifier, t.credential, t.issued, t.generation, t.expires, "
    "t.refreshable_until, "
    "u.id as user_id, u.username, u.roles, u.rights, u.is_active, u.end_date, c.secret, "
    "a.id as application_id, a.identifier as client, a.activity, p.position as user_stop, q.position as application_stop "
    "from {auth.tokens} t join {auth.users} u on u.instance = $1 and u.key = t.user_key "
    "left join {auth.credentials} c on c.instance = $1 and c.key = t.user_key "
    "left join {auth.applications} a on a.instance = $1 and a.key = t.application "
    "left join {auth.stops} p on p.instance = $1 and p.key = t.user_key "
    "left join {auth.stops} q on q.instance = $1 and q.key = t.application where t.instance = $1"
)
HOLDER: Final = Statement(f"{_HOLDER} and t.digest = $2")
HOLDER_BY_KEY: Final = Statement(f"{_HOLDER} and t.key = $2")
CLIENT: Final = Statement(
    "select a.key, a.id, a.name, a.identifier, a.activity, a.callbackurls, s.secret from {auth.applications} a "
    "left join {auth.client_secrets} s on s.instance = $1 and s.key = a.key where a.instance = $1 and a.key = $2"
)
CLIENT_BY_IDENTIFIER: Final = Statement(
    "select a.key, a.id, a.name, a.identifier, a.activity, a.callbackurls, s.secret from {auth.applications} a "
    "left join {auth.client_secrets} s on s.instance = $1 and s.key = a.key where a.instance = $1 and a.identifier = $2"
)


def callbacks_of(row: Any) -> tuple[str, ...]:
    """Where a browser may be sent with a code for the application of a row."""
    return _urls.decode(row["callbackurls"]) if row["callbackurls"] else ()


def stands(row: Any, at: datetime) -> bool:
    """Whether what a token rests on is still there, expired or not: a user who may log in, the same password, an active application."""
    if not may_log_in(row, at) or row["credential"] != row["secret"] or row["issued"] <= (row["user_stop"] or 0):
        return False
    if row["application"] is None:
        return True
    return row["application_id"] is not None and row["activity"] == ACTIVE and row["issued"] > (row["application_stop"] or 0)


def is_good(row: Any, at: datetime) -> bool:
    """Whether the access token of a row opens the door now."""
    return stands(row, at) and (row["expires"] is None or at < row["expires"])
