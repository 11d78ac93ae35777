"""Users of no instance: added with a password, checked with as much care as everybody else's, removed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec

from libs.bus.server import Request
from libs.contracts.auth.commands import NoBody
from libs.contracts.auth.events import INSTALLATION
from libs.contracts.auth.operators import (
    USERNAME_MAX_CHARS,
    AddOperator,
    CheckOperator,
    Level,
    Operator,
    OperatorAdded,
    OperatorRemoved,
    RemoveOperator,
)
from libs.contracts.auth.rights import OPERATE
from libs.domain.decider import Aggregate, Claim, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import DomainError, FieldError, Kind, invalid, not_found
from libs.domain.events import Recorded
from libs.domain.principal import Principal
from libs.projections.declare import Projection, Table
from libs.projections.rows import Rows
from libs.projections.tables import Statement
from libs.runtime.dispatcher import command_of, decoded, principal_of
from libs.runtime.service import Ask, Host, Query
from services.auth.attempts import nobody
from services.auth.password_check import WRONG
from services.auth.safekeeping import Safekeeping
from services.auth.throttle import Knock, PasswordTries, place_of

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")
KEY: Final = re.compile(r"[0-9a-f]{32}")
CLAIM: Final = "operator.username"
MOST: Final = 1_000  # that are listed


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An operator whose password was put away under the name ``secret``."""

    username: str
    level: Level
    secret: str


# --- deciding -----------------------------------------------------------------------------------------------------------------


class OperatorState(msgspec.Struct, frozen=True):
    username: str = ""
    level: Level = "audit"
    removed: bool = False


def evolve(state: OperatorState, event: Recorded) -> OperatorState:
    if isinstance(event.data, OperatorAdded):
        return OperatorState(event.data.username, event.data.level)
    return msgspec.structs.replace(state, removed=True)


OPERATOR: Final = Aggregate("operator", OperatorState(), evolve)


def _require_operator(command: Command[Any]) -> None:
    if command.instance != INSTALLATION or command.principal.level != "system":
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": OPERATE})


def decide_add(_: States, command: Command[Kept], __: Any) -> Decision:
    _require_operator(command)
    body = command.body
    if len(body.username) > USERNAME_MAX_CHARS:
        raise invalid(FieldError("username", "too_long", {"max": USERNAME_MAX_CHARS}))
    if not NAME.fullmatch(body.username):
        raise invalid(FieldError("username", "not_allowed", {"allowed": "A-Z a-z 0-9 . _ @ -"}))
    added = OperatorAdded(username=body.username, level=body.level, secret=body.secret)
    return Decision({OPERATOR.stream(command.id.hex): [added]}, take=(Claim(CLAIM, body.username.casefold()),))


def reply_add(_: States, command: Command[Kept], __: Sequence[Recorded]) -> Operator:
    return Operator(key=command.id.hex, username=command.body.username, level=command.body.level, added_at=command.at)


def decide_remove(states: States, command: Command[RemoveOperator], _: Any) -> Decision:
    _require_operator(command)
    body = command.body
    state: OperatorState = states.get(OPERATOR.stream(body.key), OPERATOR.initial)
    if state.username != body.username or state.removed:
        raise not_found("user_not_found", id=body.username[:USERNAME_MAX_CHARS])
    name = OPERATOR.stream(body.key)
    return Decision({name: [OperatorRemoved(username=state.username)]}, give_up=(Claim(CLAIM, state.username.casefold(), name),))


def reply_remove(states: States, command: Command[RemoveOperator], _: Sequence[Recorded]) -> Operator:
    state: OperatorState = states[OPERATOR.stream(command.body.key)]
    return Operator(key=command.body.key, username=state.username, level=state.level)


def _removed(command: Command[RemoveOperator]) -> tuple[StreamRef, ...]:
    return (StreamRef(OPERATOR, command.body.key),) if KEY.fullmatch(command.body.key) else ()


ADD: Final = CommandType("operator.keep", Kept, lambda command: (StreamRef(OPERATOR, command.id.hex, new=True),), decide_add, reply_add)
REMOVE: Final = CommandType("operator.remove", RemoveOperator, _removed, decide_remove, reply_remove, OPERATE)


# --- showing ------------------------------------------------------------------------------------------------------------------

OPERATORS: Final = Projection(
    "operators",
    1,
    (Table("operators", {"key": "text", "username": "text", "level": "text", "secret": "text", "added_at": "timestamptz"}),),
)


@OPERATORS.on(OperatorAdded)
def operator_added(rows: Rows, event: Recorded) -> None:
    data: OperatorAdded = event.data
    key = event.stream.rpartition("-")[2]
    rows.put("operators", key, username=data.username, level=data.level, secret=data.secret, added_at=event.at)


@OPERATORS.on(OperatorRemoved)
def operator_removed(rows: Rows, event: Recorded) -> None:
    rows.delete("operators", event.stream.rpartition("-")[2])


_COLUMNS: Final = "o.key, o.username, o.level, o.secret, o.added_at"
LISTED: Final = Statement(f"select {_COLUMNS} from {{auth.operators}} o where o.instance = $1 order by o.added_at, o.key limit {MOST}")
NAMED: Final = Statement(f"select {_COLUMNS} from {{auth.operators}} o where o.instance = $1 and lower(o.username) = lower($2)")


async def listed(ask: Ask) -> list[Operator]:
    if ask.principal.level != "system":
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": OPERATE})
    return [_operator(row) for row in await ask.tables.fetch(LISTED, INSTALLATION)]


def _operator(row: Any) -> Operator:
    return Operator(key=row["key"], username=row["username"], level=row["level"], added_at=row["added_at"])


QUERIES: Final = (Query("operator.list", NoBody, listed),)


# --- what carries a password --------------------------------------------------------------------------------------------------


class OperatorDoors:
    """Asked by Theke itself: the command line, and a gateway on behalf of whoever types a password there."""

    def __init__(self, host: Host, safe: Safekeeping, tries: PasswordTries) -> None:
        self._host = host
        self._safe = safe
        self._tries = tries

    async def add(self, request: Request) -> bytes:
        asked, principal = decoded(request.body, AddOperator), _operating(request)
        if faults := self._safe.password_faults(asked.password, asked.username):
            raise invalid(*faults)
        id_ = request.command_id or uuid4()
        name = await self._safe.keep_hash(INSTALLATION, f"operator {id_}", asked.password)
        body = Kept(username=asked.username, level=asked.level, secret=name)
        answer, _ = await self._host.dispatcher.execute(ADD, command_of(request, principal, body, id_), timeout=request.left())
        return msgspec.msgpack.encode(answer)

    async def check(self, request: Request) -> bytes:
        """Who it is, if the password is right. One refusal for everything that is wrong, and it takes as long; too many are paused."""
        asked = decoded(request.body, CheckOperator)
        _operating(request)
        row = await self._host.tables.fetch_one(NAMED, INSTALLATION, asked.username)
        subject = f"operator {row['key'] if row else nobody(asked.username.casefold())}"
        knock = Knock(INSTALLATION, subject, place_of(asked.origin))
        async with self._tries.turn(knock):
            right = await self._safe.matches(INSTALLATION, row["secret"] if row else None, asked.password)
            if not right or row is None:
                await self._tries.count_wrong(knock)
                raise WRONG
        await self._tries.came_in(knock)
        return msgspec.msgpack.encode(_operator(row))


def _operating(request: Request) -> Principal:
    principal = principal_of(request)
    if principal.instance != INSTALLATION or principal.level != "system":
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": OPERATE})
    return principal
