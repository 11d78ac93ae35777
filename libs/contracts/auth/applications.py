"""Applications as the ERP sees them. They are registered by who runs the installation; here they are only read."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import ACTIVITY
from libs.domain.resources import Column, ColumnType, Join, Resource


def _text(name: str) -> Column:
    return Column(name=name, type=ColumnType.TEXT, sql=f"coalesce(@.{name}, '')")


def _time(name: str, column: str) -> Column:
    return Column(name=name, type=ColumnType.TIME, sql=f"floor(extract(epoch from @.{column}))::bigint")


APPLICATIONS: Final = Resource(
    name="applications",
    table="auth.applications",
    type="application",
    read=("dev",),
    keyed=True,
    columns=(
        Column(name="ID", type=ColumnType.INTEGER, sql="@.id"),
        Column(name="activity", type=ColumnType.INTEGER, sql="@.activity", choices=ACTIVITY, doc="its tokens are dead unless it is ACTIVE"),
        _time("creationdate", "created_at"),
        Column(
            name="creator",
            type=ColumnType.INTEGER,
            sql="(select u.id from {auth.users} u where u.instance = $1 and u.key = @.creator)",
            doc="null if Theke itself made it",
        ),
        _text("identifier"),
        _time("lastmodified", "changed_at"),
        _text("name"),
        _text("vendor"),
        Column(name="version", type=ColumnType.INTEGER, sql="@.release", doc="1.00-00 is 10000"),
    ),
    joins={"creator": Join(resource="users", on="@.key = t.creator")},
    search="@.search_text",
)
