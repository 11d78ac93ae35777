"""``theke instances``: every business on this installation, from its first day to after its last."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
from nats.errors import Error as NatsError

from libs.cli import exits
from libs.cli.acting import act, said
from libs.cli.confirming import agreed
from libs.cli.places import Unknown, places
from libs.cli.progress import Progress
from libs.cli.removing import NotYet, Purged, closed, found, purged, reopened
from libs.contracts.auth.commands import Instance
from libs.domain.errors import DomainError, conflict
from libs.eventstore.audit import head, snapshot
from libs.eventstore.log import LOST, LogUnreachable
from libs.runtime.asking import Services
from libs.runtime.config import SERVICES, Settings
from libs.runtime.endpoints import NotRunning
from libs.runtime.export_proof import NoExport, manifest_of, proved
from libs.runtime.exports import ExportFailed, Manifest, export
from libs.runtime.proof import Places
from libs.runtime.provision import create_instance, list_instances

ADMIN: Final = "admin"
PASSWORD_BYTES: Final = 12

EPILOG: Final = """\
`delete` closes: nobody logs in there any more and nothing is written; what was written stays, as tax law wants it. `reopen` undoes it.
`delete --purge` then removes logs, tables, streams and files of that instance for good. It is refused as long as what was booked has to be
kept (ten full years, § 147 AO), unless --exported shows an export of exactly what is removed. The installation's log keeps the heads and
digests, so an export can be told to be genuine for ever.

`export` writes an instance to a directory while tills go on: events/<service>.jsonl.gz with the chain that seals them, attachments, and a
manifest. Passwords and keys stay behind. `verify-export` computes all of it anew from the files alone, on any machine.

examples:
  theke instances create lindenhof
  theke instances list
  theke instances export lindenhof lindenhof-2026
  theke instances verify-export lindenhof-2026
  theke instances delete lindenhof                                   asks for the name
  theke instances delete lindenhof --purge --exported lindenhof-2026 --yes --name lindenhof

exit codes:
  0  done
  1  not done; the reason is on stderr
  2  there is no such instance, or nobody agreed
  3  Theke is not running, and its servers are not one's own
  5  an export does not hold; each finding says where
