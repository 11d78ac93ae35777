"""``theke log``: what an operator decides about a log whose copy says something else."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID, uuid4, uuid5

import asyncpg
import msgspec
from nats.errors import Error as NatsError

from libs.bus.connection import connect
from libs.bus.inbox import Inbox
from libs.bus.jetstream import JetStream, StreamInfo
from libs.bus.live import REVIEW
from libs.bus.streams import LIFE, LIFE_BEHIND, LIFE_LOST
from libs.bus.subjects import log_stream
from libs.cli import exits
from libs.cli.confirming import agreed
from libs.cli.places import Unknown, chosen_services, declared, instance_id, places
from libs.cli.projections import poke, rebuilt
from libs.contracts.auth.events import INSTALLATION
from libs.contracts.lives import REASON_MAX_CHARS, BeginLife, Begun
from libs.domain.errors import DomainError
from libs.domain.ids import NAMESPACE, instance_token
from libs.domain.principal import system
from libs.eventstore.log import LOST, Log, LogUnreachable
from libs.projections import rebuild, store
from libs.projections.declare import Build
from libs.runtime import lives
from libs.runtime.asking import Services, connected
from libs.runtime.config import SERVICES, Settings
from libs.runtime.endpoints import NotRunning
from libs.runtime.proof import Places
from libs.texts.catalogue import Language, details, headline

KEPT: Final = "lost"  # folder of the state directory
READ_AT_ONCE: Final = 100  # messages
BEGUN_WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.05
ANSWER_WITHIN_S: Final = 10.0
EVERYTHING: Final = 2**62  # a position behind every other

DESCRIPTION: Final = """\
A log and its copy in JetStream say the same, row by row. If the copy is longer, the log lost its tail: an older dump was restored, or a
disk forgot. If they end in different events, something was written since. Theke then stops writing to that log, since nobody but an
operator can tell which of the two is right, and what was sold must not be numbered twice without anybody knowing.
"""

EPILOG: Final = """\
Before `new-life`: if there is a newer dump or a standby that has the tail, restore that instead, and everything goes on by itself.

`theke log new-life` decides that the log is right as it is. For every log that contradicts its copy
  1. the messages that the log does not have are written to a file (THEKE_DATA/lost), one CloudEvent per line: what was lost stands there
  2. query tables that show rows of lost events are made anew of the log, and readers switched to them
  3. the stream is replaced by one that begins behind the last event both have, and the log takes events again
  4. `log.life_began` is written to the log and to the installation's log (service auth): downstream systems read which positions are void
Consumers of the old stream end with it. They go on with a new one from their own position, and take back what lies behind `behind`.
It may be repeated: what was broken off is finished, what is done is left alone.

examples:
  theke log new-life                          say what would be done, ask, do it
  theke log new-life --dry-run --json         only say it
  theke log new-life --service pos --instance demo --yes --reason "disk of 5 March"
  theke verify                                afterwards

exit codes:
  0  done, or nothing to do
  1  not done; the reason is on stderr
  2  there is no such service or instance, or nobody agreed
  3  Theke is not running, and its servers are not one's own
