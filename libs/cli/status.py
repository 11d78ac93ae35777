"""``theke status``: what runs, where, since when."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from libs.cli import exits
from libs.runtime import endpoints as endpoints_file
from libs.runtime.children import is_running
from libs.runtime.config import Settings
from libs.runtime.endpoints import Endpoints, NotRunning
from libs.runtime.installation import LOCK
from libs.runtime.locks import is_held

ROW: Final = "  {name:<12}{state:<10}{pid:>8}{restarts:>10}  {since}"


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "status",
        help="show addresses and processes of the running Theke",
        description="Show the addresses in use and the process table. Exit code 3 if Theke is not running.",
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
    return {
        "ready": endpoints.ready,
        "gateway": endpoints.gateway_url,
        "postgres": endpoints.postgres_dsn,
        "nats": endpoints.nats_url,
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
    return "\n".join(lines)


def without_password(address: str) -> str:
    parts = urlsplit(address)
    if parts.password is None:
        return address
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}"))
