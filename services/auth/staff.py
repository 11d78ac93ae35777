"""Employees: the user record with its credentials, staff number and the rule that somebody must be left to administer the house.

These stand in for the record engine's own ``user.create``, ``.change`` and ``.delete``, so that no way past the rules is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from libs.contracts.auth.commands import StaffView
from libs.domain.decider import Command, CommandType, Decision, Lookup, States, StreamRef
from libs.domain.errors import FieldError
from libs.domain.events import Event, Recorded
from libs.domain.ids import key_of
from libs.domain.records import RecordView
from libs.records.engine import Change, Create, Delete, Deleted
from libs.records.state import RecordState, named_values
from services.auth.credentials import CREDENTIAL, Credential, CredentialChanges, CredentialState, changes
from services.auth.records import USERS
from services.auth.roster import ROSTER, ROSTER_REF, ROSTER_STREAM, Entry, Roster, StaffListed, StaffStruck, is_admin

_CREATE, _CHANGE, _DELETE = USERS.commands()
_BLANK: Final = {field.name: field.default for field in USERS.type.fields}
LISTED: Final = frozenset({"staff_number", "roles", "rights", "is_active", "end_date"})  # fields that the roster rests on
ADMIN_COLUMNS: Final = ("key", "roles", "rights", "is_active", "end_date")
_USER: Final = USERS.aggregate


class CreateUser(Create, frozen=True, kw_only=True):
    credentials: tuple[Credential, ...] = ()


class ChangeUser(Change, frozen=True, kw_only=True):
    credentials: tuple[Credential, ...] = ()


class StaffFacts(msgspec.Struct, frozen=True):
    """``faults``: what the record engine found; ``admins``: the administrators that the query table knows."""

    faults: Any = ()
    admins: frozenset[str] = frozenset()


def user_key(command: Command[CreateUser]) -> str:
    return command.body.key or key_of(USERS.type.prefix, command.id)


# --- what is read before deciding ---------------------------------------------------------------------------------------------


async def _admins(command: Command[Any], lookup: Lookup) -> frozenset[str]:
    instance = str(command.instance)
    rows = (await lookup.rows("auth.users", command.instance, [instance], ADMIN_COLUMNS, by="instance")).get(instance, ())
    return frozenset(row["key"] for row in rows if is_admin({**row, "roles": _names(row["roles"]), "rights": _names(row["rights"])}))


def _names(column: str | None) -> list[str]:
    return msgspec.json.decode(column, type=list[str]) if column else []


async def change_facts(command: Command[ChangeUser], lookup: Lookup) -> StaffFacts:
    assert _CHANGE.facts is not None
    faults = await _CHANGE.facts(command, lookup)
    return StaffFacts(faults, await _admins(command, lookup) if _touches_roster(command) else frozenset())


async def delete_facts(command: Command[Delete], lookup: Lookup) -> StaffFacts:
    assert _DELETE.facts is not None
    return StaffFacts(await _DELETE.facts(command, lookup), await _admins(command, lookup))


def _touches_roster(command: Command[ChangeUser]) -> bool:
    return not LISTED.isdisjoint(command.body.values)


def _create_streams(command: Command[CreateUser]) -> tuple[StreamRef, ...]:
    credential = StreamRef(CREDENTIAL, user_key(command), new=command.body.key is None)
    return (*_CREATE.streams(command), ROSTER_REF, *([credential] if command.body.credentials else []))


def _change_streams(command: Command[ChangeUser]) -> tuple[StreamRef, ...]:
    roster = [ROSTER_REF] if _touches_roster(command) else []
    return (*_CHANGE.streams(command), StreamRef(CREDENTIAL, command.body.key), *roster)


def _delete_streams(command: Command[Delete]) -> tuple[StreamRef, ...]:
    return (*_DELETE.streams(command), StreamRef(CREDENTIAL, command.body.key), ROSTER_REF)


# --- deciding -----------------------------------------------------------------------------------------------------------------


def decide_create(states: States, command: Command[CreateUser], faults: tuple[FieldError, ...]) -> Decision:
    user = user_key(command)
    roster: Roster = states.get(ROSTER_STREAM, ROSTER.initial)
    automatic = command.body.values.get("staff_number") is None
    if automatic:
        numbered = {**command.body.values, "staff_number": roster.next_number()}
        command = msgspec.structs.replace(command, body=msgspec.structs.replace(command.body, values=numbered))
    decision = _CREATE.decide(states, command, faults)
    values = _after(_BLANK, decision, user)
    listed = StaffListed(user=user, staff_number=values["staff_number"], is_admin=is_admin(values), automatic=automatic)
    return _with(decision, user, changes(user, CREDENTIAL.initial, command.body.credentials), [listed])


def decide_change(states: States, command: Command[ChangeUser], facts: StaffFacts) -> Decision:
    user = command.body.key
    before: RecordState = states[_USER.stream(user)]
    decision = _CHANGE.decide(states, command, facts.faults)
    credentials = changes(user, states[CREDENTIAL.stream(user)], command.body.credentials)
    if ROSTER_STREAM not in states:
        return _with(decision, user, credentials)
    roster: Roster = states[ROSTER_STREAM]
    values = _after(before.values, decision, user)
    if is_admin(before.values) and not is_admin(values):
        roster.require_another_admin(user, facts.admins)
    entry = Entry(values["staff_number"], is_admin(values))
    moved = entry != roster.entries.get(user)
    listed = [StaffListed(user=user, staff_number=entry.staff_number, is_admin=entry.is_admin)] if moved else []
    return _with(decision, user, credentials, listed)


def decide_delete(states: States, command: Command[Delete], facts: StaffFacts) -> Decision:
    """Cards are free again; what the employee did stays in the books."""
    user = command.body.key
    roster: Roster = states[ROSTER_STREAM]
    decision = _DELETE.decide(states, command, facts.faults)
    if is_admin(states[_USER.stream(user)].values):
        roster.require_another_admin(user, facts.admins)
    gone = (Credential(kind="pin", secret=None), Credential(kind="card", secret=None))
    return _with(decision, user, changes(user, states[CREDENTIAL.stream(user)], gone), [StaffStruck(user=user)])


def _after(values: dict[str, Any], decision: Decision, user: str) -> dict[str, Any]:
    """The user's values once this is written."""
    for event in decision.writes.get(_USER.stream(user), ()):
        values = {**values, **named_values(event)}
    return values


