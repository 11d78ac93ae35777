"""A service without its bus: log, batcher, projector, tables and dispatcher in one process, on databases of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from libs.domain.decider import Command
from libs.domain.principal import Principal, system
from libs.eventstore.batcher import Batcher
from libs.eventstore.log import Log
from libs.eventstore.migrate import migrate
from libs.projections.projector import Projector
from libs.projections.tables import Tables
from libs.runtime.dispatcher import Dispatcher
from libs.runtime.lookups import Lookups
from libs.runtime.service import Ask, Query, Service
from tests.conftest import Databases

DEADLINE_S = 10.0


class Running:
    """Commands and queries of a service by name, asked in-process as Theke itself or as ``principal``."""

    def __init__(self, service: Service, databases: Databases) -> None:
        self.service = service
        self.databases = databases
        self.log = Log(databases.log, service.name)
        self.batcher = Batcher(self.log)
        self.tables = Tables(databases.read, service.name)
        self.projector = Projector(databases.read, service.name, service.projections, self.log)
        self.dispatcher = Dispatcher(service.commands, self.batcher, self.projector, Lookups(self.tables, self.log), lambda _: None)
        self._queries = {query.name: query for query in service.queries}

    async def command(self, name: str, body: Any, *, instance: int = 1, id: UUID | None = None, principal: Principal | None = None) -> Any:
        command = Command(id or uuid4(), datetime.now(UTC), principal or system(instance, "test"), body)
        answer, behind = await self.dispatcher.execute(self.dispatcher.commands[name], command, timeout=DEADLINE_S)
        assert not behind
        return answer

    async def query(self, name: str, body: Any, *, instance: int = 1) -> Any:
        query: Query = self._queries[name]
        ask = Ask(system(instance, "test"), body, self.tables)
        if query.stream:
            return [item async for items in query.answer(ask) for item in items]
        return await query.answer(ask)


@asynccontextmanager
async def running(service: Service, databases: Databases) -> AsyncIterator[Running]:
    """May be entered several times on the same databases: so many processes."""
    started = Running(service, databases)
    await migrate(databases.log, service.name)
    await started.log.open()
    await started.tables.open()
    started.batcher.start()
    started.projector.start()
    try:
        await started.projector.ready.wait()
        yield started
    finally:
        await started.batcher.stop()
        await started.projector.stop()
        await started.tables.close()
        await started.log.close()
