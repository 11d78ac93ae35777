"""What can be asked of auth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from libs.contracts.auth.access_tokens import KEY_PREFIX
from libs.contracts.auth.commands import ACCESS_TOKEN_LIFE_S, GroupHeld, Instance, Me, MyAccess, NoBody, Revocation
from libs.contracts.auth.events import INSTALLATION
from libs.contracts.auth.rights import permissions_of, rights_of
from libs.domain.clock import SystemClock
from libs.domain.errors import DomainError, Kind
from libs.projections.tables import Statement, Tables
from libs.records.access import access_of
from libs.runtime.service import Ask, Query
from services.auth.admission import may_log_in, rights_given, roles_of
from services.auth.token_tables import HOLDER_BY_KEY

INSTANCE_BY_NAME: Final = Statement("select t.id, t.key from {auth.instances} t where t.instance = $1 and t.key = $2")
INSTANCES: Final = Statement("select t.id, t.key, t.closed_at from {auth.instances} t where t.instance = $1 order by t.id")
_LOGIN: Final = (
    "select u.key, u.id, u.username, u.roles, u.rights, u.is_active, u.end_date, u.apionly, c.secret, c.pin from {auth.users} u "
    "left join {auth.credentials} c on c.instance = $1 and c.key = u.key where u.instance = $1"
)
LOGIN: Final = Statement(f"{_LOGIN} and lower(u.username) = lower($2)")
LOGIN_BY_EMAIL: Final = Statement(f"{_LOGIN} and lower(u.email) = lower($2) order by u.id limit 2")
LOGIN_BY_CARD: Final = Statement(f"{_LOGIN} and c.card = $2")
LOGIN_OF_EMPLOYEE: Final = Statement(f"{_LOGIN} and (u.key = $2 or lower(u.username) = lower($3) or u.staff_number = $4::int)")
USER: Final = Statement(
    "select u.key, u.id, u.username, u.first_name, u.last_name, u.short_name, u.email, u.roles, u.is_active, "
    "u.rights, u.staff_number, u.end_date, u.changed_at, u.contact, u.apionly "
    "from {auth.users} u where u.instance = $1 and u.key = $2"
)
LAST_LOGIN: Final = Statement("select l.at from {auth.logins} l where l.instance = $1 and l.key = $2")
CREDENTIAL: Final = Statement("select c.secret from {auth.credentials} c where c.instance = $1 and c.key = $2")
GROUPS: Final = Statement("select g.id, g.name from {auth.groups} g where g.instance = $1 and g.id = any($2::bigint[]) order by g.id")
REVOKED: Final = Statement(
    "select r.key, r.valid_from from {auth.revocations} r where r.instance = $1 and r.valid_from > $2 "
    "and r.key > $3 order by r.key limit $4"
)


async def instances(tables: Tables) -> list[Instance]:
    return [Instance(id=row["id"], name=row["key"], closed_at=row["closed_at"]) for row in await tables.fetch(INSTANCES, INSTALLATION)]


async def list_instances(ask: Ask) -> list[Instance]:
    if ask.principal.level != "system":
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": "operate"})
    return await instances(ask.tables)


async def me(ask: Ask) -> Me:
    row = await ask.tables.fetch_one(USER, ask.instance, ask.principal.user)
    if row is None or not may_log_in(row, SystemClock().now()):
        raise DomainError(Kind.UNAUTHENTICATED, "user_gone")
    roles, rights = roles_of(row), rights_given(row)
    permissions = permissions_of(roles, rights)
    return Me(
        key=row["key"],
        id=row["id"],
        username=row["username"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        short_name=row["short_name"],
        email=row["email"],
        staff_number=row["staff_number"],
        roles=roles,
        rights=rights_of(permissions, rights),
        permissions=permissions,
        changed_at=row["changed_at"],
        contact=row["contact"],
        apionly=bool(row["apionly"]),
        application=await _application(ask),
    )


async def _application(ask: Ask) -> int | None:
    if not ask.principal.session.startswith(KEY_PREFIX):
        return None
    row = await ask.tables.fetch_one(HOLDER_BY_KEY, ask.instance, ask.principal.session)
    return row and row["application_id"]


async def my_access(ask: Ask) -> MyAccess:
    access = await access_of(ask.tables, ask.principal)
    rows = await ask.tables.fetch(GROUPS, ask.instance, list(access.groups))
    return MyAccess(
        admin=access.admin,
        nopublic=access.nopublic,
        groups=tuple(GroupHeld(id=row["id"], name=row["name"], writable=access.groups[row["id"]]) for row in rows),
        permissions=dict(access.permissions),
    )


async def revocations(ask: Ask) -> AsyncIterator[list[Revocation]]:
    """What was revoked within the life of an access token; older tokens are dead anyway."""
    if ask.principal.level != "system":
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": "operate"})
    since = SystemClock().now() - timedelta(seconds=2 * ACCESS_TOKEN_LIFE_S)
    for instance in await instances(ask.tables):
        async for rows in ask.tables.stream(REVOKED, instance.id, since, by="key", first=""):
            yield [Revocation(instance=instance.id, subject=row["key"], valid_from=row["valid_from"]) for row in rows]


QUERIES: Final = (
    Query("instance.list", NoBody, list_instances),
    Query("me", NoBody, me),
    Query("access", NoBody, my_access),
    Query("revocations", NoBody, revocations, stream=True),
)
