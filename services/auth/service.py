"""Wiring of auth."""

from __future__ import annotations

import asyncio

from libs.bus.subjects import Call
from libs.runtime.records import record_parts
from libs.runtime.secrets import Secrets
from libs.runtime.service import Host, Service
from services.auth import instances, sessions
from services.auth.doors import Doors
from services.auth.projections import CREDENTIALS, INSTANCES, REVOCATIONS
from services.auth.queries import QUERIES
from services.auth.records import USERS

HEARTBEAT_EVERY_S = 1.0


async def _extend(host: Host) -> None:
    secrets = Secrets(host.log_dsn, "auth")
    await secrets.open()
    host.on_stop(secrets.close)
    doors = await Doors.open(host, secrets, demo=host.settings.demo)
    host.server.register(Call.QUERY, "keys", doors.keys)
    host.server.register(Call.COMMAND, "login", doors.login)
    host.server.register(Call.COMMAND, "refresh", doors.refresh)
    host.server.register(Call.COMMAND, "user_set_password", doors.set_password)
    host.server.register(Call.COMMAND, "user_set_first_password", doors.set_first_password)
    host.run(_heartbeat(host))


async def _heartbeat(host: Host) -> None:
    """Gateways that hear nothing for a while ask what they may have missed."""
    while True:
        host.live.publish("auth", "heartbeat", b"")
        await asyncio.sleep(HEARTBEAT_EVERY_S)


_parts = record_parts(USERS)
SERVICE = Service(
    "auth",
    commands=(*_parts.commands, *instances.COMMANDS, sessions.CONFIRM, sessions.END),
    projections=(*_parts.projections, INSTANCES, CREDENTIALS, REVOCATIONS),
    queries=(*_parts.queries, *QUERIES),
    extend=_extend,
)
