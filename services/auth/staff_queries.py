"""Employees as they are shown: records with the logins they have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from libs.contracts.auth.commands import Colleague, ColleagueList, StaffView
from libs.contracts.auth.rights import STAFF
from libs.domain.records import RecordView
from libs.projections.listed import Lister
from libs.projections.tables import Statement
from libs.records.lists import Listing
from libs.runtime.lists import RowList
from libs.runtime.records import ByKey, RecordReads
from libs.runtime.service import Ask, Query
from services.auth.admission import MAY_LOG_IN, working_day
from services.auth.credentials import CredentialState
from services.auth.records import USERS
from services.auth.staff import staff_view

_users = RecordReads(USERS)
_CREDENTIALS = Statement(
    "select c.key, c.secret, c.pin, c.card from {auth.credentials} c where c.instance = $1 and c.key = any($2::text[])"
)
_LOGINS = Statement("select l.key, l.at from {auth.logins} l where l.instance = $1 and l.key = any($2::text[])")


async def _views(ask: Ask, records: Sequence[RecordView]) -> list[StaffView]:
    keys = [record.key for record in records]
    credentials = {
        row["key"]: CredentialState(row["secret"] or "", None, row["pin"] or "", row["card"] or "")
        for row in await ask.tables.fetch(_CREDENTIALS, ask.instance, keys)
    }
    logins = {row["key"]: row["at"] for row in await ask.tables.fetch(_LOGINS, ask.instance, keys)}
    return [
        msgspec.structs.replace(staff_view(record, credentials.get(record.key, CredentialState())), last_login=logins.get(record.key))
        for record in records
    ]


async def get(ask: Ask) -> StaffView:
    return (await _views(ask, [await _users.get(ask)]))[0]


async def list_(ask: Ask) -> AsyncIterator[list[StaffView]]:
    async for records in _users.listed(ask):
        yield await _views(ask, records)


def _name(row: Any) -> str:
    whole = " ".join(filter(None, (row["first_name"], row["last_name"])))
    name: str = row["short_name"] or whole or row["username"]
    return name


def _colleague(row: Any) -> Colleague:
    return Colleague(key=row["key"], staff_number=row["staff_number"], name=_name(row), has_pin=row["pin"] is not None)


# who could take over a device; no more of them than the till shows anyway
COLLEAGUES: Final = RowList(
    Lister(
        "t.id, t.key, t.staff_number, t.username, t.first_name, t.last_name, t.short_name, c.pin",
        "{auth.users} t left join {auth.credentials} c on c.instance = $1 and c.key = t.key",
        "id",
    ),
    ColleagueList,
    {"at": MAY_LOG_IN},
    {"staff_number": "t.staff_number"},
    _colleague,
    read={"at": working_day},
)

STAFF_QUERIES: Final = (
    Query("staff.get", ByKey, get, STAFF),
    Query("staff.list", Listing, list_, STAFF, stream=True),
    *COLLEAGUES.queries("staff.colleague"),
)
