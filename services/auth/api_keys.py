"""API keys: made and revoked by who runs the installation, asked about by gateways at every request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from libs.contracts.auth.api_keys import (
    KEY_PREFIX,
    LIFE_MAX_DAYS,
    LISTED_MAX,
    NAME_MAX_CHARS,
    SCOPES,
    ApiKey,
    ApiKeyCreated,
    ApiKeyRevoked,
    CreateApiKey,
    ResolveApiKey,
    RevokeApiKey,
)
from libs.contracts.auth.commands import NoBody
from libs.contracts.auth.rights import OPERATE
from libs.domain.clock import SystemClock
from libs.domain.decider import Aggregate, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import DomainError, FieldError, Kind, invalid, not_found
from libs.domain.events import Recorded
from libs.domain.ids import key_of
from libs.projections.declare import Projection, Table
from libs.projections.rows import Rows
from libs.projections.tables import Statement
from libs.runtime.service import Ask, Query

DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_scopes: Final = msgspec.json.Decoder(tuple[str, ...])


class KeyState(msgspec.Struct, frozen=True):
    created: ApiKeyCreated | None = None
    revoked_at: datetime | None = None


def evolve(state: KeyState, event: Recorded) -> KeyState:
    if isinstance(event.data, ApiKeyCreated):
        return KeyState(event.data)
    return msgspec.structs.replace(state, revoked_at=event.at)


API_KEY: Final = Aggregate("api_key", KeyState(), evolve)


def _key(command: Command[Any]) -> str:
    key: str = command.body.key if isinstance(command.body, RevokeApiKey) else key_of(KEY_PREFIX, command.id)
    return key


def decide_create(_: States, command: Command[CreateApiKey], __: Any) -> Decision:
    body, faults = command.body, list[FieldError]()
    if not 1 <= len(body.name.strip()) <= NAME_MAX_CHARS:
        faults.append(FieldError("name", "too_long" if body.name.strip() else "required", {"max": NAME_MAX_CHARS}))
    if not body.scopes or not set(body.scopes) <= set(SCOPES):
        faults.append(FieldError("scopes", "not_allowed", {"allowed": ", ".join(SCOPES)}))
    if not command.at < body.expires <= command.at + timedelta(days=LIFE_MAX_DAYS):
        faults.append(FieldError("expires", "out_of_range", {"min": 1, "max": LIFE_MAX_DAYS}))
    if faults:
        raise invalid(*faults)
    created = ApiKeyCreated(
        name=body.name.strip(), prefix=body.prefix, digest=body.digest, scopes=tuple(sorted(set(body.scopes))), expires=body.expires
    )
    return Decision({API_KEY.stream(_key(command)): [created]})


def decide_revoke(states: States, command: Command[RevokeApiKey], _: Any) -> Decision:
    key = command.body.key
    state: KeyState = states.get(API_KEY.stream(key), API_KEY.initial)
    if state.created is None:
        raise not_found("row_not_found", id=key[:50])
    if state.revoked_at is not None:
        return Decision({})
    return Decision({API_KEY.stream(key): [ApiKeyRevoked(prefix=state.created.prefix)]})


def reply(states: States, command: Command[Any], _: Sequence[Recorded]) -> ApiKey:
    key = _key(command)
    state: KeyState = states[API_KEY.stream(key)]
    assert state.created is not None
    made = state.created
    return ApiKey(key=key, name=made.name, prefix=made.prefix, scopes=made.scopes, expires=made.expires, revoked_at=state.revoked_at)


def _new(command: Command[CreateApiKey]) -> tuple[StreamRef, ...]:
    return (StreamRef(API_KEY, _key(command), new=True),)


def _known(command: Command[RevokeApiKey]) -> tuple[StreamRef, ...]:
    return (StreamRef(API_KEY, command.body.key),) if re.fullmatch(rf"{KEY_PREFIX}_[a-z0-9]{{1,40}}", command.body.key) else ()


COMMANDS: Final = (
    CommandType("api_key.create", CreateApiKey, _new, decide_create, reply, OPERATE),
    CommandType("api_key.revoke", RevokeApiKey, _known, decide_revoke, reply, OPERATE),
)

API_KEYS: Final = Projection(
    "api_keys",
    1,
    (
        Table(
            "api_keys",
            {
                "key": "text",
                "name": "text",
                "prefix": "text",
                "digest": "text",
                "scopes": "text",
                "expires": "timestamptz",
                "revoked_at": "timestamptz",
            },
            indexes=(("digest",),),
        ),
    ),
)


def _row(event: Recorded) -> list[tuple[str, tuple[str]]]:
    return [("api_keys", (_of(event),))]


def _of(event: Recorded) -> str:
    return event.stream.removeprefix("api_key-")


@API_KEYS.on(ApiKeyCreated)
def api_key_created(rows: Rows, event: Recorded) -> None:
    made: ApiKeyCreated = event.data
    scopes = msgspec.json.encode(made.scopes).decode()
    rows.put(
        "api_keys", _of(event), name=made.name, prefix=made.prefix, digest=made.digest, scopes=scopes, expires=made.expires, revoked_at=None
    )


@API_KEYS.on(ApiKeyRevoked, reads=_row)
def api_key_revoked(rows: Rows, event: Recorded) -> None:
    rows.change("api_keys", _of(event), revoked_at=event.at)


_COLUMNS: Final = "k.key, k.name, k.prefix, k.scopes, k.expires, k.revoked_at"
LISTED: Final = Statement(f"select {_COLUMNS} from {{auth.api_keys}} k where k.instance = $1 order by k.prefix, k.key limit {LISTED_MAX}")
BY_DIGEST: Final = Statement(f"select {_COLUMNS} from {{auth.api_keys}} k where k.instance = $1 and k.digest = $2")


async def listed(ask: Ask) -> list[ApiKey]:
    return [_shown(row) for row in await ask.tables.fetch(LISTED, ask.instance)]


async def resolve(ask: Ask) -> ApiKey:
    """The key of this digest, if it is good. Raises ``access_token_invalid`` whatever is wrong with it."""
    row = await ask.tables.fetch_one(BY_DIGEST, ask.instance, ask.body.digest) if DIGEST.fullmatch(ask.body.digest) else None
    if row is None or row["revoked_at"] is not None or row["expires"] <= SystemClock().now():
        raise DomainError(Kind.UNAUTHENTICATED, "access_token_invalid")
    return _shown(row)


def _shown(row: Any) -> ApiKey:
    return ApiKey(
        key=row["key"], name=row["name"], prefix=row["prefix"], scopes=_scopes.decode(row["scopes"]), expires=row["expires"],
        revoked_at=row["revoked_at"],
    )  # fmt: skip


QUERIES: Final = (Query("api_key.list", NoBody, listed, OPERATE), Query("api_key.resolve", ResolveApiKey, resolve, OPERATE))
