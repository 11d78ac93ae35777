"""Where a command finds what it works on: from the running Theke, or, where servers are one's own, from the settings."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import asyncpg

from libs.cli.status import find
from libs.contracts.auth.commands import Instance
from libs.contracts.auth.events import INSTALLATION, InstanceCreated
from libs.eventstore.audit import snapshot
from libs.eventstore.codec import recorded
from libs.runtime.config import SERVICES, Settings
from libs.runtime.databases import log_dsn, read_dsn
from libs.runtime.endpoints import NotRunning
from libs.runtime.proof import Places


class Unknown(ValueError):
    """A name that nothing has; the message says which there are."""


def places(settings: Settings) -> Places:
    """Raises NotRunning if Theke does not run and its servers are not one's own, so nobody knows where they are."""
    try:
        found = find(settings)
    except NotRunning:
        if not settings.postgres_dsn:
            raise
        return Places(log_dsn(settings.postgres_dsn), read_dsn(settings.postgres_dsn), settings.nats_url)
    return Places(log_dsn(found.postgres_dsn), read_dsn(found.postgres_dsn), found.nats_url)


def declared(name: str) -> Any:
    """A service as it is declared. Libraries do not know services, so it is looked up by name."""
    return importlib.import_module(f"services.{name}.service").SERVICE


def chosen_services(names: Sequence[str]) -> list[str]:
    """All if none is named. Raises Unknown."""
    for name in names:
        if name not in SERVICES:
            raise Unknown(f"there is no service {name[:50]}: {', '.join(SERVICES)}")
    return list(dict.fromkeys(names)) or list(SERVICES)


async def instances(places_: Places) -> list[Instance]:
    """Every instance, from the log they are written down in: also where auth does not answer."""
    declared("auth")
    async with snapshot(places_.log_dsn, "auth") as log:
        statement = "select * from events where instance = $1 and type = $2 order by position"
        try:
            rows = await log.fetch(statement, INSTALLATION, InstanceCreated.TYPE)
        except asyncpg.UndefinedTableError:
            return []
    return [Instance(id=event.number or 0, name=event.data.name) for event in map(recorded, rows)]


async def instance_id(places_: Places, named: str) -> int:
    """The id of an instance by its name, or by its id (``i17``). Raises Unknown."""
    if named[:1] == "i" and named[1:].isdigit():
        return int(named[1:])
    known = await instances(places_)
    for instance in known:
        if instance.name == named:
            return instance.id
    raise Unknown(f"there is no instance {named[:50]}: {', '.join(one.name for one in known) or 'none at all'}")
