"""``theke doctor``: an installation looked at as an experienced operator would, also when it is down."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

import asyncpg
import msgspec
from nats.errors import Error as NatsError

from libs.cli import exits
from libs.cli.checks.bus import bus
from libs.cli.checks.findings import Finding, Severity, error, hint
from libs.cli.checks.logs import copies, ends, logs_of, tables
from libs.cli.checks.machine import machine
from libs.cli.checks.postgres import postgres
from libs.cli.log import NotDone
from libs.cli.status import collect, find
from libs.domain.errors import DomainError
from libs.eventstore.log import LOST
from libs.runtime.config import Settings
from libs.runtime.databases import log_dsn, read_dsn
from libs.runtime.endpoints import NotRunning
from libs.runtime.proof import Places

DESCRIPTION: Final = """\
Look at everything that a running Theke rests on, and say what is wrong, why it matters and what to do. Nothing is changed.

  machine    disk, open files, modes of files with passwords, the port, what an earlier run left behind
  postgres   version, settings that endanger what is booked, locale and encoding, clock, connections, open transactions, migrations
  nats       version, limits, clock, and the streams against what this version declares
  logs       the end of every chain, log against copy, query tables of this version, what is held
  processes  what is down, stopped or behind, if Theke runs
"""

EPILOG: Final = """\
Works when Theke is down: what cannot be looked at is said. `theke verify` then proves the logs row by row.

examples:
  theke doctor
  theke doctor --all                      also what is fine
  theke doctor --json | jq '.[] | select(.severity == "error")'

exit codes:
  0  nothing is wrong (there may be warnings)
  1  there are errors
  2  a setting has an impossible value
"""

MARKS: Final = {Severity.ERROR: "✗", Severity.WARNING: "!", Severity.HINT: "·", Severity.FINE: "✓"}
FAILURES: Final = (*LOST, asyncpg.PostgresError, NatsError, DomainError, NotDone)


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "doctor",
        help="look at everything an installation rests on",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--all", action="store_true", help="also say what is fine")
    command.add_argument("--json", action="store_true", help="for programs: one JSON array, also of what is fine")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    findings = examined(settings)
    print(msgspec.json.encode(findings).decode() if arguments.json else render(findings, everything=arguments.all))
    return exits.FAILED if any(one.severity is Severity.ERROR for one in findings) else exits.DONE


def examined(settings: Settings) -> list[Finding]:
    """Everything that can be looked at, the worst first."""
    try:
        found = find(settings)
    except NotRunning:
        findings = [*machine(settings, running=False)]
        servers = settings.postgres_dsn, settings.nats_url
    else:
        facts = collect(found)
        findings = [*machine(settings, running=True), *(error("processes", one["what"], "", one["next"]) for one in facts["wrong"])]
        servers = found.postgres_dsn, found.nats_url
    findings += asyncio.run(_servers(*servers))
    order = list(Severity)
    return sorted(findings, key=lambda one: order.index(one.severity))


async def _servers(dsn: str, url: str) -> list[Finding]:
    if not dsn:
        why = "its servers run with it"
        return [
            hint("postgres", "Theke is not running: databases and bus were not looked at", why, "`theke up`, then `theke doctor` again")
        ]
    return await servers_examined(dsn, Places(log_dsn(dsn), read_dsn(dsn), url))


async def servers_examined(dsn: str, known: Places) -> list[Finding]:
    """Postgres, NATS, and what is in them. A part that cannot be looked at is an error of its own and hides no other one."""
    findings = await _gathered("postgres", postgres(dsn, known))
    if any(one.severity is Severity.ERROR and "cannot be reached" in one.what for one in findings):
        return findings
    try:
        logs = await logs_of(known)
    except FAILURES as failure:
        return [*findings, _unseen("logs", failure)]
    findings += await _gathered("logs", ends(known, logs))
    begun = [service for service, instances in logs.items() if instances]
    findings += await _gathered("tables", tables(known, begun))
    if known.nats_url:
        heard = await _gathered("nats", bus(known.nats_url, logs))
        findings += heard
        if not any("cannot be reached" in one.what for one in heard):
            findings += await _gathered("copies", copies(known, begun))
    else:
        findings.append(hint("nats", "nobody says where NATS is", "the copies were not looked at", "set THEKE_NATS_URL"))
    return findings


async def _gathered(check: str, looking: AsyncIterator[Finding]) -> list[Finding]:
    findings: list[Finding] = []
    try:
        async for one in looking:
            findings.append(one)
    except FAILURES as failure:
        findings.append(_unseen(check, failure))
    return findings


def _unseen(check: str, failure: BaseException) -> Finding:
    said = f"could not be looked at: {str(failure) or type(failure).__name__}"
    return error(check, said, "what was not looked at may be broken", "`theke status`, then again")


def render(findings: Sequence[Finding], *, everything: bool = False) -> str:
    shown = [one for one in findings if everything or one.severity is not Severity.FINE]
    lines = [line for one in shown for line in _lines(one)]
    counts = {severity: sum(one.severity is severity for one in findings) for severity in Severity}
    bad = f"{_summary(counts[Severity.ERROR], 'error')}, {_summary(counts[Severity.WARNING], 'warning')}"
    lines.append(f"{bad}; {counts[Severity.FINE]} things are fine")
    return "\n".join(lines)


def _summary(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def _lines(one: Finding) -> Iterable[str]:
    yield f"{MARKS[one.severity]} {one.check:<12}{one.what}"
    if one.why:
        yield f"{'':<14}because {one.why}" if one.severity is Severity.FINE else f"{'':<14}{one.why}"
    if one.next:
        yield f"{'':<14}→ {one.next}"
