"""What somebody may do with ERP records: modules by permission, rows by owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec


class Rights(msgspec.Struct, frozen=True):
    """What somebody may do with one row. Nobody writes what they do not see."""

    sees: bool = True
    writes: bool = True

    def and_(self, other: Rights) -> Rights:
        return Rights(self.sees and other.sees, self.writes and other.writes)


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """``user``: the ID, 0 for Theke itself; ``groups``: those one belongs to, and whether one may write what they own; ``permissions``:
    modules, and whether one may write there; ``nopublic``: rows without an owner are hidden."""

    user: int = 0
    admin: bool = False
    nopublic: bool = False
    groups: Mapping[int, bool] = msgspec.field(default_factory=dict)
    permissions: Mapping[str, bool] = msgspec.field(default_factory=dict)

    def may_read(self, any_of: Iterable[str]) -> bool:
        wanted = tuple(any_of)
        return self.admin or not wanted or any(permission in self.permissions for permission in wanted)

    def may_write(self, any_of: Iterable[str]) -> bool:
        wanted = tuple(any_of)
        return self.admin or not wanted or any(self.permissions.get(permission) for permission in wanted)

    def rights(self, owner_user: int | None, owner_group: int | None) -> Rights:
        """Of a row with these owners."""
        if self.admin:
            return Rights()
        if owner_user is None and owner_group is None:
            return Rights(not self.nopublic, not self.nopublic)
        if owner_user is not None and owner_user == self.user:
            return Rights()
        member = self.groups.get(owner_group) if owner_group is not None else None
        return Rights(member is not None, bool(member))


ALL: Access = Access(admin=True)
