"""Who may do what: the roles and rights of auth against what the endpoints ask of the services, as one matrix."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec

from libs.contracts.auth.rights import DOWNSTREAM, ROLES, permissions_of
from libs.runtime.config import SERVICES


class Need(msgspec.Struct, frozen=True, order=True):
    """A permission and whether it has to be one for writing."""

    permission: str
    write: bool

    def met_by(self, held: Mapping[str, bool]) -> bool:
        return self.permission in held and (held[self.permission] or not self.write)


@cache
def asked() -> Mapping[str, Need | None]:
    """``pos.receipt.sell`` → what it needs; None: nothing but a login, or not even that."""
    needs: dict[str, Need | None] = {}
    for name in SERVICES:
        service: Any = importlib.import_module(f"services.{name}.service").SERVICE
        for write, kinds in ((True, service.commands), (False, service.queries)):
            needs |= {f"{name}.{kind.name}": Need(kind.permission, write) if kind.permission else None for kind in kinds}
        needs |= {f"{name}.{door}": Need(*right) if right[0] else None for door, right in service.doors.items()}
        needs[f"{name}.log"] = Need(DOWNSTREAM, write=False)
    return needs


def needs_of(route: Any) -> tuple[Need, ...]:
    """All of what a route needs. Raises LookupError if it asks what no service answers."""
    return tuple(sorted({need for name in route.asks if (need := asked()[name]) is not None}))


def may(held: Mapping[str, bool], route: Any) -> bool:
    return all(need.met_by(held) for need in needs_of(route))


def matrix(routes: Iterable[Any]) -> list[tuple[str, tuple[bool, ...], tuple[Need, ...]]]:
    """(endpoint, by role in the order of ``ROLES``, what it needs) of every endpoint that wants a login."""
    held = [permissions_of([role]) for role in ROLES]
    return [
        (f"{route.method} {route.path}", tuple(may(one, route) for one in held), needs_of(route)) for route in routes if not route.public
    ]
