"""Employees as they are shown: records with the logins they have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from libs.contracts.auth.commands import Colleague, NoBody, StaffView
from libs.contracts.auth.rights import STAFF
from libs.domain.clock import SystemClock
from libs.domain.records import RecordView
from libs.projections.tables import Statement
from libs.records.lists import Listing
from libs.runtime.records import ByKey, RecordReads
from libs.runtime.service import Ask, Query
from services.auth.admission import may_log_in
from services.auth.credentials import CredentialState
from services.auth.records import USERS
from services.auth.staff import staff_view

_users = RecordReads(USERS)
_CREDENTIALS = Statement(
    "select c.key, c.secret, c.pin, c.card from {auth.credentials} c where c.instance = $1 and c.key = any($2::text[])"
)
_LOGINS = Statement("select l.key, l.at from {auth.logins} l where l.instance = $1 and l.key = any($2::text[])")
_COLLEAGUES = Statement(
    "select u.id, u.key, u.staff_number, u.username, u.first_name, u.last_name, u.short_name, u.rights, u.is_active, u.end_date, c.pin "
    "from {auth.users} u left join {auth.credentials} c on c.instance = $1 and c.key = u.key "
    "where u.instance = $1 and u.is_active and u.id > $2 order by u.id limit $3"
)


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


async def colleagues(ask: Ask) -> AsyncIterator[list[Colleague]]:
    """Who could take over a device; no more of them than the till shows anyway."""
    now = SystemClock().now()
    async for rows in ask.tables.stream(_COLLEAGUES, ask.instance, by="id"):
        yield [
            Colleague(key=row["key"], staff_number=row["staff_number"], name=_name(row), has_pin=row["pin"] is not None)
            for row in rows
            if may_log_in(row, now)
        ]


def _name(row: Any) -> str:
    whole = " ".join(filter(None, (row["first_name"], row["last_name"])))
    name: str = row["short_name"] or whole or row["username"]
    return name


STAFF_QUERIES: Final = (
    Query("staff.get", ByKey, get, STAFF),
    Query("staff.list", Listing, list_, STAFF, stream=True),
    Query("staff.colleagues", NoBody, colleagues, stream=True),
)