"""


class Contradiction(msgspec.Struct, frozen=True):
    """A log that ends at ``head`` and its copy that ends at ``copied``: both have the same up to ``behind``. ``lost``: events that only
    the copy has; ``unpublished``: events that only the log has. ``state``: ahead, diverged, or begun: a new life that was not noted."""

    service: str
    instance: int
    state: str
    head: int
    copied: int
    behind: int
    lost: int
    unpublished: int
    life: str = ""


class Begin(msgspec.Struct, frozen=True):
    """A new life. ``kept``: the file with what was lost, empty if nothing was; ``noted``: position of the log where it is written down."""

    service: str
    instance: int
    life: str
    behind: int
    lost: int
    kept: str
    noted: int


class NotDone(Exception):
    """The message says why not."""


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "log",
        help="go on after a log lost its tail: new-life",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    new = actions.add_parser(
        "new-life",
        help="the log is right as it is: its copy begins anew where both last agreed",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    new.add_argument("--service", metavar="NAME", action="append", default=[], help=f"one of {', '.join(SERVICES)}; may be repeated")
    new.add_argument("--instance", metavar="NAME", default="", help="by its name or its id (i17); all if absent")
    new.add_argument("--keep", metavar="DIR", type=Path, help="where what was lost is written to (THEKE_DATA/lost)")
    new.add_argument("--reason", default="", help="kept with the decision")
    new.add_argument("--dry-run", action="store_true", help="only say what would be done")
    new.add_argument("--yes", action="store_true", help="do not ask")
    new.add_argument("--json", action="store_true", help="for programs: one JSON array")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    try:
        return asyncio.run(_new_life(arguments, settings, places(settings)))
    except NotRunning as absence:
        return _refused(str(absence), exits.NOT_RUNNING)
    except Unknown as refusal:
        return _refused(str(refusal), exits.USAGE)
    except (NotDone, rebuild.Stopped) as refusal:
        return _refused(str(refusal), exits.FAILED)
    except DomainError as refusal:
        return _refused(f"{headline(refusal, Language.ENGLISH)}: {'; '.join(details(refusal, Language.ENGLISH))}", exits.FAILED)
    except (*LOST, LogUnreachable, asyncpg.PostgresError, NatsError) as error:
        return _refused(f"could not do it: {str(error) or type(error).__name__}; it may be repeated", exits.FAILED)


def _refused(why: str, code: int) -> int:
    print(f"theke: {why}", file=sys.stderr)
    return code


async def _new_life(arguments: argparse.Namespace, settings: Settings, known: Places) -> int:
    if len(arguments.reason) > REASON_MAX_CHARS:
        raise Unknown(f"--reason has more than {REASON_MAX_CHARS} characters")
    services = chosen_services(arguments.service)
    instance = await instance_id(known, arguments.instance) if arguments.instance else None
    found = await contradictions(known, services, instance)
    if arguments.dry_run or not found:
        print(msgspec.json.encode(found).decode() if arguments.json else render(found))
        return exits.DONE
    if not arguments.json:
        print(render(found))
    if not agreed("Begin a new life of these logs?", yes=arguments.yes):
        raise Unknown("nothing was done: say `yes`, or give --yes")
    begun = await begin(known, found, arguments.keep or settings.data / KEPT, arguments.reason)
    print(msgspec.json.encode(begun).decode() if arguments.json else "\n".join(_told(one) for one in begun))
    return exits.DONE


def render(found: Sequence[Contradiction]) -> str:
    if not found:
        return "Every log says what its copy says: there is nothing to decide."
    lines = []
    for one in found:
        place = f"{one.service} {instance_token(one.instance)}"
        if one.state == "begun":
            lines.append(f"{place}: a new life began behind {one.behind:,} and was not written down: it will be")
            continue
        lines.append(f"{place}: the log ends at {one.head:,}, its copy at {one.copied:,}; both have the same up to {one.behind:,}")
        if one.lost:
            lines.append(f"    {one.lost:,} events ({one.behind + 1:,} to {one.copied:,}) are lost to the log: they are written to a file")
        if one.unpublished:
            lines.append(f"    {one.unpublished:,} events ({one.behind + 1:,} to {one.head:,}) were written since and are published then")
        lines.append(f"    the stream {log_stream(one.service, one.instance)} is replaced by one that begins with {one.behind + 1:,}")
    return "\n".join(lines)


def _told(one: Begin) -> str:
    kept = f"; what was lost is in {one.kept}" if one.kept else ""
    noted = f"written down at {one.noted:,}" if one.noted else "written down in the installation's log"
    return f"{one.service} {instance_token(one.instance)}: a new life behind {one.behind:,}, {noted}{kept}"


# --- what contradicts ---------------------------------------------------------------------------------------------------------


async def contradictions(known: Places, services: Sequence[str] = SERVICES, instance: int | None = None) -> list[Contradiction]:
    """Every log that its copy contradicts. Raises NotDone without a bus."""
    found: list[Contradiction] = []
    async with _jetstream(known) as bus:
        streams = [name for service in services for name in await bus.names(service)]
        for service in services:
            declared(service)  # knows its events
            async with _log(known, service) as log:
                heads = await log.heads()
                there = heads.keys() | _instances(streams, service)
                for id_ in sorted(there):
                    if instance is None or id_ == instance:
                        one = await _contradiction(log, bus, service, id_, heads.get(id_, 0))
                        found += [one] if one is not None else []
    return found


def _instances(streams: Sequence[str], service: str) -> set[int]:
    start = log_stream(service, 0)[:-1]
    return {int(name[len(start) :]) for name in streams if name.startswith(start) and name[len(start) :].isdigit()}


async def _contradiction(log: Log, bus: JetStream, service: str, instance: int, head: int) -> Contradiction | None:
    info = await bus.info(log_stream(service, instance))
    if info is None:
        return None
    last = info.state.last_seq
    behind = await _common(log, bus, service, instance, head, info)
    if behind < last:
        state = "ahead" if behind == head else "diverged"
        return Contradiction(service, instance, state, head, last, behind, last - behind, head - behind)
    said = info.config.get("metadata") or {}
    if (life := said.get(LIFE, "")) and head and not await _noted(log, service, instance, life):
        behind, lost = int(said[LIFE_BEHIND]), int(said[LIFE_LOST])
        return Contradiction(service, instance, "begun", head, last, behind, lost - behind, 0, life)
    return None


async def _common(log: Log, bus: JetStream, service: str, instance: int, head: int, info: StreamInfo) -> int:
    """The last position at which log and copy have the same event. What the copy no longer has is taken for the same."""
    last = info.state.last_seq
    low, high = min(max(info.state.first_seq - 1, 0), head), min(last, head)
    if last <= head and (last <= low or await _same(log, bus, service, instance, last)):
        return last
    while low < high:
        middle = (low + high + 1) // 2
        if await _same(log, bus, service, instance, middle):
            low = middle
        else:
            high = middle - 1
    return low


async def _same(log: Log, bus: JetStream, service: str, instance: int, position: int) -> bool:
    rows = await log.read_rows(instance, position - 1, 1)
    message = await bus.message(log_stream(service, instance), position)
    return bool(rows) and (message is None or str(rows[0]["id"]).encode() in message)


async def _noted(log: Log, service: str, instance: int, life: str) -> bool:
    known = await log.read_stream(instance, lives.stream(service, instance), EVERYTHING)
    return any(one.data.life == life for one in known)


# --- a new life ---------------------------------------------------------------------------------------------------------------


async def begin(known: Places, found: Sequence[Contradiction], folder: Path, reason: str = "") -> list[Begin]:
    """One log after the other, that of the installation first. Raises NotDone if a service does not do its part; it may be repeated."""
    connection, services = await connected(known.nats_url, "new-life")
    try:
        for service in dict.fromkeys(one.service for one in found):
            await _require_running(services, service)
        for service in dict.fromkeys(one.service for one in found):
            await _tables_anew(known, service, [one for one in found if one.service == service])
        return [await _begin(known, services, one, folder, reason) for one in found]
    finally:
        await connection.close()


async def _require_running(services: Services, service: str) -> None:
    try:
        await services.query(service, "status", {}, dict[str, Any], principal=system(INSTALLATION, "new-life"), deadline=ANSWER_WITHIN_S)
    except DomainError as refusal:
        raise NotDone(f"{service} does not answer ({refusal.reason}): it has to run, since it replaces the stream") from None


async def _tables_anew(known: Places, service: str, found: Sequence[Contradiction]) -> None:
    """Tables that may show what the log does not have are filled anew; what served before is let go of: it is wrong for good."""
    projections = list(declared(service).projections)
    behind = {one.instance: one.behind for one in found if one.state != "begun"}
    async with rebuild.connected(known.read_dsn, service) as read:
        checkpoints = await store.checkpoints(read, service)
        if not any(position > behind[instance] for (_, instance), (position, _) in checkpoints.items() if instance in behind):
            return
        await rebuilt(known, service, projections)
        for (name, revision, generation), state in (await store.builds(read, service)).items():
            for projection in projections:
                if (name, revision, state) == (projection.name, projection.revision, store.State.PREVIOUS):
                    await store.set_state(read, service, Build(projection, generation), store.State.RETIRED)
    await poke(known, service, REVIEW)


async def _begin(known: Places, services: Services, one: Contradiction, folder: Path, reason: str) -> Begin:
    kept = ""
    async with _jetstream(known) as bus, _log(known, one.service) as log:
        decided = await log.life_to_begin(one.instance)
        life = UUID(one.life) if one.life else decided.id if decided is not None else uuid4()
        if one.state != "begun":
            kept = await _keep(bus, one, folder, life) if one.lost else ""
            if one.head:
                await log.begin_life(one.instance, life, one.behind, one.copied)
                await _until_begun(log, one)
            else:  # the whole log is gone: nobody follows it, and its next event makes a stream of its own
                await bus.delete(log_stream(one.service, one.instance))
                await log.go_on(one.instance)
    lost = one.behind + one.lost
    body = BeginLife(service=one.service, instance=one.instance, life=life.hex, behind=one.behind, lost=lost, reason=reason)
    noted = 0
    for service, instance in {("auth", INSTALLATION): None, **({(one.service, one.instance): None} if one.head else {})}:
        id_ = uuid5(NAMESPACE, f"life {life.hex} {service} {instance}")
        done, _ = await services.command(service, "log.begin_life", body, Begun, principal=system(instance, "operator"), id=id_)
        noted = done.position if (service, instance) == (one.service, one.instance) else noted
    return Begin(one.service, one.instance, life.hex, one.behind, lost, kept, noted)


async def _until_begun(log: Log, one: Contradiction) -> None:
    try:
        async with asyncio.timeout(BEGUN_WITHIN_S):
            while await log.life_to_begin(one.instance) is not None:  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        why = f"{one.service} {instance_token(one.instance)}: the decision is written down, but no relay of {one.service} has done it yet"
        raise NotDone(f"{why}; `theke status` shows when, then repeat this command") from None


async def _keep(bus: JetStream, one: Contradiction, folder: Path, life: UUID) -> str:
    """The messages that the log does not have, a line each, on disk before anything is changed."""
    path = folder / f"{one.service}-{instance_token(one.instance)}-{one.behind + 1}-{one.copied}-{life.hex}.jsonl"
    with _private(path) as file:
        for first in range(one.behind + 1, one.copied + 1, READ_AT_ONCE):
            wanted = range(first, min(first + READ_AT_ONCE, one.copied + 1))
            stream = log_stream(one.service, one.instance)
            for message in await asyncio.gather(*(bus.message(stream, sequence) for sequence in wanted)):
                if message is not None:
                    file.write(message + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return str(path)


def _private(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


# --- small things -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _jetstream(known: Places) -> AsyncIterator[JetStream]:
    if not known.nats_url:
        raise NotDone("the copies are in NATS: say where with THEKE_NATS_URL")
    connection = await connect(known.nats_url, name="new-life")
    inbox = Inbox(connection)
    await inbox.open()
    try:
        yield JetStream(connection, inbox)
    finally:
        await inbox.close()
        await connection.close()


@asynccontextmanager
async def _log(known: Places, service: str) -> AsyncIterator[Log]:
    log = Log(known.log_dsn, service)
    await log.open()
    try:
        yield log
    finally:
        await log.close()
