"""What a service offers for its ERP records, and what it does when rows go that others refer to.

A delete is answered once the other services have been told and have forgotten the row. Whoever could not be told then finds out by
itself: every service looks for references to nothing when it starts and every SWEEP_EVERY_S.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
import structlog

from libs.bus.client import Client
from libs.contracts.erp import RECORDS, SEEN
from libs.contracts.resources import RESOURCES
from libs.domain.decider import Command, CommandType
from libs.domain.errors import DomainError
from libs.domain.fields import ENTITIES
from libs.domain.principal import system
from libs.domain.records import FieldType, OnDelete, RecordEvents, RecordType
from libs.eventstore.log import LogUnreachable
from libs.projections.declare import Projection
from libs.projections.tables import Statement
from libs.records.effects import Effect
from libs.records.engine import Deleted
from libs.records.numbered import FORGETS, Check, Dropped, Family, Forget, Numbered, Seen
from libs.records.numbered_tables import numbered_projection
from libs.runtime.asking import Services
from libs.runtime.dispatcher import After
from libs.runtime.processes import EVERY_INSTANCE, Process
from libs.runtime.resources import ResourceReads
from libs.runtime.service import Host, Query

log = structlog.get_logger(__name__)

SWEEP_EVERY_S: Final = 3600.0
SWEPT_ROWS: Final = 500
TELL_WITHIN_S: Final = 5.0


class ErpParts(msgspec.Struct, frozen=True):
    commands: tuple[CommandType, ...]
    projections: tuple[Projection, ...]
    queries: tuple[Query, ...]
    family: Family


def erp_parts(
    service: str,
    groups: Mapping[str, Sequence[RecordType]],
    events: Mapping[str, RecordEvents],
    checks: Mapping[str, Check] | None = None,
    others: Iterable[Seen] = (),
    effects: Sequence[Effect] = (),
) -> ErpParts:
    """``groups``: records that share a projection, by its name; ``events`` and ``checks`` by the record's name; ``others``: what else of
    this service refers to rows of the ERP; ``effects``: what else follows from writes of its records."""
    members = {
        name: [Numbered(record, events[record.name], RESOURCES[record.resource], (checks or {}).get(record.name)) for record in records]
        for name, records in groups.items()
    }
    everyone = [member for group in members.values() for member in group]
    family = Family(service, everyone, RESOURCES, {other.type.name: other for other in others}, effects)
    return ErpParts(
        family.commands(),
        tuple(numbered_projection(name, group) for name, group in members.items()),
        tuple(query for member in everyone for query in ResourceReads(member.resource).queries()),
        family,
    )


KEEPERS: Final = (*RECORDS.values(), *SEEN.values())


def _referring() -> Mapping[str, frozenset[str]]:
    """Resource → services whose records may refer to its rows."""
    found: dict[str, set[str]] = {}
    for record in KEEPERS:
        for field in record.fields:
            if field.type is FieldType.ID and field.on_delete is not OnDelete.KEEP:
                for resource in [field.refers] if field.refers else RESOURCES:
                    found.setdefault(resource, set()).add(record.service)
    return {resource: frozenset(services) for resource, services in found.items()}


REFERRING: Final = _referring()


class Forgetting:
    """Tells other services what went, and finds what was missed. ``also``: commands whose deletes concern ERP records too, with the
    resource that shows what they delete."""

    def __init__(self, host: Host, family: Family, also: Mapping[str, str] | None = None) -> None:
        self._host = host
        self._family = family
        self._client = Client(host.connection)
        self._services = Services(self._client)
        self._process = Process("references")
        for member in family.members:
            host.dispatcher.wait_after(f"{member.type.name}.delete", self._dropped)
        host.dispatcher.wait_after(FORGETS, self._dropped)
        for command, resource in (also or {}).items():
            host.dispatcher.wait_after(command, self._deleted(resource))

    async def start(self) -> None:
        await self._client.open()
        self._host.on_stop(self._client.close)
        self._host.processes.add(self._process)
        self._host.run(self._sweep_for_ever())

    async def _dropped(self, command: Command[Any], answer: Dropped, left: float) -> Dropped:
        await self._tell(command.instance, command.id, answer.rows, left, to_itself=False)
        return answer

    def _deleted(self, resource: str) -> After:
        async def after(command: Command[Any], answer: Deleted | Dropped, left: float) -> Deleted | Dropped:
            here = isinstance(answer, Dropped)  # what this service has of it went in the same append
            rows = answer.rows if isinstance(answer, Dropped) else ((resource, answer.id),)
            await self._tell(command.instance, command.id, rows, left, to_itself=not here)
            return answer

        return after

    async def _tell(self, instance: int, cause: UUID, rows: Sequence[tuple[str, int]], left: float, *, to_itself: bool) -> None:
        gone: dict[str, list[int]] = {}
        for resource, id_ in rows:
            gone.setdefault(resource, []).append(id_)
        told = [
            self._ask(service, instance, Forget(resource=resource, ids=tuple(ids)), uuid5(cause, f"{service} {resource}"), left)
            for resource, ids in gone.items()
            for service in sorted(REFERRING.get(resource, ()))
            if to_itself or service != self._family.service
        ]
        await asyncio.gather(*told)

    async def _ask(self, service: str, instance: int, forget: Forget, id_: UUID, left: float) -> None:
        try:
            await self._services.command(
                service, FORGETS, forget, Dropped, principal=system(instance, self._family.service), id=id_,
                deadline=min(TELL_WITHIN_S, max(left, 0.1)),
            )  # fmt: skip
        except DomainError as error:
            log.warning("a service keeps references for now", to=service, resource=forget.resource, ids=forget.ids, error=str(error))

    # what was missed

    async def _sweep_for_ever(self) -> None:
        while True:
            if self._host.projector.leading:
                await self._sweep_all()
                self._process.came_round()
            await self._process.rest(SWEEP_EVERY_S)

    async def _sweep_all(self) -> None:
        """What stops an instance stops no other one."""
        try:
            instances = await self._host.log.heads()
            self._process.reached(EVERY_INSTANCE)
        except LogUnreachable as error:
            self._process.stopped(EVERY_INSTANCE, str(error))
            return
        for instance in instances:
            try:
                await self.sweep(instance)
                self._process.reached(instance)
            except DomainError as error:
                log.warning("sweep postponed", service=self._family.service, instance=instance, error=str(error))
                self._process.stopped(instance, str(error))

    async def sweep(self, instance: int) -> int:
        """How many references to nothing were found and forgotten."""
        swept = 0
        for resource, statement, named in DANGLING[self._family.service]:
            ids = {row["gone"] for row in await self._host.tables.fetch(statement, instance, *named)}
            if ids:
                log.warning("references to nothing", service=self._family.service, resource=resource, ids=sorted(ids)[:20])
                forget = Forget(resource=resource, ids=tuple(sorted(ids)))
                await self._services.command(
                    self._family.service, FORGETS, forget, Dropped, principal=system(instance, self._family.service)
                )
                swept += len(ids)
        return swept


def _dangling(record: RecordType) -> Iterator[tuple[str, Statement, tuple[str, ...]]]:
    for field in record.fields:
        if field.type is not FieldType.ID or field.on_delete is OnDelete.KEEP:
            continue
        for resource in [field.refers] if field.refers else ENTITIES:
            by = f" and t.{record.field(field.refers_by).column} = $2" if field.refers_by else ""
            yield (
                resource,
                Statement(
                    f"select distinct t.{field.column} as gone from {{{record.service}.{record.table}}} t "
                    f"left join {{{RESOURCES[resource].table}}} x on x.instance = $1 and x.id = t.{field.column} "
                    f"where t.instance = $1 and t.{field.column} is not null and x.id is null{by} limit {SWEPT_ROWS}"
                ),
                (resource,) if by else (),
            )


DANGLING: Final[Mapping[str, tuple[tuple[str, Statement, tuple[str, ...]], ...]]] = {
    service: tuple(found for record in KEEPERS if record.service == service for found in _dangling(record))
    for service in {record.service for record in KEEPERS}
}
