"""``theke projections``: query tables, how far they are, and what to do about those that are held."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec

from libs.bus.live import EVERYBODY, REVIEW, SWITCHED, Live
from libs.cli import exits
from libs.cli.places import Unknown, declared, instance_id, places
from libs.cli.progress import Progress
from libs.domain.errors import DomainError
from libs.domain.principal import system
from libs.eventstore.log import LOST, Log, LogUnreachable
from libs.projections import rebuild, store
from libs.projections.audit import serving
from libs.projections.declare import Build, Projection, suffix
from libs.projections.projector import REVIEW_EVERY_S
from libs.projections.skips import Skip, Skipped
from libs.projections.tables import NAMES_LAST_S
from libs.runtime.asking import connected
from libs.runtime.config import SERVICES, Settings
from libs.runtime.endpoints import NotRunning
from libs.runtime.proof import Places
from libs.runtime.service import settle_memory
from libs.texts.catalogue import Language, details, headline

ANSWER_WITHIN_S: Final = 5.0
LET_GO_WITHIN_S: Final = NAMES_LAST_S + REVIEW_EVERY_S + 1.0

DESCRIPTION: Final = """\
Query tables are made of the log and can be made of it again. A projection is a named set of them; readers get one *build* of it (r4: its
revision; r4g1: that revision, rebuilt once). An event that a projection cannot digest holds its instance there, and nobody else.
"""

EPILOG: Final = """\
A rebuild reads the log from its beginning into new tables while the old ones serve; tills sell and read meanwhile. When they are filled,
readers are switched in an instant. The old tables stay live beside them, so `switch-back` is as quick; `settle` drops them.

Run with the code of a new version before its services are restarted, a rebuild fills the tables of the new revision, and the restart
finds them done.

examples:
  theke projections list
  theke projections rebuild pos.receipts
  theke projections rebuild --all
  theke projections switch-back pos.receipts
  theke projections retry pos.receipts --instance demo     after what was wrong has been put right
  theke projections skip pos.receipts 17 --instance demo --reason "double import"

exit codes:
  0  done
  1  not done; the reason is on stderr, and what serves is as it was
  2  there is no such projection or instance
  3  Theke is not running, and its servers are not one's own
