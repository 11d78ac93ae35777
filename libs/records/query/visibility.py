"""Which rows somebody sees, as a condition in SQL. The same decision for one row in Python: ``libs.records.access``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from libs.domain.access import Access
from libs.domain.resources import Resource

Parameter = Callable[[Any, str], str]


def visible(resource: Resource, alias: str, access: Access, resources: Mapping[str, Resource], parameter: Parameter) -> str:
    """``parameter(value, type)`` gives the place of a value. ``true`` if everything is seen."""
    if access.admin:
        return "true"
    parts = [part for part in (_owned(resource, alias, access, parameter), _above(resource, alias, access, resources, parameter)) if part]
    return " and ".join(parts) or "true"


def _owned(resource: Resource, alias: str, access: Access, parameter: Parameter) -> str:
    user, group = resource.owner_user, resource.owner_group
    if not user and not group:
        return ""
    nobody = " and ".join(f"{alias}.{column} is null" for column in (user, group) if column)
    ways = [] if access.nopublic else [f"({nobody})"]
    if user:
        ways.append(f"{alias}.{user} = {parameter(access.user, 'bigint')}")
    if group:
        ways.append(f"{alias}.{group} = any({parameter(sorted(access.groups), 'bigint[]')})")
    return f"({' or '.join(ways)})"


def _above(resource: Resource, alias: str, access: Access, resources: Mapping[str, Resource], parameter: Parameter) -> str:
    parts = []
    for ix, (column, name) in enumerate(resource.parents):
        parent, above = resources[name], f"{alias}_{ix}"
        seen = visible(parent, above, access, resources, parameter)
        exists = (
            f"exists (select 1 from {{{parent.table}}} {above} where {above}.instance = $1 and {above}.id = {alias}.{column} and {seen})"
        )
        parts.append(f"({alias}.{column} is null or {exists})" if resource.any_parent else exists)
    return " and ".join(parts)
