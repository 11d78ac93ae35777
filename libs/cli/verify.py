"""``theke verify``: proof that nothing was lost, altered or put in."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg
import msgspec
from nats.errors import Error as NatsError

from libs.cli import exits
from libs.cli.places import Unknown, chosen_services, declared, instance_id, places
from libs.cli.progress import Progress
from libs.eventstore.audit import Anchor, head, snapshot
from libs.eventstore.log import LOST
from libs.runtime.config import SERVICES, Settings
from libs.runtime.endpoints import NotRunning
from libs.runtime.proof import Places, Proved, instances_of, prove

SAMPLED_INSTANCES: Final = 3
ANCHORS_MAX_BYTES: Final = 64 * 1024 * 1024

DESCRIPTION: Final = """\
Prove that nothing was lost, altered or put in. Every log is read from its first row to its last, and everything about it is computed
again and compared:

  chain      positions without a gap; the hash of every row and of every commit; the first row that was altered, is missing or was put in
  runs       versions of every stream and numbers of every series from 1 without a gap; no event twice
  claims     values that are taken (user names, table numbers) are those the events took
  commands   those that are remembered cover the end of the log
  copy       message i of the JetStream stream is row i, byte for byte
  tables     query tables are what an independent fold of the log gives, row by row

Theke may go on selling meanwhile. Tables are folded for {sampled} instances drawn by lot, for the one named by --instance, or for all
with --full.
"""

EPILOG: Final = """\
A chain shows that a log agrees with itself. Whoever owns the database could compute all of it anew, so keep what `theke verify --json`
printed somewhere else: `theke verify --anchor FILE` then shows that the log still is the one it was, and only longer.

examples:
  theke verify                                    everything, tables of a sample
  theke verify --service pos --instance demo      one log and all of its tables
  theke verify --full --json > verified.json      everything, for programs and as an anchor
  theke verify --anchor verified.json             nothing of what was there then has changed

exit codes:
  0  everything holds
  1  could not be looked at; the reason is on stderr
  2  there is no such service or instance, or the anchor is none
  3  Theke is not running, and its servers are not one's own
  5  something does not hold; each finding names its row
