"""``theke restart``: one process after the other, so that somebody always answers."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from typing import Any, Final

import msgspec

from libs.cli import exits
from libs.cli.status import find
from libs.runtime import endpoints
from libs.runtime.config import GATEWAY, SERVICES, Settings
from libs.runtime.endpoints import Child, NotRunning

READY_WITHIN_S: Final = 90.0
LOOK_EVERY_S: Final = 0.05


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "restart",
        help="restart services and gateways one after the other",
        description="Restart services and gateways one after the other, each asked to finish what it is at; the next follows when the one "
        "before is ready. Requests to a service wait meanwhile. With two gateways (THEKE_REPLICAS=gateway=2) a client notices at most one "
        "reset connection, and repeats that request.",
        epilog="examples:\n  theke restart            all of them, services first\n  theke restart pos        every replica of pos\n"
        "  theke restart gateway-2  one process",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("names", metavar="NAME", nargs="*", help=f"{', '.join(SERVICES)}, {GATEWAY}, or one process by its name")
    command.add_argument("--json", action="store_true", help="for programs: one JSON object per process")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    try:
        chosen = _chosen(find(settings).children, arguments.names)
        for child in chosen:
            _restart(child, settings, as_json=arguments.json)
    except NotRunning as absence:
        print(f"theke: {absence}", file=sys.stderr)
        return exits.NOT_RUNNING
    except LookupError as refusal:
        print(f"theke: {refusal.args[0]}", file=sys.stderr)
        return exits.USAGE
    except TimeoutError as refusal:
        print(f"theke: {refusal}", file=sys.stderr)
        return exits.FAILED
    return exits.DONE


def _chosen(children: tuple[Child, ...], names: list[str]) -> list[Child]:
    """In the order of starting. Raises LookupError naming what is not there."""
    known = [child for child in children if _service_of(child.name) in (*SERVICES, GATEWAY)]
    for name in names:
        if not any(name in (child.name, _service_of(child.name)) for child in known):
            raise LookupError(f"{name} cannot be restarted; there are {', '.join(child.name for child in known)}")
    return [child for child in known if not names or child.name in names or _service_of(child.name) in names]


def _service_of(process: str) -> str:
    name, _, number = process.rpartition("-")
    return name if number.isdigit() else process


def _restart(child: Child, settings: Settings, *, as_json: bool) -> None:
    """Raises TimeoutError if it is not back in time."""
    since = time.monotonic()
    if child.pid is not None:  # else it is being started already
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)
    while (now := _now(child.name, settings)).pid in (None, child.pid):
        if time.monotonic() - since > READY_WITHIN_S:
            raise TimeoutError(f"{child.name} is not back after {READY_WITHIN_S:.0f} s; the output of `theke up` says why")
        time.sleep(LOOK_EVERY_S)
    facts: dict[str, Any] = {"name": child.name, "pid": now.pid, "before": child.pid, "seconds": round(time.monotonic() - since, 2)}
    if as_json:
        print(msgspec.json.encode(facts).decode(), flush=True)
    else:
        print(f"{child.name:<12} restarted within {facts['seconds']:.1f} s, now process {now.pid}", flush=True)


def _now(name: str, settings: Settings) -> Child:
    return next(child for child in endpoints.read(settings.data).children if child.name == name)
