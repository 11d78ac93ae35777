"""Groups, who is in them and what they may do."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import ACTIVITY, choice, flag, line, ref, stamps
from libs.domain.records import OnDelete, RecordType, Unique

GROUP: Final = RecordType(
    name="group", resource="groups", service="auth", table="groups",
    write=None,
    fields=(
        choice("activity", ACTIVITY),
        *stamps(),
        ref("leader", "users"),
        line("name", required=True, search=True),
    ),
    uniques=(Unique(fields=("name",), fold=True),),
)  # fmt: skip

MEMBERSHIP: Final = RecordType(
    name="membership", resource="groups2users", service="auth", table="groups2users",
    read=("admin",), write=None,
    fields=(
        *stamps(),
        ref("group", "groups", OnDelete.DELETE, required=True),
        ref("user", "users", OnDelete.DELETE, required=True),
        flag("writable", "may write what the group owns"),
    ),
    uniques=(Unique(fields=("group", "user")),),
)  # fmt: skip

PERMISSION: Final = RecordType(
    name="permission", resource="permissions", service="auth", table="permissions",
    read=("admin",), write=None,
    fields=(
        *stamps(),
        ref("group", "groups", OnDelete.DELETE, required=True),
        line("identifier"),
        flag("writable", "may write, not only read"),
    ),
    uniques=(Unique(fields=("group", "identifier"), blank=True),),
)  # fmt: skip

RECORDS: Final = (GROUP, MEMBERSHIP, PERMISSION)
