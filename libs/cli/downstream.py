"""``theke downstream``: what systems behind Theke log in with, and what there is for them to read."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any, Final

import asyncpg
import msgspec
import nats
from nats.errors import Error as NatsError

from libs.bus import accounts
from libs.cli import exits
from libs.cli.places import Unknown, instance_id, instances, places
from libs.domain.ids import instance_token
from libs.eventstore.log import LOST
from libs.runtime.bus_key import BusKey
from libs.runtime.config import Settings
from libs.runtime.endpoints import NotRunning
from libs.runtime.keeper import as_user
from libs.runtime.proof import Places

ANSWER_WITHIN_S: Final = 2
ROW: Final = "{instance:<20}{user:<8}{streams}"

DESCRIPTION: Final = """\
Systems behind Theke (accounting, web shop, data warehouse) read the events of one instance over NATS. Every instance has an account of its
own there, with a mirror of each log (EVT_pos, EVT_inventory …) and a user that can read these mirrors and reach nothing else.
"""

EPILOG: Final = """\
examples:
  theke downstream credentials demo                the address with user and password, as a URL
  theke downstream credentials demo --json         the same for programs, with the streams there are
  theke downstream list                            how far every instance's mirrors are
  theke downstream config > instances.conf         accounts of all instances, for a NATS server of your own

A subscriber to begin with: examples/ in the source. How it is done: docs/how-to/subscribe-downstream.md

exit codes:
  0  done
  1  a server does not answer; the reason is on stderr
  2  there is no such instance
  3  Theke is not running, and its servers are not one's own
"""


class Credentials(msgspec.Struct, frozen=True):
    """What a downstream system needs. ``url`` holds user and password; ``subjects`` is what the streams hold."""

    instance: str
    url: str
    server: str
    user: str
    password: str
    subjects: str
    streams: tuple[str, ...]


class Mirrors(msgspec.Struct, frozen=True):
    """An instance's account as it is. ``streams``: the last position of each mirror; ``error``: why there are none."""

    instance: str
    user: str
    streams: dict[str, int]
    error: str = ""


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "downstream",
        help="credentials for systems that subscribe to an instance's events",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="instances and their mirrors", description="How far the mirrors of every instance are.")
    credentials = actions.add_parser(
        "credentials",
        help="address, user and password of an instance's account",
        description="Show what a downstream system of an instance logs in with. It can read that instance's events and nothing else.",
    )
    credentials.add_argument("instance", metavar="INSTANCE", help="by its name or its id (i17)")
    for action in (listing, credentials):
        action.add_argument("--json", action="store_true", help="for programs: one JSON value")
    actions.add_parser(
        "config",
        help="accounts of all instances, for a NATS server of your own",
        description="Print the accounts of all instances as NATS configuration, to be included among the server's accounts "
        "(deploy/nats.conf does). After a new instance print it again and have the server reload it, twice. It holds passwords.",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    work = {"list": _list, "credentials": _credentials, "config": _config}[arguments.action]
    try:
        asyncio.run(work(arguments, places(settings), BusKey.kept_in(settings.bus_key)))
    except NotRunning as absence:
        return _refused(str(absence), exits.NOT_RUNNING)
    except Unknown as refusal:
        return _refused(str(refusal), exits.USAGE)
    except (*LOST, asyncpg.PostgresError) as error:
        return _refused(f"the instances cannot be read: {str(error) or type(error).__name__}", exits.FAILED)
    return exits.DONE


def _refused(why: str, code: int) -> int:
    print(f"theke: {why}", file=sys.stderr)
    return code


async def _credentials(arguments: argparse.Namespace, known: Places, key: BusKey) -> None:
    instance = await instance_id(known, arguments.instance)
    found = {one.id: one.name for one in await instances(known)}
    if instance not in found:
        raise Unknown(f"there is no instance {arguments.instance[:50]}")
    granted = credentials(known.nats_url, instance, found[instance], key)
    if arguments.json:
        print(msgspec.json.encode(granted).decode())
        return
    print(f"{granted.instance}: {granted.url}")
    print(f"  server    {granted.server}")
    print(f"  user      {granted.user}")
    print(f"  password  {granted.password}")
    print(f"  streams   {', '.join(granted.streams)}")
    print(f"  subjects  {granted.subjects}")


def credentials(nats_url: str, instance: int, name: str, key: BusKey) -> Credentials:
    user = accounts.reader(instance).name
    password = key.password(user)
    return Credentials(
        instance=name,
        url=as_user(nats_url, user, password),
        server=as_user(nats_url, "", ""),
        user=user,
        password=password,
        subjects=f"evt.*.{instance_token(instance)}.>",
        streams=tuple(map(accounts.mirror_of, accounts.SERVICES)),
    )


async def _list(arguments: argparse.Namespace, known: Places, key: BusKey) -> None:
    found = [await _mirrors(credentials(known.nats_url, one.id, one.name, key)) for one in await instances(known)]
    if arguments.json:
        print(msgspec.json.encode(found).decode())
        return
    print(ROW.format(instance="instance", user="user", streams="last position of each mirror"))
    for one in found:
        shown = one.error or "  ".join(f"{name} {last}" for name, last in one.streams.items()) or "none yet"
        print(ROW.format(instance=one.instance, user=one.user, streams=shown))


async def _mirrors(granted: Credentials) -> Mirrors:
    """Looked at with the instance's own user: what it sees is what there is."""
    try:
        connection = await nats.connect(granted.url.split(","), allow_reconnect=False, connect_timeout=ANSWER_WITHIN_S, error_cb=_said_once)
    except (NatsError, OSError) as refusal:
        return Mirrors(granted.instance, granted.user, {}, str(refusal) or type(refusal).__name__)
    try:
        answer = await connection.request("$JS.API.STREAM.LIST", b"", timeout=ANSWER_WITHIN_S)
        listed: list[dict[str, Any]] = json.loads(answer.data).get("streams") or []
        streams = {str(one["config"]["name"]): int(one["state"]["last_seq"]) for one in listed}
        return Mirrors(granted.instance, granted.user, dict(sorted(streams.items())))
    except NatsError as refusal:
        return Mirrors(granted.instance, granted.user, {}, str(refusal) or type(refusal).__name__)
    finally:
        await connection.close()


async def _said_once(_: Exception) -> None:
    """The refusal is shown where it is raised."""


async def _config(_: argparse.Namespace, known: Places, key: BusKey) -> None:
    def quoted(user: str) -> str:
        return json.dumps(key.password(user))

    print(accounts.instance_accounts(quoted, [one.id for one in await instances(known)]), end="")
