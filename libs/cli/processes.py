"""``theke processes``: what services do by themselves, what stops it, and trying it again."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from libs.bus.live import Live
from libs.cli import exits
from libs.cli.places import Unknown, instance_id, places
from libs.cli.status import ANSWER_WITHIN_S, service_status
from libs.domain.errors import DomainError
from libs.domain.ids import instance_token
from libs.runtime.asking import Services, connected
from libs.runtime.config import SERVICES, Settings
from libs.runtime.endpoints import NotRunning
from libs.runtime.processes import RETRY, Retry, Told
from libs.runtime.proof import Places
from libs.texts.catalogue import Language, details, headline

TRIED_WITHIN_S: Final = 10.0
LOOK_EVERY_S: Final = 0.1

DESCRIPTION: Final = """\
Processes are what services do by themselves: they hear what other services' logs say (monitor tells followers of changes), carry payments
to their end (payments), have receipts signed (signing), drop references to what is gone (references), sweep files that nothing names
(files), forget old command ids (housekeeping). What cannot go on for one instance stops there and nowhere else, is tried again by itself,
and is listed here with the time since when and why.
"""

EPILOG: Final = """\
examples:
  theke processes list                                  what is stopped or behind, and what there is
  theke processes list --all                            every place of every instance
  theke processes retry                                 try everything that is stopped at once
  theke processes retry crm.monitor --instance demo

exit codes:
  0  done; with `retry`: nothing of it is stopped any more
  1  a service does not answer, or it is still stopped; the reason is on stderr
  2  there is no such process or instance
  3  Theke is not running, and its servers are not one's own
