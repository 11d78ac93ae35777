"""``theke operators``: who runs the installation, by name."""

from __future__ import annotations

import argparse
import secrets
import sys
from typing import Final, get_args

import msgspec

from libs.cli import exits
from libs.cli.acting import NAME_SHOWN_CHARS, act
from libs.contracts.auth.commands import PASSWORD_MAX_CHARS, NoBody
from libs.contracts.auth.events import INSTALLATION
from libs.contracts.auth.operators import AddOperator, CheckOperator, Level, Operator, RemoveOperator
from libs.domain.errors import not_found
from libs.domain.principal import system
from libs.runtime.asking import Services
from libs.runtime.config import Settings

PASSWORD_BYTES: Final = 12
LEVELS: Final = get_args(Level)

EPILOG: Final = """\
An operator is a user of no instance. What touches more than one business is theirs. Passwords are kept as hashes outside the logs; wrong
ones are paused as everybody's are.

examples:
  theke operators create anna --level audit      the password is shown once
  echo "$NEW" | theke operators create anna --stdin
  theke operators check anna                     asks for the password on stdin: is it the right one?
  theke operators remove anna

exit codes:
  0  done; with `check`: it is the right password
  1  not done, or not the right password; the reason is on stderr
  3  Theke is not running
"""


class Added(msgspec.Struct, frozen=True):
    """The password is kept nowhere else; empty if it was given."""

    username: str
    level: str
    password: str


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "operators",
        help="who runs the installation: create, list, check, remove",
        description="Operators are users of no instance.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="add one; the password is shown once")
    actions.add_parser("list", help="list them")
    check = actions.add_parser("check", help="whether a password, read from stdin, is the right one")
    remove = actions.add_parser("remove", help="remove one")
    for action in (create, check, remove):
        action.add_argument("username", metavar="USER")
    create.add_argument("--level", choices=LEVELS, default="admin", help="what they may do (admin)")
    create.add_argument("--stdin", action="store_true", help="read the password from stdin")
    for action in actions.choices.values():
        action.add_argument("--json", action="store_true", help="for programs: one JSON value")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    return act(settings, lambda services: _act(arguments, services))


async def _act(arguments: argparse.Namespace, services: Services) -> int:
    match arguments.action:
        case "create":
            added = await create(services, arguments.username, arguments.level, _read() if arguments.stdin else "")
            shown = f"   Password: {added.password}   (shown once)" if added.password else ""
            print(msgspec.json.encode(added).decode() if arguments.json else f"{added.username} ({added.level}){shown}")
        case "list":
            known = await listed(services)
            lines = [f"{one.username:<24}{one.level:<8}since {one.added_at:%Y-%m-%d}" for one in known]
            print(msgspec.json.encode(known).decode() if arguments.json else "\n".join(lines) or "none")
        case _:
            going = arguments.action == "remove"
            done = await remove(services, arguments.username) if going else await check(services, arguments.username, _read())
            said = "is removed" if going else f"is in as {done.level}"
            print(msgspec.json.encode(done).decode() if arguments.json else f"{done.username} {said}")
    return exits.DONE


def _read() -> str:
    return sys.stdin.readline(PASSWORD_MAX_CHARS + 2).rstrip("\r\n")


async def create(services: Services, username: str, level: Level = "admin", password: str = "") -> Added:
    """``password`` empty: one is made up. Raises DomainError: ``claim_taken``, or what is wrong with name and password."""
    made_up = password or secrets.token_urlsafe(PASSWORD_BYTES)
    body = AddOperator(username=username, password=made_up, level=level)
    done, _ = await services.command("auth", "operator.add", body, Operator, principal=system(INSTALLATION, "operator"))
    return Added(done.username, done.level, "" if password else made_up)


async def listed(services: Services) -> list[Operator]:
    return await services.query("auth", "operator.list", NoBody(), list[Operator], principal=system(INSTALLATION, "operator"))


async def check(services: Services, username: str, password: str) -> Operator:
    """Raises ``credentials_wrong``, ``too_many_tries``."""
    body = CheckOperator(username=username, password=password)
    return (await services.command("auth", "operator.check", body, Operator, principal=system(INSTALLATION, "operator")))[0]


async def remove(services: Services, username: str) -> Operator:
    """Raises ``user_not_found``."""
    for one in await listed(services):
        if one.username.casefold() == username.casefold():
            body = RemoveOperator(key=one.key, username=one.username)
            return (await services.command("auth", "operator.remove", body, Operator, principal=system(INSTALLATION, "operator")))[0]
    raise not_found("user_not_found", id=username[:NAME_SHOWN_CHARS])
