"""``theke groups``: who belongs together in the ERP, what such a group may do, and whose rows are whose."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from libs.cli import exits
from libs.cli.acting import NAME_SHOWN_CHARS, act, operator_of
from libs.cli.rows import Rows
from libs.contracts.auth.modules import MODULES
from libs.domain.errors import not_found
from libs.runtime.asking import Services
from libs.runtime.config import Settings

EPILOG: Final = f"""\
a group that may sell and look up customers:
  theke groups create demo Sales
  theke groups add demo Sales eva --writable     eva belongs to it and may write what it owns
  theke groups grant demo Sales accounts         its members read accounts
  theke groups grant demo Sales inventory --writable
  theke groups list demo

A change holds from the next request on. Administrators need no group.

permissions:
  {", ".join(MODULES)}
"""


class Member(msgspec.Struct, frozen=True):
    user: str
    writable: bool


class Granted(msgspec.Struct, frozen=True):
    permission: str
    writable: bool


class Group(msgspec.Struct, frozen=True):
    id: int
    name: str
    active: bool
    members: tuple[Member, ...]
    permissions: tuple[Granted, ...]


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "groups",
        help="groups of the ERP: members and permissions",
        description="Groups own rows and have permissions; who is in a group sees the one and has the other.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    parsers = {
        name: actions.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
        for name, help_ in (
            ("list", "list groups with members and permissions"),
            ("create", "make a group"),
            ("rename", "give a group another name"),
            ("add", "put a user into a group, or change whether that user may write"),
            ("remove", "take a user out of a group"),
            ("grant", "give a group a permission, or change whether it is one for writing"),
            ("revoke", "take a permission from a group"),
        )
    }
    for name, parser in parsers.items():
        parser.add_argument("instance", metavar="INSTANCE")
        if name != "list":
            parser.add_argument("group", metavar="GROUP", help="its name; case does not matter")
        parser.add_argument("--json", action="store_true", help="for programs: one JSON value")
    parsers["rename"].add_argument("name", metavar="NAME")
    for name in ("add", "remove"):
        parsers[name].add_argument("user", metavar="USER", help="the user name")
    for name in ("grant", "revoke"):
        parsers[name].add_argument("permission", metavar="PERMISSION", help="a module of the ERP, see `theke groups --help`")
    parsers["add"].add_argument("--writable", action="store_true", help="may write what the group owns")
    parsers["grant"].add_argument("--writable", action="store_true", help="may write, not only read")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    return act(settings, lambda services: _act(arguments, services))


async def _act(arguments: argparse.Namespace, services: Services) -> int:
    groups = Groups(Rows(services, await operator_of(services, arguments.instance)))
    if arguments.action == "list":
        _print(arguments, await groups.listed())
        return exits.DONE
    name = arguments.group
    match arguments.action:
        case "create":
            await groups.create(name)
        case "rename":
            await groups.rename(name, arguments.name)
            name = arguments.name
        case "add":
            await groups.add(name, arguments.user, writable=arguments.writable)
        case "remove":
            await groups.remove(name, arguments.user)
        case "grant":
            await groups.grant(name, arguments.permission, writable=arguments.writable)
        case "revoke":
            await groups.revoke(name, arguments.permission)
    _print(arguments, [one for one in await groups.listed() if one.name.casefold() == name.strip().casefold()])
    return exits.DONE


class Groups:
    """The groups of an instance, by name. Every write raises DomainError: ``not_found`` for what is named and not there."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def listed(self) -> list[Group]:
        users = {row["ID"]: row["name"] for row in await self._rows.find("users")}
        members = await self._rows.find("groups2users")
        permissions = await self._rows.find("permissions")
        return [
            Group(
                row["ID"],
                row["name"],
                row["activity"] == 0,
                tuple(Member(users.get(one["user"], "?"), bool(one["writable"])) for one in members if one["group"] == row["ID"]),
                tuple(Granted(one["identifier"], bool(one["writable"])) for one in permissions if one["group"] == row["ID"]),
            )
            for row in await self._rows.find("groups")
        ]

    async def create(self, name: str) -> int:
        """Raises ``claim_taken`` for a name that there is."""
        made = await self._rows.put("groups", {"name": name})
        return int(made["ID"])

    async def rename(self, group: str, name: str) -> None:
        await self._rows.put("groups", {"ID": await self._group(group), "name": name})

    async def add(self, group: str, user: str, *, writable: bool) -> None:
        await self._put("groups2users", await self._member(group, user), writable=writable)

    async def remove(self, group: str, user: str) -> None:
        await self._drop("groups2users", await self._member(group, user), user)

    async def grant(self, group: str, permission: str, *, writable: bool) -> None:
        """Raises ``invalid`` for a permission that there is not."""
        await self._put("permissions", await self._granted(group, permission), writable=writable)

    async def revoke(self, group: str, permission: str) -> None:
        await self._drop("permissions", await self._granted(group, permission), permission)

    async def _member(self, group: str, user: str) -> Mapping[str, Any]:
        return {"group": await self._group(group), "user": await self._user(user)}

    async def _granted(self, group: str, permission: str) -> Mapping[str, Any]:
        return {"group": await self._group(group), "identifier": permission}

    async def _put(self, resource: str, named: Mapping[str, Any], *, writable: bool) -> None:
        found = await self._rows.find(resource, **named)
        there = {"ID": found[0]["ID"]} if found else {}
        await self._rows.put(resource, {**named, **there, "writable": int(writable)})

    async def _drop(self, resource: str, named: Mapping[str, Any], said: str) -> None:
        found = await self._rows.find(resource, **named)
        if not found:
            raise not_found("row_not_found", id=said[:NAME_SHOWN_CHARS])
        await self._rows.drop(resource, found[0]["ID"])

    async def _group(self, name: str) -> int:
        found = await self._rows.find("groups", name=name.strip())
        if not found:
            raise not_found("group_not_found", id=name[:NAME_SHOWN_CHARS])
        return int(found[0]["ID"])

    async def _user(self, name: str) -> int:
        found = await self._rows.find("users", name=name.strip())
        if not found:
            raise not_found("user_not_found", id=name[:NAME_SHOWN_CHARS])
        return int(found[0]["ID"])


def _print(arguments: argparse.Namespace, found: list[Group]) -> None:
    if arguments.json:
        print(msgspec.json.encode(found if arguments.action == "list" else found[0]).decode())
        return
    for one in found:
        print(f"{one.id:<6}{one.name}{'' if one.active else '   (not active)'}")
        for title, names in (
            ("members", [member.user + _write(member.writable) for member in one.members]),
            ("permissions", [granted.permission + _write(granted.writable) for granted in one.permissions]),
        ):
            if names:
                print(f"      {title}: {', '.join(names)}")


def _write(writable: bool) -> str:
    return " (writes)" if writable else ""
