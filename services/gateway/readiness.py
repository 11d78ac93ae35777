"""Whether a gateway can serve: the bus is there, each service answers, query tables are not far behind."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from libs.bus.connection import Connection
from libs.contracts.auth.commands import NoBody
from libs.contracts.auth.events import INSTALLATION
from libs.domain.errors import DomainError
from libs.domain.principal import system
from libs.runtime.asking import Services
from libs.runtime.config import SERVICES
from libs.runtime.operations import Waits
from libs.runtime.service import lagging
from services.gateway import limits


class Status(msgspec.Struct, frozen=True):
    """What of a service's status tells how far it is."""

    heads: dict[int, int]
    projections: dict[str, dict[int, dict[str, Any]]]


class Readiness:
    """Called, it says what is not ready. Services are asked together and get READY_ASK_WITHIN_S."""

    def __init__(self, connection: Connection, services: Services) -> None:
        self._connection = connection
        self._services = services

    async def __call__(self) -> list[Waits]:
        if not self._connection.is_connected:
            return [Waits("nats", "not connected")]
        found = await asyncio.gather(*map(self._of, SERVICES))
        return [wait for waits in found for wait in waits]

    async def _of(self, service: str) -> list[Waits]:
        asker = system(INSTALLATION, "gateway")
        try:
            status = await self._services.query(service, "status", NoBody(), Status, principal=asker, deadline=limits.READY_ASK_WITHIN_S)
        except DomainError as refusal:
            return [Waits(service, f"does not answer: {refusal.reason}")]
        return lagging(service, status.heads, status.projections)
