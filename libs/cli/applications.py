"""``theke applications``: programs that log in with a secret of their own."""

from __future__ import annotations

import argparse
from typing import Any, Final

import msgspec

from libs.cli import exits
from libs.cli.acting import act, operator_of
from libs.contracts.auth.access_tokens import Done, SetClientSecret, new_token
from libs.contracts.auth.records import APPLICATION, DEACTIVATED
from libs.domain.errors import not_found
from libs.domain.principal import Principal
from libs.domain.records import RecordView
from libs.records.engine import Change, Create
from libs.records.lists import Listing
from libs.runtime.asking import Services
from libs.runtime.config import Settings

ACTIVITY: Final = ("active", "deactivated", "deleted")


class Registered(msgspec.Struct, frozen=True):
    """An application and its secret, which is kept nowhere else."""

    id: int
    identifier: str
    name: str
    secret: str


class Shown(msgspec.Struct, frozen=True):
    id: int
    identifier: str
    name: str
    vendor: str | None
    activity: int
    callbackurls: tuple[str, ...]


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "applications",
        help="register programs that connect to the ERP's API",
        description="An application is a program with a secret: `appsecret` of a login, client id and client secret of OAuth2.",
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="register one", description="Register an application. Its secret is shown once.")
    listing = actions.add_parser("list", help="list them", description="List the applications of an instance.")
    secret = actions.add_parser("secret", help="give one a new secret", description="The old secret is dead, tokens go on.")
    deactivate = actions.add_parser("deactivate", help="shut one out", description="Shut an application out: its tokens are dead.")
    for action in (create, listing, secret, deactivate):
        action.add_argument("instance", metavar="INSTANCE")
        action.add_argument("--json", action="store_true", help="for programs: one JSON value")
    for action in (create, secret, deactivate):
        action.add_argument("identifier", metavar="IDENTIFIER", help="letters, digits and . _ - between them: OAuth2's client id")
    create.add_argument("--name", metavar="NAME", help="as people call it; the identifier if absent")
    create.add_argument("--vendor", metavar="NAME")
    create.add_argument("--callback", metavar="URL", action="append", default=[], help="where OAuth2 may send a browser; may be repeated")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    return act(settings, lambda services: _act(arguments, services))


async def _act(arguments: argparse.Namespace, services: Services) -> int:
    operator = await operator_of(services, arguments.instance)
    if arguments.action == "list":
        _print(arguments, [_shown(view) for view in await listed(services, operator)])
    elif arguments.action == "deactivate":
        _print(arguments, [_shown(await deactivate(services, operator, arguments.identifier))])
    elif arguments.action == "secret":
        _print_secret(arguments, await renew_secret(services, operator, arguments.identifier))
    else:
        values = {"name": arguments.name or arguments.identifier, "vendor": arguments.vendor, "callbackurls": arguments.callback}
        _print_secret(arguments, await create(services, operator, arguments.identifier, **values))
    return exits.DONE


async def create(services: Services, operator: Principal, identifier: str, **values: Any) -> Registered:
    """Raises DomainError: ``claim_taken`` if there is one of that identifier, or what is wrong with the values."""
    body = Create(values={**values, "identifier": identifier})
    view, _ = await services.command("auth", "application.create", body, RecordView, principal=operator)
    return await _with_secret(services, operator, view)


async def renew_secret(services: Services, operator: Principal, identifier: str) -> Registered:
    return await _with_secret(services, operator, await _found(services, operator, identifier))


async def deactivate(services: Services, operator: Principal, identifier: str) -> RecordView:
    found = await _found(services, operator, identifier)
    body = Change(key=found.key, values={"activity": DEACTIVATED})
    view, _ = await services.command("auth", "application.change", body, RecordView, principal=operator)
    return view


async def listed(services: Services, operator: Principal) -> list[RecordView]:
    """All of them: there are at most ``APPLICATION.most``."""
    found: list[RecordView] = []
    async for piece in services.stream("auth", "application.list", Listing(), RecordView, principal=operator):
        found += piece
    return found


async def _found(services: Services, operator: Principal, identifier: str) -> RecordView:
    for view in await listed(services, operator):
        if view.values["identifier"] == identifier:
            return view
    raise not_found(f"{APPLICATION.name}_not_found", id=identifier[:50])


async def _with_secret(services: Services, operator: Principal, view: RecordView) -> Registered:
    secret = new_token()
    body = SetClientSecret(application=view.key, secret=secret)
    await services.command("auth", "application.set_secret", body, Done, principal=operator)
    return Registered(view.id, view.values["identifier"], view.values["name"], secret)


def _shown(view: RecordView) -> Shown:
    values = view.values
    return Shown(view.id, values["identifier"], values["name"], values["vendor"], values["activity"], tuple(values["callbackurls"] or ()))


def _print(arguments: argparse.Namespace, found: list[Shown]) -> None:
    if arguments.json:
        print(msgspec.json.encode(found).decode())
        return
    for one in found:
        print(f"{one.id:<6}{one.identifier:<30}{ACTIVITY[one.activity]:<13}{one.name}")


def _print_secret(arguments: argparse.Namespace, registered: Registered) -> None:
    if arguments.json:
        print(msgspec.json.encode(registered).decode())
        return
    print(f"Application {registered.identifier} ({registered.id}) of {arguments.instance}")
    print(f"  Secret: {registered.secret}   (shown once)")
