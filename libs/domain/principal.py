"""Who is acting. One shape for people, keys and Theke's own processes, whatever dialect they came in by."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """``user`` is the user's key (``usr_…``) or ``system:<service>``; ``permissions`` maps a permission's name to whether it may
    write; ``level`` is the operator's access level (empty for ordinary users)."""

    instance: int
    user: str
    session: str = ""
    level: str = ""
    permissions: Mapping[str, bool] = msgspec.field(default_factory=dict)
    groups: tuple[int, ...] = ()

    def may(self, permission: str, *, write: bool) -> bool:
        if not permission or self.level == "system":
            return True
        held = self.permissions.get(permission)
        return held is not None and (held or not write)


def system(instance: int, service: str) -> Principal:
    """Theke itself, acting for an instance (demo data, processes, migrations)."""
    return Principal(instance=instance, user=f"system:{service}", level="system")