"""


class Created(msgspec.Struct, frozen=True):
    """A new instance and its first administrator. The password is kept nowhere else."""

    id: int
    name: str
    username: str
    password: str


class Verified(msgspec.Struct, frozen=True):
    holds: bool
    manifest: Manifest
    manifest_sha256: str
    findings: list[str]


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "instances",
        help="businesses: create, list, export, close and remove",
        description="An instance is one business: its own logs, numbers, users and tokens.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    create = actions.add_parser(
        "create",
        help="create an instance and its administrator",
        description="Create an instance with tax rates and an administrator `admin`. The password is shown once.",
    )
    create.add_argument("name", metavar="NAME", help="2 to 31 of a-z, 0-9 and -, a letter first")
    actions.add_parser("list", help="list instances", description="List all instances of this installation.")
    export_ = actions.add_parser("export", help="write an instance to a directory", description=EPILOG.split("\n\n")[1])
    verify = actions.add_parser("verify-export", help="prove an export from its files alone", description=EPILOG.split("\n\n")[1])
    delete = actions.add_parser("delete", help="close an instance; with --purge remove it", description=EPILOG.split("\n\n")[0])
    reopen = actions.add_parser("reopen", help="undo `delete`", description="An instance that was closed goes on as if it had not been.")
    for action in (export_, delete, reopen):
        action.add_argument("name", metavar="NAME")
    for action in (export_, verify):
        action.add_argument("folder", metavar="DIR", type=Path, help="of the export; for `export` there must be none")
    for action in (delete, reopen):
        action.add_argument("--reason", default="", help="kept with the decision")
    delete.add_argument("--purge", action="store_true", help="remove one that is closed, for good")
    delete.add_argument("--exported", metavar="DIR", type=Path, help="an export of exactly what is removed, which is kept instead")
    delete.add_argument("--yes", action="store_true", help="do not ask; --name has to say the name")
    delete.add_argument("--name", dest="typed", default="", metavar="NAME", help="the name again")
    for action in actions.choices.values():
        action.add_argument("--json", action="store_true", help="for programs: one JSON value")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.action in ("create", "list"):
        work = _create if arguments.action == "create" else _list
        return act(settings, lambda services: work(arguments, services))
    try:
        if arguments.action == "verify-export":
            return _verify(arguments)
        known, acting = places(settings), {"export": _export, "delete": _delete, "reopen": _reopen}
        return asyncio.run(acting[arguments.action](arguments, known))
    except NotRunning as absence:
        return _refused(str(absence), exits.NOT_RUNNING)
    except Unknown as refusal:
        return _refused(str(refusal), exits.USAGE)
    except (NotYet, ExportFailed, NoExport) as refusal:
        return _refused(str(refusal), exits.FAILED)
    except DomainError as refusal:
        return _refused(said(refusal), exits.FAILED)
    except (*LOST, LogUnreachable, asyncpg.PostgresError, NatsError) as error:
        return _refused(f"could not do it: {str(error) or type(error).__name__}; it may be repeated", exits.FAILED)


def _refused(why: str, code: int) -> int:
    print(f"theke: {why}", file=sys.stderr)
    return code


def _print(arguments: argparse.Namespace, value: Any, text: str) -> None:
    print(msgspec.json.encode(value).decode() if arguments.json else text)


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
    text = f"Instance {created.name} (i{created.id}) is ready.\n  Login: {created.username}   Password: {created.password}   (shown once)"
    _print(arguments, created, text)
    return exits.DONE


async def _list(arguments: argparse.Namespace, services: Services) -> int:
    known: list[Instance] = await list_instances(services)
    lines = [f"i{one.id:<6}{one.name}{f'   closed since {one.closed_at:%Y-%m-%d}' if one.closed_at else ''}" for one in known]
    if arguments.json or lines:
        _print(arguments, known, "\n".join(lines))
    return exits.DONE


# --- exports ------------------------------------------------------------------------------------------------------------------


async def _export(arguments: argparse.Namespace, known: Places) -> int:
    instance = await found(known, arguments.name)
    manifest = await exported(known, instance.id, instance.name, arguments.folder)
    events = sum(log.events for log in manifest.logs)
    text = f"{instance.name} (i{instance.id}): {events:,} events and {manifest.attachments:,} attachments in {arguments.folder}"
    _print(arguments, manifest, f"{text}\nProve it: theke instances verify-export {arguments.folder}")
    return exits.DONE


async def exported(known: Places, instance: int, name: str, folder: Path) -> Manifest:
    """Raises ExportFailed, and what the database raises."""
    heads = 0
    for service in SERVICES:
        try:
            async with snapshot(known.log_dsn, service) as log:
                heads += await head(log, instance)
        except asyncpg.UndefinedTableError:
            continue
    with Progress("export", heads) as progress:
        return await export(known.log_dsn, SERVICES, instance, name, folder, progress.at)


def _verify(arguments: argparse.Namespace) -> int:
    manifest = manifest_of(arguments.folder)
    with Progress("verify-export", sum(log.events for log in manifest.logs)) as progress:
        findings = proved(arguments.folder, progress.at)
    digest = sha256((arguments.folder / "manifest.json").read_bytes()).hexdigest()
    lines = [f"{log.service:<12}{log.head:>12,} events  {log.digest[:16]}" for log in manifest.logs]
    lines += [f"    {finding}" for finding in findings]
    holds = f"The export of {manifest.name} (i{manifest.instance}) of {manifest.at:%Y-%m-%d %H:%M:%S} UTC"
    lines.append(f"{holds} {'does not hold' if findings else 'holds'}. Manifest: {digest}")
    _print(arguments, Verified(not findings, manifest, digest, findings), "\n".join(lines))
    return exits.BROKEN if findings else exits.DONE


# --- the end ------------------------------------------------------------------------------------------------------------------


async def _delete(arguments: argparse.Namespace, known: Places) -> int:
    instance = await found(known, arguments.name)
    what = "Remove everything of" if arguments.purge else "Close"
    if arguments.yes and arguments.typed != arguments.name:
        raise Unknown(f"nothing was done: --name has to say {arguments.name} again")
    if not agreed(f"{what} {instance.name} (i{instance.id})?", yes=arguments.yes, answer=instance.name):
        raise Unknown("nothing was done: type the name, or give --yes --name NAME")
    if not arguments.purge:
        await closed(known, instance, arguments.reason)
        text = f"{instance.name} (i{instance.id}) is closed. `theke instances reopen {instance.name}` undoes it."
        _print(arguments, {"id": instance.id, "name": instance.name, "closed": True}, text)
        return exits.DONE
    done: Purged = await purged(known, instance, arguments.exported, arguments.reason)
    text = f"{done.name} (i{done.id}) is gone: {done.rows:,} rows and {done.streams + (done.mirrors or 0)} streams were removed."
    if done.mirrors is None:
        text += " No keeper answers: if downstream systems have mirrors of it, start the keeper and say this again."
    _print(arguments, done, text)
    return exits.DONE


async def _reopen(arguments: argparse.Namespace, known: Places) -> int:
    instance = await found(known, arguments.name)
    await reopened(known, instance, arguments.reason)
    _print(arguments, {"id": instance.id, "name": instance.name, "closed": False}, f"{instance.name} (i{instance.id}) is open again.")
    return exits.DONE
