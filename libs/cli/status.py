"""``theke status``: what runs, where, since when."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from typing import Any, Final

import msgspec

from libs.cli import exits
from libs.cli.diagnosis import wrong
from libs.contracts.auth.commands import NoBody
from libs.contracts.auth.events import INSTALLATION
from libs.domain.errors import DomainError
from libs.domain.principal import system
from libs.runtime import endpoints as endpoints_file
from libs.runtime.asking import Services, connected
from libs.runtime.children import is_running
from libs.runtime.config import SERVICES, Settings
from libs.runtime.endpoints import LOCK, Endpoints, NotRunning
from libs.runtime.locks import is_held
from libs.runtime.service import LEADERS_STATUS

ANSWER_WITHIN_S: Final = 3.0
_PASSWORD: Final = re.compile(r"(://[^:/@]*):[^/]*?@")
LOG_ROW: Final = "  {log:<16}{head:>10}{relayed:>10}{projected:>11}  {note}"
ROW: Final = "  {name:<12}{state:<10}{pid:>8}{restarts:>10}  {since}"


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "status",
        help="show addresses and processes of the running Theke",
        description="Show the addresses in use, the process table, how far logs, relay and projections are, and what is wrong, "
        "each with a next step. "
        "Exit code 3 if Theke is not running.",
    )
    command.add_argument("--json", action="store_true", help="for programs: one JSON object, addresses with their passwords")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    try:
        found = find(settings)
    except NotRunning as absence:
        print(f"theke: {absence}", file=sys.stderr)
        return exits.NOT_RUNNING
    facts = collect(found)
    print(msgspec.json.format(msgspec.json.encode(facts), indent=2).decode() if arguments.json else render(facts))
    return exits.DONE


def find(settings: Settings) -> Endpoints:
    """The running system's endpoints. Raises NotRunning, also for a file that a killed supervisor left behind."""
    if not is_held(settings.data / LOCK):
        raise NotRunning(f"no Theke is running on {settings.data}: start one with `theke up` or `make run`")
    return endpoints_file.read(settings.data)


def collect(endpoints: Endpoints) -> dict[str, Any]:
    """All that status knows, as plain JSON values. ``alive`` is looked up now, not taken from the file."""
    facts = {**_places(endpoints), "services": asyncio.run(_services(endpoints.nats_url))}
    return {**facts, "wrong": msgspec.to_builtins(wrong(facts["processes"], facts["services"]))}


async def _services(nats_url: str) -> dict[str, Any]:
    """What each service says of its logs, relay and projections; one that does not answer says why."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            connection, services = await connected(nats_url, "status")
    except (DomainError, TimeoutError):
        return {name: {"error": "NATS does not answer"} for name in SERVICES}
    try:
        answers = await asyncio.gather(*(service_status(services, name) for name in SERVICES))
        return dict(zip(SERVICES, answers, strict=True))
    finally:
        await connection.close()


async def service_status(services: Services, name: str) -> dict[str, Any]:
    """What the replica says that leads; while none does, any of them."""
    refused = ""
    for door in (LEADERS_STATUS, "status"):
        try:
            principal = system(INSTALLATION, "status")
            return await services.query(name, door, NoBody(), dict[str, Any], principal=principal, deadline=ANSWER_WITHIN_S / 2)
        except DomainError as refusal:
            refused = refusal.reason
    return {"error": refused}


def _places(endpoints: Endpoints) -> dict[str, Any]:
    return {
        "ready": endpoints.ready,
        "gateway": endpoints.gateway_url,
        "postgres": endpoints.postgres_dsn,
        "nats": endpoints.nats_url,
        "one_role": endpoints.one_role,
        "supervisor": endpoints.supervisor_pid,
        "processes": [
            {**msgspec.to_builtins(child), "alive": child.pid is not None and is_running(child.pid)} for child in endpoints.children
        ],
    }


def render(facts: dict[str, Any]) -> str:
    """The same for people; passwords stay out of sight."""
    lines = [
        "Theke is ready" if facts["ready"] else "Theke is starting",
        f"  gateway     {facts['gateway']}",
        f"  postgres    {without_password(facts['postgres'])}",
        f"  nats        {without_password(facts['nats'])}",
        f"  roles       {roles(facts['one_role'])}",
        "",
        ROW.format(name="process", state="state", pid="pid", restarts="restarts", since="since"),
        ROW.format(name="supervisor", state="running", pid=facts["supervisor"], restarts="", since="").rstrip(),
    ]
    for process in facts["processes"]:
        state = "running" if process["alive"] else "down"
        lines.append(
            ROW.format(
                name=process["name"],
                state=state,
                pid=process["pid"] or "-",
                restarts=process["restarts"],
                since=process["started_at"] or "-",
            )
        )
    faults = [line for one in facts["wrong"] for line in (f"  {one['what']}", f"    → {one['next']}")]
    return "\n".join([*lines, "", *_logs(facts["services"]), *(["", "what is wrong, and what to do", *faults] if faults else [])])


def roles(why: str) -> str:
    """How services connect to Postgres."""
    return f"one for all services: {why}" if why else "one for each service"


def _logs(services: dict[str, Any]) -> list[str]:
    """A line per log: its head, how far the relay and the slowest projection are, and what is held."""
    lines = [LOG_ROW.format(log="log", head="head", relayed="relayed", projected="projected", note="")]
    for name, facts in services.items():
        if "error" in facts:
            lines.append(LOG_ROW.format(log=name, head="-", relayed="-", projected="-", note=f"does not answer: {facts['error']}"))
            continue
        for instance, head in facts["heads"].items():
            relay = facts["relay"].get(instance, {})
            projected = [places.get(instance, {"position": 0, "held": None}) for places in facts["projections"].values()]
            held = [
                f"{what} held: {places[instance]['held']}" for what, places in facts["projections"].items() if _is_held(places, instance)
            ]
            state = relay.get("state", "starting")
            notes = [*held, *([] if state == "copying" else [f"relay {state}"])]
            lines.append(
                LOG_ROW.format(
                    log=f"{name} i{instance}",
                    head=head,
                    relayed=relay.get("position", 0),
                    projected=min((place["position"] for place in projected), default=head),
                    note="; ".join(notes),
                )
            )
    return [line.rstrip() for line in lines]


def _is_held(places: dict[Any, Any], instance: Any) -> bool:
    return instance in places and places[instance]["held"] is not None


def without_password(address: str) -> str:
    return _PASSWORD.sub(r"\g<1>:***@", address)