"""


class Standing(msgspec.Struct, frozen=True):
    """How far a process is with one instance. ``source``: the log that it hears, empty for what looks at tables; ``lag``: events of it
    that were not heard yet. ``stopped_since``, ``why``, ``tries``: what stops it."""

    process: str
    instance: int
    source: str
    position: int
    lag: int
    stopped_since: datetime | None
    why: str
    tries: int


class Listed(msgspec.Struct, frozen=True):
    """``places``: of all processes; ``looked``: when each came round last, by name; ``silent``: services that do not answer, and why."""

    places: list[Standing]
    looked: dict[str, datetime]
    silent: dict[str, str]


class _Answer(msgspec.Struct, frozen=True):
    heads: dict[int, int]
    processes: Told


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "processes",
        help="what services do by themselves: list, try again",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="how far each is, since when it is stopped and why")
    listing.add_argument("--all", action="store_true", help="also places of which there is nothing to say")
    retry = actions.add_parser("retry", help="try at once what is stopped")
    retry.add_argument("name", metavar="NAME", nargs="?", default="", help="crm.monitor, or monitor; all if absent")
    retry.add_argument("--instance", metavar="NAME", default="", help="by its name or its id (i17); all if absent")
    for action in (listing, retry):
        action.add_argument("--json", action="store_true", help="for programs: one JSON object")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    try:
        return asyncio.run(_act(arguments, places(settings)))
    except NotRunning as absence:
        return _refused(str(absence), exits.NOT_RUNNING)
    except Unknown as refusal:
        return _refused(str(refusal), exits.USAGE)
    except DomainError as refusal:
        return _refused(f"{headline(refusal, Language.ENGLISH)}: {'; '.join(details(refusal, Language.ENGLISH))}", exits.FAILED)


def _refused(why: str, code: int) -> int:
    print(f"theke: {why}", file=sys.stderr)
    return code


async def _act(arguments: argparse.Namespace, known: Places) -> int:
    connection, services = await connected(known.nats_url, "processes")
    try:
        if arguments.action == "list":
            listed = await processes(services)
            print(msgspec.json.encode(listed).decode() if arguments.json else render(listed, everything=arguments.all))
            return exits.FAILED if listed.silent else exits.DONE
        instance = await instance_id(known, arguments.instance) if arguments.instance else None
        left = await retried(services, Live(connection), arguments.name, instance)
        listed = Listed(left, {}, {})
        print(msgspec.json.encode(listed).decode() if arguments.json else _after(left))
        return exits.FAILED if left else exits.DONE
    finally:
        await connection.close()


async def processes(services: Services) -> Listed:
    """Of every service that answers."""
    answers = await asyncio.gather(*(_asked(services, name) for name in SERVICES))
    known = dict(zip(SERVICES, answers, strict=True))
    heads = {name: answer.heads for name, answer in known.items() if isinstance(answer, _Answer)}
    return Listed(
        places=[one for name, answer in known.items() if isinstance(answer, _Answer) for one in standings(name, answer.processes, heads)],
        looked={f"{name}.{one}": at for name, of in known.items() if isinstance(of, _Answer) for one, at in of.processes.looked.items()},
        silent={name: answer for name, answer in known.items() if isinstance(answer, str)},
    )


async def _asked(services: Services, name: str) -> _Answer | str:
    facts = await service_status(services, name)
    return str(facts["error"]) if "error" in facts else msgspec.convert(facts, _Answer)


def standings(service: str, told: Told, heads: Mapping[str, Mapping[int, int]]) -> Iterator[Standing]:
    for feed in told.feeds:
        head = heads.get(feed.source, {}).get(feed.instance, 0)
        yield Standing(
            f"{service}.{feed.process}", feed.instance, feed.source, feed.position, max(0, head - feed.position) if feed.source else 0,
            feed.stopped_since, feed.why, feed.tries,
        )  # fmt: skip


def render(listed: Listed, *, everything: bool) -> str:
    """What is stopped or behind; with ``everything`` also what is not."""
    shown = [one for one in listed.places if everything or one.stopped_since is not None or one.lag]
    lines = [f"{'process':<20}{'instance':<10}{'hears':<12}{'position':>10}{'lag':>8}  "]
    for one in shown:
        instance = instance_token(one.instance) if one.instance or one.source else "all"
        position = f"{one.position:,}" if one.source else "-"
        lines.append(f"{one.process:<20}{instance:<10}{one.source or '-':<12}{position:>10}{one.lag:>8,}  {_stopped(one)}".rstrip())
    lines[0] = lines[0].rstrip()
    lines += [f"{service} does not answer: {why}" for service, why in listed.silent.items()]
    if len(lines) == 1:
        lines = ["nothing is stopped, nothing is behind"]
    going = ", ".join(f"{name} {at:%H:%M:%S}" for name, at in sorted(listed.looked.items()))
    return "\n".join([*lines, f"came round last (UTC): {going or 'nothing yet'}"])


def _stopped(one: Standing) -> str:
    return f"stopped since {one.stopped_since:%Y-%m-%d %H:%M:%S} UTC, {one.tries} tries: {one.why}" if one.stopped_since else ""


async def retried(services: Services, live: Live, name: str = "", instance: int | None = None) -> list[Standing]:
    """Tries at once what is stopped; what is still stopped afterwards. Raises Unknown for a process that there is not."""
    before = await processes(services)
    service, _, short = name.rpartition(".")
    names = {*before.looked, *(one.process for one in before.places)}
    if name and not any(one == name or (not service and one.endswith(f".{short}")) for one in names):
        raise Unknown(f"{name[:80]} is no process: {', '.join(sorted(names)) or 'no service answers'}")

    def chosen(one: Standing) -> bool:
        of, _, called = one.process.partition(".")
        return service in ("", of) and short in ("", called) and instance in (None, one.instance)

    waiting = {_place(one): one.tries for one in before.places if one.stopped_since is not None and chosen(one)}
    for one in [service] if service else SERVICES:
        live.publish(one, RETRY, msgspec.msgpack.encode(Retry(short, instance)))
    left: list[Standing] = []
    async with asyncio.timeout(TRIED_WITHIN_S) as limit:
        while True:
            left = [one for one in (await processes(services)).places if one.stopped_since is not None and chosen(one)]
            untried = [one for one in left if one.tries == waiting.get(_place(one))]
            if not untried or (limit.when() or 0) - asyncio.get_running_loop().time() < 2 * ANSWER_WITHIN_S:
                return left
            await asyncio.sleep(LOOK_EVERY_S)


def _place(one: Standing) -> tuple[str, int, str]:
    return one.process, one.instance, one.source


def _after(left: Sequence[Standing]) -> str:
    if not left:
        return "nothing is stopped any more"
    return "\n".join(f"{one.process} {instance_token(one.instance)} {one.source}: {_stopped(one)}" for one in left)
