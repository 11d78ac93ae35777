"""Contents and rows of files that nothing needs any more are swept: contents whose record was never written, rows that a record named
once. A file is named by one record from its first moment on and by no other one later: what is a day old and not named stays so.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final

import structlog

from libs.blobs.store import Blobs
from libs.bus.client import Client
from libs.contracts.crm.notes import BINFILE
from libs.contracts.erp import RECORDS
from libs.domain.errors import DomainError
from libs.domain.principal import system
from libs.domain.records import RecordType
from libs.projections.tables import Statement
from libs.records.numbered import Delete, Dropped
from libs.runtime.asking import Services
from libs.runtime.processes import EVERY_INSTANCE, Process
from libs.runtime.service import Host

log = structlog.get_logger(__name__)

SWEEP_EVERY_S: Final = 6 * 3600.0
FIRST_SWEEP_AFTER_S: Final = 600.0  # a start has other things to do
KEPT_UNNAMED: Final = timedelta(days=1)
ROWS_AT_ONCE_MAX: Final = 500
_KEPT: Final = Statement("select b.sha256 from {crm.binfiles} b where b.instance = $1 and b.sha256 = any($2::text[])")


def _unnamed(record: RecordType) -> str:
    """Files that were made with a row of this record, and that none names any more."""
    columns = [field.column for field in record.fields if field.file]
    named = " or ".join(f"n.{column} = b.id" for column in columns)
    return (
        f"select b.id from {{crm.binfiles}} b where b.instance = $1 and b.lastmodified < $2 and b.named_by = $3 "
        f"and not exists (select 1 from {{crm.{record.table}}} n where n.instance = $1 and ({named})) limit {ROWS_AT_ONCE_MAX}"
    )


# by the resource of the rows that they were made with
UNNAMED: Final = {
    record.resource: Statement(_unnamed(record))
    for record in RECORDS.values()
    if record.service == "crm" and any(field.file for field in record.fields)
}


class Sweeping:
    """Runs beside crm, in the process that leads."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._client = Client(host.connection)
        self._services = Services(self._client)
        self._blobs = Blobs(host.log_dsn)
        self._process = Process("files")

    async def start(self) -> None:
        await self._client.open()
        self._host.on_stop(self._client.close)
        self._host.on_stop(self._blobs.close)
        self._host.processes.add(self._process)
        self._host.run(self._for_ever())

    async def _for_ever(self) -> None:
        await self._process.rest(FIRST_SWEEP_AFTER_S)
        while True:
            try:
                if self._host.projector.leading:
                    await self.sweep(datetime.now(UTC) - KEPT_UNNAMED)
                    self._process.came_round()
                self._process.reached(EVERY_INSTANCE)
            except DomainError as error:
                log.warning("sweep of files postponed", error=str(error))
                self._process.stopped(EVERY_INSTANCE, str(error))
            await self._process.rest(SWEEP_EVERY_S)

    async def sweep(self, before: datetime) -> tuple[int, int]:
        """What is older than ``before``. How many rows and how many contents went."""
        rows = [await self._rows(instance, head, before) for instance, head in (await self._host.log.heads()).items()]
        contents = await self._contents(before)
        if sum(rows) + contents:
            log.info("files swept", rows=sum(rows), contents=contents)
        return sum(rows), contents

    async def _rows(self, instance: int, head: int, before: datetime) -> int:
        swept = 0
        for resource, statement in UNNAMED.items():
            while await self._shows(instance, head):
                found = await self._host.tables.summarise(statement, instance, int(before.timestamp()), resource)
                for row in found:
                    body, principal = Delete(id=row["id"]), system(instance, "crm")
                    await self._services.command("crm", f"{BINFILE.name}.delete", body, Dropped, principal=principal)
                swept += len(found)
                if len(found) < ROWS_AT_ONCE_MAX:
                    break
        return swept

    async def _contents(self, before: datetime) -> int:
        swept, behind = 0, (0, "")
        while page := await self._blobs.unnamed(before, behind):
            heads = await self._host.log.heads()
            for instance, files in groupby(page, key=lambda one: one[0]):
                ids = [id_ for _, id_ in files]
                if not await self._shows(instance, heads.get(instance, 0)):
                    continue
                kept = {row["sha256"] for row in await self._host.tables.fetch(_KEPT, instance, ids)}
                swept += await self._blobs.sweep(instance, [id_ for id_ in ids if id_ not in kept], before)
            behind = page[-1]
        return swept

    async def _shows(self, instance: int, head: int) -> bool:
        """Whether the tables show the log as it is now: while a projection is held or behind, nobody knows what is named."""
        projections = [projection.name for projection in self._host.service.projections]
        reached: Any = await self._host.tables.position("crm", projections, instance) if head else 0
        return bool(reached >= head)
