"""``theke users``: who may log in at an instance."""

from __future__ import annotations

import argparse
import secrets
import sys
from typing import Any, Final, get_args

import msgspec

from libs.cli import exits
from libs.cli.acting import NAME_SHOWN_CHARS, act, operator_of
from libs.contracts.auth.commands import PASSWORD_MAX_CHARS, KeepStaff, SetPassword, StaffView
from libs.contracts.auth.records import Role
from libs.domain.errors import not_found
from libs.domain.principal import Principal
from libs.records.lists import Listing
from libs.runtime.asking import Services
from libs.runtime.config import Settings

PASSWORD_BYTES: Final = 12
ROLES: Final = get_args(Role)

EPILOG: Final = """\
For the day somebody forgot the password, or the only administrator left. Everyday work is done at the till (staff).

examples:
  theke users list main
  theke users create main anna --role Manager --first-name Anna
  theke users password main anna                          a new one, shown once; whoever is logged in as anna is out
  echo "$NEW" | theke users password main anna --stdin
  theke users deactivate main anna                        the last administrator cannot be deactivated

exit codes:
  0  done
  1  not done; the reason is on stderr
  3  Theke is not running
"""


class Shown(msgspec.Struct, frozen=True):
    id: int
    username: str
    name: str
    roles: tuple[str, ...]
    active: bool
    logins: tuple[str, ...]
    last_login: str


class Given(msgspec.Struct, frozen=True):
    """A user and a password that was made up, which is kept nowhere else; empty if it was given."""

    id: int
    username: str
    password: str


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "users",
        help="who may log in at an instance: list, create, deactivate, new password",
        description="Users of an instance are its staff.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    helps = {
        "list": "list them, with the logins they have",
        "create": "create one; the password is shown once",
        "password": "give one a new password, shown once",
        "deactivate": "shut one out: tokens are dead at once",
        "activate": "let one in again",
    }
    for name, text in helps.items():
        action = actions.add_parser(name, help=text)
        action.add_argument("instance", metavar="INSTANCE")
        if name != "list":
            action.add_argument("username", metavar="USER", help="as it is typed at a login; case does not matter")
        if name in ("create", "password"):
            action.add_argument("--stdin", action="store_true", help="read the password from stdin")
        action.add_argument("--json", action="store_true", help="for programs: one JSON value")
    create = actions.choices["create"]
    create.add_argument("--role", metavar="ROLE", action="append", default=[], choices=ROLES, help=f"{', '.join(ROLES)}; may be repeated")
    create.add_argument("--first-name", metavar="NAME")
    create.add_argument("--last-name", metavar="NAME")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    return act(settings, lambda services: _act(arguments, services))


async def _act(arguments: argparse.Namespace, services: Services) -> int:
    users = Users(services, await operator_of(services, arguments.instance))
    match arguments.action:
        case "list":
            _print(arguments, [_shown(view) for view in await users.listed()])
        case "create":
            values = {"first_name": arguments.first_name, "last_name": arguments.last_name, "roles": tuple(dict.fromkeys(arguments.role))}
            given = await users.create(arguments.username, _read(arguments), **values)
            _print_given(arguments, given)
        case "password":
            _print_given(arguments, await users.renew(arguments.username, _read(arguments)))
        case _:
            _print(arguments, [_shown(await users.activate(arguments.username, active=arguments.action == "activate"))])
    return exits.DONE


def _read(arguments: argparse.Namespace) -> str:
    return sys.stdin.readline(PASSWORD_MAX_CHARS + 2).rstrip("\r\n") if arguments.stdin else ""


class Users:
    """The staff of an instance, by user name. Every write raises DomainError: ``user_not_found``, or what is wrong."""

    def __init__(self, services: Services, operator: Principal) -> None:
        self._services = services
        self._operator = operator

    async def listed(self) -> list[StaffView]:
        found: list[StaffView] = []
        async for piece in self._services.stream("auth", "staff.list", Listing(), StaffView, principal=self._operator):
            found += piece
        return found

    async def create(self, username: str, password: str = "", **values: Any) -> Given:
        """``password`` empty: one is made up."""
        made_up = password or secrets.token_urlsafe(PASSWORD_BYTES)
        body = KeepStaff(values={"username": username, **values}, password=made_up)
        view, _ = await self._services.command("auth", "staff.create", body, StaffView, principal=self._operator)
        return Given(view.id, view.values["username"], "" if password else made_up)

    async def renew(self, username: str, password: str = "") -> Given:
        """Whoever is logged in as this user is out."""
        view = await self._named(username)
        made_up = password or secrets.token_urlsafe(PASSWORD_BYTES)
        body = SetPassword(user=view.key, password=made_up)
        await self._services.command("auth", "user.set_password", body, dict[str, Any], principal=self._operator)
        return Given(view.id, view.values["username"], "" if password else made_up)

    async def activate(self, username: str, *, active: bool) -> StaffView:
        view = await self._named(username)
        body = KeepStaff(values={"is_active": active}, key=view.key)
        changed, _ = await self._services.command("auth", "staff.change", body, StaffView, principal=self._operator)
        return changed

    async def _named(self, username: str) -> StaffView:
        for view in await self.listed():
            if view.values["username"].casefold() == username.casefold():
                return view
        raise not_found("user_not_found", id=username[:NAME_SHOWN_CHARS])


def _shown(view: StaffView) -> Shown:
    values = view.values
    name = " ".join(filter(None, (values["first_name"], values["last_name"])))
    logins = tuple(kind for kind, there in (("password", view.has_password), ("pin", view.has_pin), ("card", view.has_card)) if there)
    last = f"{view.last_login:%Y-%m-%d %H:%M}" if view.last_login else ""
    return Shown(view.id, values["username"], name, tuple(values["roles"]), values["is_active"], logins, last)


def _print(arguments: argparse.Namespace, found: list[Shown]) -> None:
    if arguments.json:
        print(msgspec.json.encode(found).decode())
        return
    for one in found:
        state = "" if one.active else "deactivated"
        roles, logins = ", ".join(one.roles) or "-", ", ".join(one.logins) or "no login"
        print(f"{one.id:<6}{one.username:<24}{one.name:<28}{roles:<20}{logins:<20}{one.last_login:<18}{state}".rstrip())


def _print_given(arguments: argparse.Namespace, given: Given) -> None:
    if arguments.json:
        print(msgspec.json.encode(given).decode())
        return
    shown = f"   Password: {given.password}   (shown once)" if given.password else ""
    print(f"{given.username} ({given.id}) of {arguments.instance}{shown}")
