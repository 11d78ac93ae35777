"""``theke instances``: every business on this installation."""

from __future__ import annotations

import argparse
import secrets
from typing import Final

import msgspec

from libs.cli import exits
from libs.cli.acting import act
from libs.contracts.auth.commands import Instance
from libs.domain.errors import conflict
from libs.runtime.asking import Services
from libs.runtime.config import Settings
from libs.runtime.provision import create_instance, list_instances

ADMIN: Final = "admin"
PASSWORD_BYTES: Final = 12


class Created(msgspec.Struct, frozen=True):
    """A new instance and its first administrator. The password is kept nowhere else."""

    id: int
    name: str
    username: str
    password: str


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "instances",
        help="create and list instances (one per business)",
        description="An instance is one business: its own logs, numbers, users and tokens. Theke has to be running.",
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    create = actions.add_parser(
        "create",
        help="create an instance and its administrator",
        description="Create an instance with tax rates and an administrator `admin`. The password is shown once.",
    )
    create.add_argument("name", metavar="NAME", help="2 to 31 of a-z, 0-9 and -, a letter first")
    listing = actions.add_parser("list", help="list instances", description="List all instances of this installation.")
    for action in (create, listing):
        action.add_argument("--json", action="store_true", help="for programs: one JSON value")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    work = _create if arguments.action == "create" else _list
    return act(settings, lambda services: work(arguments, services))


async def create(services: Services, name: str) -> Created:
    """Raises DomainError: ``claim_taken`` if there is an instance of that name, or what is wrong with the name."""
    if any(instance.name == name for instance in await list_instances(services)):
        raise conflict("claim_taken", scope="instance.name", value=name)
    provisioning = await create_instance(services, name)
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    await provisioning.user(ADMIN, password, ("Admin",))
    return Created(provisioning.instance.id, name, ADMIN, password)


async def _create(arguments: argparse.Namespace, services: Services) -> int:
    created = await create(services, arguments.name)
    if arguments.json:
        print(msgspec.json.encode(created).decode())
    else:
        print(f"Instance {created.name} (i{created.id}) is ready.")
        print(f"  Login: {created.username}   Password: {created.password}   (shown once)")
    return exits.DONE


async def _list(arguments: argparse.Namespace, services: Services) -> int:
    found: list[Instance] = await list_instances(services)
    if arguments.json:
        print(msgspec.json.encode(found).decode())
    else:
        for instance in found:
            print(f"i{instance.id:<6}{instance.name}")
    return exits.DONE