"""


class Verified(msgspec.Struct, frozen=True):
    """``seed``: repeats the sample."""

    holds: bool
    seed: int
    seconds: float
    logs: list[Proved]


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "verify",
        help="prove that nothing was lost, altered or put in",
        description=DESCRIPTION.format(sampled=SAMPLED_INSTANCES),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--service", metavar="NAME", action="append", default=[], help=f"one of {', '.join(SERVICES)}; may be repeated")
    command.add_argument("--instance", metavar="NAME", default="", help="by its name or its id (i17)")
    command.add_argument("--full", action="store_true", help="fold the tables of every instance")
    command.add_argument("--seed", type=int, default=None, help="draw the same sample as an earlier run")
    command.add_argument("--anchor", metavar="FILE", type=Path, help="what an earlier `theke verify --json` printed")
    command.add_argument("--json", action="store_true", help="for programs: one JSON object")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    try:
        verified = asyncio.run(_verify(arguments, places(settings)))
    except NotRunning as absence:
        return _refused(str(absence), exits.NOT_RUNNING)
    except Unknown as refusal:
        return _refused(str(refusal), exits.USAGE)
    except (*LOST, asyncpg.PostgresError, NatsError) as error:
        return _refused(f"could not look at everything: {str(error) or type(error).__name__}", exits.FAILED)
    print(msgspec.json.format(msgspec.json.encode(verified), indent=2).decode() if arguments.json else render(verified))
    return exits.DONE if verified.holds else exits.BROKEN


def _refused(why: str, code: int) -> int:
    print(f"theke: {why}", file=sys.stderr)
    return code


async def _verify(arguments: argparse.Namespace, places_: Places) -> Verified:
    services = chosen_services(arguments.service)
    chosen = await instance_id(places_, arguments.instance) if arguments.instance else None
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    return await verify(places_, services, chosen, full=arguments.full, seed=seed, anchors=anchors_of(arguments.anchor))


async def verify(
    places_: Places,
    services: Sequence[str],
    instance: int | None = None,
    *,
    full: bool = False,
    seed: int = 0,
    anchors: Sequence[Anchor] = (),
) -> Verified:
    """Every log of these services, or of one instance. Raises what the databases raise."""
    since = time.monotonic()
    logs = await _logs(places_, services, instance, anchors)
    heads = {log: await _head(places_, *log) for log in logs}
    sampled = _sample(logs, instance, full=full, seed=seed)
    found: list[Proved] = []
    before = 0
    with Progress("verify", sum(heads.values())) as progress:
        for service, id_ in logs:

            def seen(rows: int, before: int = before, what: str = f"{service} i{id_}") -> None:
                progress.at(before + rows, what)

            found.append(await prove(places_, declared(service), id_, tables=id_ in sampled, anchors=anchors, seen=seen))
            before += heads[service, id_]
    return Verified(not any(one.findings for one in found), seed, round(time.monotonic() - since, 3), found)


async def _logs(places_: Places, services: Sequence[str], instance: int | None, anchors: Sequence[Anchor]) -> list[tuple[str, int]]:
    """Those that are there, and those that an anchor says were."""
    logs = {(service, id_) for service in services for id_ in await instances_of(places_, service)}
    logs |= {(anchor.service, anchor.instance) for anchor in anchors if anchor.service in services}
    return sorted((log for log in logs if instance is None or log[1] == instance), key=lambda log: (services.index(log[0]), log[1]))


async def _head(places_: Places, service: str, instance: int) -> int:
    async with snapshot(places_.log_dsn, service) as log:
        return await head(log, instance)


def _sample(logs: Sequence[tuple[str, int]], instance: int | None, *, full: bool, seed: int) -> set[int]:
    known = sorted({id_ for _, id_ in logs})
    if full or instance is not None or len(known) <= SAMPLED_INSTANCES:
        return set(known)
    return set(random.Random(seed).sample(known, SAMPLED_INSTANCES))  # noqa: S311


def anchors_of(path: Path | None) -> list[Anchor]:
    """The heads and digests that an earlier run printed. Raises Unknown for anything else."""
    if path is None:
        return []
    try:
        if path.stat().st_size > ANCHORS_MAX_BYTES:
            raise Unknown(f"{path} has more than {ANCHORS_MAX_BYTES:,} bytes: it is not what `theke verify --json` printed")
        logs = json.loads(path.read_bytes())["logs"]
        return [Anchor(log["service"], int(log["instance"]), int(log["head"]), log["digest"]) for log in logs if log["digest"]]
    except OSError as error:
        raise Unknown(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise Unknown(f"{path} is not what `theke verify --json` printed") from None


def render(verified: Verified) -> str:
    lines = []
    for log in verified.logs:
        state = "holds" if not log.findings else f"{len(log.findings)} finding{'s' if len(log.findings) > 1 else ''}"
        lines.append(f"{log.service + ' i' + str(log.instance):<18}{log.head:>12,} events  {state:<12} {_looked_at(log)}")
        lines += [f"    {finding.check}: {finding.what}" for finding in log.findings]
        lines += [f"    not looked at: {what}" for what in log.left_out]
    events = sum(log.head for log in verified.logs)
    broken = sum(bool(log.findings) for log in verified.logs)
    sampled = any("sample" in what for log in verified.logs for what in log.left_out)
    sample = f" Tables: --seed {verified.seed} draws the same sample." if sampled else ""
    if broken:
        lines.append(f"\n{broken} of {len(verified.logs)} logs do not hold. See docs/how-to/prove-that-nothing-was-lost.md for what to do.")
    else:
        lines.append(f"\nNothing was lost: {len(verified.logs)} logs, {events:,} events, {verified.seconds:.1f} s.{sample}")
    return "\n".join(lines)


def _looked_at(log: Proved) -> str:
    parts = ["log"]
    if log.copied is not None:
        parts.append(f"copy {log.copied[0]:,} to {log.copied[1]:,}")
    if log.tables:
        parts.append(f"{sum(log.tables.values()):,} rows of {len(log.tables)} projections")
    return ", ".join(parts)
