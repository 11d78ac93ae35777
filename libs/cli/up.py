"""``theke up``: start everything on this machine and keep it running."""

from __future__ import annotations

import argparse
import asyncio
import sys

from libs.cli import exits
from libs.cli.acting import with_services
from libs.cli.instances import Created, create
from libs.cli.welcome import welcome
from libs.runtime import logs
from libs.runtime.asking import Services
from libs.runtime.config import GATEWAY, PROJECT, Settings
from libs.runtime.endpoints import Endpoints
from libs.runtime.installation import Installation
from libs.runtime.locks import DirectoryInUse
from libs.runtime.program import run_once
from libs.runtime.provision import list_instances
from libs.runtime.supervisor import START_FAILURES

DEMO_TIMEOUT_S = 120.0
FIRST_INSTANCE = "main"


async def first_instance(endpoints: Endpoints, settings: Settings) -> Created | None:
    """An installation without any instance gets one, and an administrator whose random password is shown this one time."""
    created: list[Created] = []

    async def look(services: Services) -> int:
        if not await list_instances(services):
            created.append(await create(services, settings.instance or FIRST_INSTANCE))
        return exits.DONE

    await with_services(endpoints.nats_url, look)
    return created[0] if created else None


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "up",
        help="start Postgres, NATS, all services and the gateway, and keep them running",
        description="Start Postgres, NATS, all services and the gateway, restart what dies, until Ctrl-C. "
        "Ctrl-C drains and stops in order within 5 s; a second one kills at once. The next start finds its data again.",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    logs.configure("supervisor", settings.log_level)
    installation = Installation(settings)

    async def load_demo() -> None:
        environ = {**installation.environ(GATEWAY), "THEKE_NATS_URL": installation.nats_url}  # it asks as the operator
        await run_once((sys.executable, "-m", "services.demo"), environ, cwd=PROJECT, timeout=DEMO_TIMEOUT_S)

    async def greet(endpoints: Endpoints) -> None:
        if settings.demo:
            await load_demo()
            first = None
        else:
            first = await first_instance(endpoints, settings)
        welcome(endpoints, settings, first)

    try:
        asyncio.run(installation.run(greet))
    except DirectoryInUse as refusal:
        print(f"theke: {refusal}", file=sys.stderr)
        return exits.IN_USE
    except START_FAILURES as failure:
        print(f"theke: {failure}", file=sys.stderr)
        return exits.FAILED
    return exits.DONE
