"""What every subcommand that talks to a running Theke has in common: finding it, and saying why something was refused."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from libs.cli import exits
from libs.cli.status import find
from libs.domain.errors import DomainError, not_found
from libs.domain.principal import Principal, system
from libs.runtime.asking import Services, connected
from libs.runtime.config import Settings
from libs.runtime.endpoints import NotRunning
from libs.runtime.provision import list_instances
from libs.texts.catalogue import Language, details, headline

NAME_SHOWN_CHARS: Final = 50


def act(settings: Settings, work: Callable[[Services], Awaitable[int]]) -> int:
    """The exit code; what was refused is said on stderr."""
    try:
        return asyncio.run(with_services(find(settings).nats_url, work))
    except NotRunning as absence:
        print(f"theke: {absence}", file=sys.stderr)
        return exits.NOT_RUNNING
    except DomainError as refusal:
        print(f"theke: {said(refusal)}", file=sys.stderr)
        return exits.FAILED


def said(refusal: DomainError) -> str:
    reasons = "; ".join(details(refusal, Language.ENGLISH)) or refusal.reason
    return f"{headline(refusal, Language.ENGLISH)}: {reasons}"


async def with_services(nats_url: str, work: Callable[[Services], Awaitable[int]]) -> int:
    connection, services = await connected(nats_url, "cli")
    try:
        return await work(services)
    finally:
        await connection.close()


async def operator_of(services: Services, name: str) -> Principal:
    """Who runs the installation, at an instance. Raises ``not_found``."""
    for instance in await list_instances(services):
        if instance.name == name:
            return system(instance.id, "cli")
    raise not_found("instance_not_found", id=name[:NAME_SHOWN_CHARS])