"""


class Shown(msgspec.Struct, frozen=True):
    """A projection of a service. ``build``: what readers get; ``others``: build → state; ``lag``: events of all logs that its tables do not
    have; ``held``: instance → why."""

    service: str
    projection: str
    build: str
    others: dict[str, str]
    instances: int
    lag: int
    held: dict[str, str]


class Rebuilt(msgspec.Struct, frozen=True):
    service: str
    builds: list[str]
    events: int
    seconds: float
    per_second: int
    switched: bool


class NotDone(Exception):
    """The message says why not."""


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "projections",
        help="query tables: list, rebuild, switch back, retry or skip a poison event",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every projection: its build, lag, and what is held")
    again = actions.add_parser("rebuild", help="fill new tables beside the old ones, then switch", description=EPILOG.split("\n\n")[0])
    again.add_argument("--all", action="store_true", help="every projection of every service")
    back = actions.add_parser(
        "switch-back", help="give readers the tables from before the last rebuild", description="Instant, either way."
    )
    settle = actions.add_parser("settle", help="drop the tables from before the last rebuild", description="There is no way back after it.")
    for action in (again, back, settle):
        action.add_argument("names", metavar="NAME", nargs="*" if action is again else "+", help="pos.receipts, or receipts")
    retry = actions.add_parser("retry", help="try the event again that holds an instance")
    skip = actions.add_parser("skip", help="let a projection pass over the event that holds it; this is written down in the log")
    for action in (retry, skip):
        action.add_argument("name", metavar="NAME", help="pos.receipts, or receipts")
    skip.add_argument("position", metavar="POSITION", type=int, help="of the event, as `list` shows it")
    skip.add_argument("--reason", default="", help="kept with the decision")
    retry.add_argument("--instance", metavar="NAME", default="", help="by its name or its id (i17); all that are held if absent")
    skip.add_argument("--instance", metavar="NAME", required=True, help="by its name or its id (i17)")
    for action in actions.choices.values():
        action.add_argument("--json", action="store_true", help="for programs: one JSON value")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    work = {"list": _list, "rebuild": _rebuild, "switch-back": _switch_back, "settle": _settle, "retry": _retry, "skip": _skip}
    try:
        asyncio.run(work[arguments.action](arguments, places(settings)))
    except NotRunning as absence:
        return _refused(str(absence), exits.NOT_RUNNING)
    except Unknown as refusal:
        return _refused(str(refusal), exits.USAGE)
    except (NotDone, rebuild.Stopped) as refusal:
        return _refused(str(refusal), exits.FAILED)
    except DomainError as refusal:
        return _refused(f"{headline(refusal, Language.ENGLISH)}: {'; '.join(details(refusal, Language.ENGLISH))}", exits.FAILED)
    except (*LOST, LogUnreachable, asyncpg.PostgresError) as error:
        return _refused(f"the databases cannot be worked with: {str(error) or type(error).__name__}", exits.FAILED)
    except KeyboardInterrupt:
        return _refused("broken off; what serves is as it was", exits.FAILED)
    return exits.DONE


def _refused(why: str, code: int) -> int:
    print(f"theke: {why}", file=sys.stderr)
    return code


def _print(arguments: argparse.Namespace, value: Any, text: str) -> None:
    print(msgspec.json.encode(value).decode() if arguments.json else text)


# --- names --------------------------------------------------------------------------------------------------------------------


def named(names: Sequence[str], services: Sequence[str] = SERVICES) -> dict[str, list[Projection]]:
    """Service → its projections of these names (``pos.receipts`` or ``receipts``); all if none is named. Raises Unknown."""
    every = {service: list(declared(service).projections) for service in services}
    if not names:
        return {service: projections for service, projections in every.items() if projections}
    found: dict[str, list[Projection]] = {}
    for name in names:
        service, _, short = name.rpartition(".")
        places_ = [(one, made) for one, all_ in every.items() for made in all_ if made.name == short and service in ("", one)]
        if len(places_) != 1:
            wrong = "is one of several services'" if places_ else "is no projection"
            raise Unknown(f"{name[:80]} {wrong}: `theke projections list` shows their names")
        [(one, made)] = places_
        if made not in found.setdefault(one, []):
            found[one].append(made)
    return found


# --- list ---------------------------------------------------------------------------------------------------------------------


async def _list(arguments: argparse.Namespace, known: Places) -> None:
    shown = await listed(known)
    _print(arguments, shown, render(shown))


async def listed(known: Places, services: Sequence[str] = SERVICES) -> list[Shown]:
    """Every projection of these services, as the read database has it."""
    found: list[Shown] = []
    for service, projections in named((), services).items():
        async with _log(known, service) as log:
            heads = await log.heads()
        async with rebuild.connected(known.read_dsn, service) as read:
            try:
                active, builds = await serving(read, service), await store.builds(read, service)
                checkpoints = await store.checkpoints(read, service)
            except asyncpg.UndefinedTableError:
                active, builds, checkpoints = {}, {}, {}
        for projection in projections:
            found.append(_shown(service, projection, heads, active.get(projection.name), builds, checkpoints))
    return found


def _shown(
    service: str,
    projection: Projection,
    heads: Mapping[int, int],
    active: tuple[int, int] | None,
    builds: Mapping[tuple[str, int, int], store.State],
    checkpoints: Mapping[tuple[str, int], tuple[int, str | None]],
) -> Shown:
    own = suffix(*active) if active is not None else "-"
    there = {(revision, of): state for (name, revision, of), state in builds.items() if name == projection.name}
    others = {suffix(*build): str(state) for build, state in there.items() if state != store.State.DROPPED}
    others.pop(own, None)
    standing = {instance: checkpoints.get((f"{projection.name}_{own}", instance), (0, None)) for instance in heads}
    return Shown(
        service=service,
        projection=projection.name,
        build=own,
        others=others,
        instances=len(heads),
        lag=sum(max(0, head - standing[instance][0]) for instance, head in heads.items()),
        held={f"i{instance}": why for instance, (_, why) in standing.items() if why is not None},
    )


def render(shown: Sequence[Shown]) -> str:
    lines = [f"{'projection':<32}{'build':<8}{'lag':>8}  also there"]
    for one in shown:
        others = ", ".join(f"{build} {state}" for build, state in one.others.items())
        lines.append(f"{one.service + '.' + one.projection:<32}{one.build:<8}{one.lag:>8,}  {others}".rstrip())
        lines += [f"    {instance} held: {why}" for instance, why in one.held.items()]
        if one.held:
            lines.append("    retry when what is wrong has been put right, or skip the event: `theke projections retry|skip --help`")
    return "\n".join(lines)


# --- rebuild ------------------------------------------------------------------------------------------------------------------


async def _rebuild(arguments: argparse.Namespace, known: Places) -> None:
    if arguments.all == bool(arguments.names):
        raise Unknown("say which projections, or --all")
    chosen = named(arguments.names)
    settle_memory()
    done = [await rebuilt(known, service, projections) for service, projections in chosen.items()]
    _print(arguments, done, "\n".join(_told(one) for one in done))


def _told(one: Rebuilt) -> str:
    what = (
        "readers get them now"
        if one.switched
        else "filled beside what serves; the service takes them over when it starts with this version"
    )
    return f"{one.service}: {', '.join(one.builds)}: {one.events:,} events, {one.seconds:.1f} s, {one.per_second:,} events/s; {what}"


async def rebuilt(known: Places, service: str, projections: Sequence[Projection]) -> Rebuilt:
    """New tables for these projections of one service, and readers switched to them. Raises Stopped, with nothing changed."""
    async with _log(known, service) as log, rebuild.several(known.read_dsn, service) as connections:
        read = connections[0]
        work = rebuild.Rebuild(connections, service, projections, log)
        active = await _active(read, service)
        await work.begin()
        try:
            with Progress(f"rebuild {service}", sum((await log.heads()).values())) as progress:
                since = time.monotonic()
                await work.fill(progress.at)
                seconds = time.monotonic() - since
        except BaseException:
            with contextlib.suppress(*LOST, asyncpg.PostgresError):  # what is left over, the next rebuild drops
                await work.give_up()
            raise
        same = [build for build in work.builds if active.get(build.projection.name, (None, 0))[0] == build.projection.revision]
        others = [build for build in work.builds if build not in same]
        for build in others:
            await store.set_state(read, service, build, store.State.ACTIVE)
        if same:
            await poke(known, service, REVIEW)
            await work.taken_over()
        per_second = round(work.folded / max(seconds, 0.001))
        return Rebuilt(service, [build.id for build in work.builds], work.folded, round(seconds, 3), per_second, not others)


async def _active(read: asyncpg.Connection, service: str) -> dict[str, tuple[int, int]]:
    try:
        return await serving(read, service)
    except asyncpg.UndefinedTableError:
        return {}


# --- switch back, settle ------------------------------------------------------------------------------------------------------


async def _switch_back(arguments: argparse.Namespace, known: Places) -> None:
    chosen = named(arguments.names)
    switched = [build.id for service, projections in chosen.items() for build in await switched_back(known, service, projections)]
    _print(arguments, switched, f"readers get {', '.join(switched)} now; `theke projections switch-back` again undoes it")


async def switched_back(known: Places, service: str, projections: Sequence[Projection]) -> list[Build]:
    """Gives readers the tables that served before. Raises NotDone if there are none, with nothing changed."""
    async with rebuild.connected(known.read_dsn, service) as read:
        states = await store.builds(read, service)
        builds = [_previous(states, projection) for projection in projections]
        for build in builds:
            await store.switch(read, service, build)
    await poke(known, service, REVIEW)
    return builds


def _previous(states: Mapping[tuple[str, int, int], store.State], projection: Projection) -> Build:
    for (name, revision, generation), state in states.items():
        if (name, revision, state) == (projection.name, projection.revision, store.State.PREVIOUS):
            return Build(projection, generation)
    raise NotDone(f"{projection.name} has no tables from before a rebuild")


async def _settle(arguments: argparse.Namespace, known: Places) -> None:
    chosen = named(arguments.names)
    dropped = [build.id for service, projections in chosen.items() for build in await settled(known, service, projections)]
    _print(arguments, dropped, f"dropped {', '.join(dropped)}")


async def settled(known: Places, service: str, projections: Sequence[Projection]) -> list[Build]:
    """Drops the tables that served before. Raises NotDone if there are none, with nothing changed."""
    async with rebuild.connected(known.read_dsn, service) as read:
        states = await store.builds(read, service)
        builds = [_previous(states, projection) for projection in projections]
        for build in builds:
            await store.set_state(read, service, build, store.State.RETIRED)
        await poke(known, service, REVIEW)
        await asyncio.sleep(LET_GO_WITHIN_S)  # the projector and the last reader let go of them
        await rebuild.tidy(read, service, projections)
    return builds


# --- retry, skip --------------------------------------------------------------------------------------------------------------


async def _retry(arguments: argparse.Namespace, known: Places) -> None:
    [(service, [projection])] = named([arguments.name]).items()
    instance = await instance_id(known, arguments.instance) if arguments.instance else None
    lifted = await retried(known, service, projection, instance)
    _print(arguments, lifted, f"{service}.{projection.name}: tried again for {', '.join(f'i{one}' for one in lifted)}")


async def retried(known: Places, service: str, projection: Projection, instance: int | None = None) -> list[int]:
    """Lifts holds, so that the projector tries again. Raises NotDone if nothing is held."""
    async with rebuild.connected(known.read_dsn, service) as read:
        lifted = await _lift(read, service, projection, instance)
    if not lifted:
        raise NotDone(f"{service}.{projection.name} is not held{f' for i{instance}' if instance is not None else ''}")
    await poke(known, service, REVIEW)
    return lifted


async def _lift(read: asyncpg.Connection, service: str, projection: Projection, instance: int | None) -> list[int]:
    """In every build that is live."""
    states = await store.builds(read, service)
    live = [(revision, of) for (name, revision, of), state in states.items() if name == projection.name and state in store.LIVE]
    ids = [f"{projection.name}_{suffix(revision, of)}" for revision, of in live]
    rows = await read.fetch(
        f"update {service}.checkpoints set held = null where projection = any($1::text[]) and held is not null "
        "and ($2::int is null or instance = $2) returning instance",
        ids, instance,
    )  # fmt: skip
    return sorted({row["instance"] for row in rows})


async def _skip(arguments: argparse.Namespace, known: Places) -> None:
    [(service, [projection])] = named([arguments.name]).items()
    instance = await instance_id(known, arguments.instance)
    at = await skipped(known, service, projection, instance, arguments.position, arguments.reason)
    _print(
        arguments, {"position": at}, f"{service}.{projection.name} passes over {arguments.position} of i{instance}; written down at {at}"
    )


async def skipped(known: Places, service: str, projection: Projection, instance: int, position: int, reason: str = "") -> int:
    """Writes the decision into the log and lifts the hold. Raises NotDone unless it is this event that holds the projection."""
    async with rebuild.connected(known.read_dsn, service) as read:
        active = (await _active(read, service)).get(projection.name)
        if active is None or active[0] != projection.revision:
            raise NotDone(f"{projection.name}: another revision serves than that of this version")
        at, held = (await store.checkpoints(read, service)).get((Build(projection, active[1]).id, instance), (0, None))
        if held is None or at + 1 > position or f"at position {position}:" not in held:
            raise NotDone(f"{service}.{projection.name} is not held at {position} for i{instance}: `theke projections list` says where")
        body = Skip(projection=projection.name, revision=projection.revision, position=position, reason=reason)
        connection, services = await connected(known.nats_url, "projections")
        try:
            done, _ = await services.command(service, "projection.skip", body, Skipped, principal=system(instance, "operator"))
        finally:
            await connection.close()
        await _lift(read, service, projection, instance)
    await poke(known, service, REVIEW)
    return done.position


# --- small things -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _log(known: Places, service: str) -> AsyncIterator[Log]:
    log = Log(known.log_dsn, service)
    await log.open()
    try:
        yield log
    finally:
        await log.close()


async def poke(known: Places, service: str, kind: str) -> None:
    """Tells projector and readers to look now; who does not hear it looks within seconds."""
    if not known.nats_url:
        return
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            connection, _ = await connected(known.nats_url, "projections")
            live = Live(connection)
            live.publish(service, kind, b"")
            live.publish(EVERYBODY, SWITCHED, b"")
            await connection.close()
    except (DomainError, TimeoutError):
        return
