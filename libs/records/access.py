"""Who may do what with ERP records, read anew for every request: a right that is taken away is gone at once."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from libs.contracts.auth.modules import ADMIN, RIGHT_MODULES, ROLE_MODULES
from libs.domain.access import ALL, Access, Rights
from libs.domain.errors import DomainError, Kind
from libs.domain.principal import Principal
from libs.domain.resources import Resource
from libs.projections.tables import Statement

_ACCESS: Final = Statement(
    "select u.id, u.roles, u.nopublic, "
    "(select jsonb_object_agg(m.group_, m.writable) from {auth.groups2users} m join {auth.groups} g on g.instance = $1 and g.id = m.group_ "
    "where m.instance = $1 and m.user_ = u.id and g.activity = 0) as groups, "
    "(select jsonb_object_agg(h.identifier, h.writable) from (select p.identifier, max(p.writable) as writable from {auth.groups2users} n "
    "join {auth.groups} o on o.instance = $1 and o.id = n.group_ join {auth.permissions} p on p.instance = $1 and p.group_ = n.group_ "
    "where n.instance = $1 and n.user_ = u.id and o.activity = 0 group by p.identifier) h) as permissions "
    "from {auth.users} u where u.instance = $1 and u.key = $2"
)
_names: Final = msgspec.json.Decoder(tuple[str, ...])
_flags: Final = msgspec.json.Decoder(dict[str, int])


class Reader(Protocol):
    """What rights are read from."""

    async def fetch(self, statement: Statement, instance: int, *arguments: Any) -> list[Any]: ...

    def rows(
        self, table: str, instance: int, keys: Sequence[str], columns: tuple[str, ...], by: str = "key"
    ) -> Awaitable[Mapping[str, Sequence[Any]]]: ...


async def access_of(reader: Reader, principal: Principal) -> Access:
    """Of a principal, now. Raises ``unauthenticated`` for a user that is not there."""
    if principal.level == "system":
        return ALL
    found = await reader.fetch(_ACCESS, principal.instance, principal.user)
    if not found:
        raise DomainError(Kind.UNAUTHENTICATED, "access_token_invalid")
    row = found[0]
    roles = _names.decode(row["roles"]) if row["roles"] else ()
    permissions = {name: bool(writes) for name, writes in _said(row["permissions"]).items()}
    held = [(module, principal.permissions[right]) for right, module in RIGHT_MODULES.items() if right in principal.permissions]
    for module, writes in (*held, *(given for role in roles for given in ROLE_MODULES.get(role, {}).items())):
        permissions[module] = permissions.get(module, False) or writes
    return Access(
        user=row["id"],
        admin=ADMIN in roles,
        nopublic=bool(row["nopublic"]),
        groups={int(group): bool(writes) for group, writes in _said(row["groups"]).items()},
        permissions=permissions,
    )


def _said(text: str | None) -> dict[str, int]:
    return _flags.decode(text) if text else {}


def require_read(access: Access, resource: Resource) -> None:
    if not access.may_read(resource.read):
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": ", ".join(resource.read)})


class RowRights:
    """The rights to rows, by what their owners and the rows above them say."""

    def __init__(self, reader: Reader, resources: Mapping[str, Resource], access: Access, instance: int) -> None:
        self._reader = reader
        self._resources = resources
        self._access = access
        self._instance = instance

    async def find(self, resource: str, id_: int) -> tuple[Mapping[str, Any] | None, Rights]:
        """What decides about a row, and the rights to it; None if it is not there."""
        declared = self._resources[resource]
        columns = tuple(dict.fromkeys(["id", *_owners(declared), *(column for column, _ in declared.parents)]))
        found = await self._reader.rows(declared.table, self._instance, [str(id_)], columns, "id")
        row = found[str(id_)][0] if str(id_) in found else None
        return row, await self.of(declared, row) if row is not None else Rights(sees=False, writes=False)

    async def of(self, resource: Resource, row: Mapping[str, Any]) -> Rights:
        """``row`` by column."""
        own = Rights()
        if _owners(resource):
            own = self._access.rights(
                row[resource.owner_user] if resource.owner_user else None, row[resource.owner_group] if resource.owner_group else None
            )
        return own.and_(await self.above(resource, row))

    async def above(self, resource: Resource, row: Mapping[str, Any]) -> Rights:
        """What the rows above allow. None of them stands above itself: resources are declared so."""
        rights = Rights()
        if not self._access.admin:
            for column, parent in resource.parents:
                if row[column] is not None:
                    _, found = await self.find(parent, row[column])
                    rights = rights.and_(found)
        return rights


def _owners(resource: Resource) -> list[str]:
    return [column for column in (resource.owner_user, resource.owner_group) if column]
