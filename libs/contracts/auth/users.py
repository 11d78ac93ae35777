"""Staff as the ERP sees them: users. They are written at the till's side; here they are only read."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import ACTIVITY, ref
from libs.domain.records import RecordType
from libs.domain.resources import Column, ColumnType, Join, Resource


def _number(name: str, sql: str, doc: str = "") -> Column:
    return Column(name=name, type=ColumnType.INTEGER, sql=sql, doc=doc)


def _text(name: str, sql: str, doc: str = "") -> Column:
    return Column(name=name, type=ColumnType.TEXT, sql=f"coalesce({sql}, '')", doc=doc)


def _time(name: str, sql: str, doc: str = "") -> Column:
    return Column(name=name, type=ColumnType.TIME, sql=f"floor(extract(epoch from {sql}))::bigint", doc=doc)


# what of a user refers to rows of the ERP
USER_ROW: Final = RecordType(
    name="erp_user", resource="users", service="auth", table="users", write=None, fields=(ref("contact", "contacts"),)
)  # fmt: skip
USERS: Final = Resource(
    name="users",
    table="auth.users",
    type="user",
    keyed=True,
    columns=(
        _number("ID", "@.id"),
        Column(
            name="activity",
            type=ColumnType.INTEGER,
            sql="(case when @.is_active then 0 else 1 end)",
            choices=ACTIVITY,
            doc="0 ACTIVE: may log in",
        ),
        _number("apionly", "@.apionly::int", "1: only for programs"),
        _number("contact", "@.contact", "the row of `contacts` that tells more"),
        _time("creationdate", "@.created_at"),
        _number(
            "creator",
            "(select u.id from {auth.users} u where u.instance = $1 and u.key = @.creator)",
            "null if Theke itself made the user",
        ),
        _text("email", "@.email"),
        _time("expdate", "(@.end_date + 1 + time '04:00') at time zone 'Europe/Berlin'", "from then on there is no login"),
        _time("lastlogin", "(select l.at from {auth.logins} l where l.instance = $1 and l.key = @.key)"),
        _time("lastmodified", "@.changed_at"),
        _text("name", "@.username", "with which the user logs in"),
        _number("nopublic", "@.nopublic::int", "1: rows without an owner are hidden"),
    ),
    joins={
        "contact": Join(resource="contacts", on="@.id = t.contact"),
        "creator": Join(resource="users", on="@.key = t.creator"),
    },
    search="@.search_text",
)