def _with(decision: Decision, user: str, credentials: CredentialChanges, roster: Sequence[Event] = ()) -> Decision:
    """All that is to be written. The log notes claims for the first stream that is named: it has to be the user's own every time."""
    own = {_USER.stream(user): decision.writes.get(_USER.stream(user), ())}
    more = {CREDENTIAL.stream(user): credentials.events, ROSTER_STREAM: roster}
    written = {stream: events for stream, events in more.items() if events}
    return Decision(
        {**own, **written} if written else decision.writes,
        take=(*decision.take, *credentials.take),
        give_up=(*decision.give_up, *credentials.give_up),
    )


# --- answers ------------------------------------------------------------------------------------------------------------------


def staff_view(record: RecordView, credentials: CredentialState) -> StaffView:
    return StaffView(
        **msgspec.structs.asdict(record),
        has_password=bool(credentials.secret),
        has_pin=bool(credentials.pin),
        has_card=bool(credentials.card),
    )


def _reply(states: States, command: Command[Any], recorded: Sequence[Recorded]) -> StaffView:
    user = command.body.key if isinstance(command.body, Change) else user_key(command)
    return staff_view(states[_USER.stream(user)].view(), states.get(CREDENTIAL.stream(user), CREDENTIAL.initial))


def _reply_deleted(states: States, command: Command[Delete], _: Sequence[Recorded]) -> Deleted:
    user = command.body.key
    return Deleted(key=user, id=states[_USER.stream(user)].id)


CREATE: Final = CommandType(_CREATE.name, CreateUser, _create_streams, decide_create, _reply, _CREATE.permission, _CREATE.facts)
CHANGE: Final = CommandType(_CHANGE.name, ChangeUser, _change_streams, decide_change, _reply, _CHANGE.permission, change_facts)
DELETE: Final = CommandType(_DELETE.name, Delete, _delete_streams, decide_delete, _reply_deleted, _DELETE.permission, delete_facts)
COMMANDS: Final = (CREATE, CHANGE, DELETE)
