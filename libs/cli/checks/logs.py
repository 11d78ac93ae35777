"""The ends of all logs, whether their copies agree, and the query tables: what can be told in a moment. `theke verify` proves it all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import asyncpg

from libs.cli.checks.findings import Finding, error, fine, hint, warning
from libs.cli.diagnosis import LAG_EVENTS, RELAY_NEXT
from libs.cli.log import contradictions
from libs.cli.places import declared
from libs.cli.projections import listed
from libs.domain.ids import instance_token
from libs.eventstore import chain
from libs.eventstore.audit import snapshot
from libs.projections.declare import suffix
from libs.runtime.config import SERVICES
from libs.runtime.proof import Places, instances_of

ROWS_MAX: Final = 100_000  # of one commit


async def logs_of(known: Places) -> dict[str, list[int]]:
    """Service → instances with a log."""
    return {service: await instances_of(known, service) for service in SERVICES}


async def ends(known: Places, logs: Mapping[str, list[int]]) -> AsyncIterator[Finding]:
    """The last commit of every log is computed again."""
    looked = 0
    for service, instances in logs.items():
        async with snapshot(known.log_dsn, service) as log:
            for instance in instances:
                looked += 1
                if wrong := await _end(log, instance):
                    why = "somebody or something wrote to the database past Theke, or a disk forgot"
                    next_ = "stop writing to it; `theke verify` names the first row; restore from a backup"
                    yield error("chain", f"{service} {instance_token(instance)}: {wrong}", why, next_)
    yield fine("chain", f"the ends of {looked} logs hold")


async def _end(log: asyncpg.Connection, instance: int) -> str:
    commits = await log.fetch("select * from commits where instance = $1 order by last_position desc limit 2", instance)
    head = await log.fetchval("select max(position) from events where instance = $1", instance)
    if not commits:
        return f"there are {head} events and no commit" if head else ""
    last, before = commits[0], commits[1]["digest"] if len(commits) > 1 else b""
    if last["last_position"] != head:
        return f"its last commit ends at {last['last_position']}, its last event is {head}"
    statement = "select * from events where instance = $1 and position >= $2 order by position limit $3"
    rows = await log.fetch(statement, instance, last["first_position"], ROWS_MAX)
    for row in rows:
        if chain.leaf(row) != row["leaf"]:
            return f"row {row['position']} ({row['type']}) was altered"
    if chain.digest(before, [row["leaf"] for row in rows]) != last["digest"]:
        return f"the digest of rows {last['first_position']} to {last['last_position']} does not hold"
    return ""


async def copies(known: Places, services: Sequence[str]) -> AsyncIterator[Finding]:
    for one in await contradictions(known, services):
        place = f"{one.service} {instance_token(one.instance)}"
        said = f"{place}: the log ends at {one.head:,}, its copy at {one.copied:,}; both have the same up to {one.behind:,}"
        yield error("copies", said, "nothing is written to it", RELAY_NEXT.get(one.state, "`theke log new-life` finishes what was begun"))
    yield fine("copies", "every log was compared with the end of its copy")


async def tables(known: Places, services: Sequence[str]) -> AsyncIterator[Finding]:
    for one in await listed(known, services):
        name = f"{one.service}.{one.projection}"
        revision = next(made.revision for made in declared(one.service).projections if made.name == one.projection)
        if one.build == "-":
            yield hint("tables", f"{name} has no tables", "it was never projected", "the service makes them when it starts")
        elif one.build.partition("g")[0] != suffix(revision):
            why = f"this version makes {suffix(revision)}"
            yield hint(
                "tables", f"{name} is served from {one.build}", why, f"the start makes it; `theke projections rebuild {name}` beforehand"
            )
        for instance, held in one.held.items():
            why = "its lists do not show what was booked since"
            yield error("tables", f"{name} {instance} is held: {held}", why, f"`theke projections retry {name}`, or skip the event")
        if one.lag > LAG_EVENTS and not one.held:
            why = "lists show what was, not what is"
            yield warning(
                "tables", f"{name} lags {one.lag:,} events behind", why, "look again; if it does not shrink, Postgres is slow or full"
            )
    yield fine("tables", "projections looked at")
