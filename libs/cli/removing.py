"""Closing an instance, opening it again, and removing it for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import msgspec

from libs.bus.connection import connect
from libs.bus.inbox import Inbox
from libs.bus.jetstream import JetStream
from libs.bus.streams import KEEPER, REMOVED, Removal, RemovalOf
from libs.bus.subjects import log_stream
from libs.cli.places import Unknown, declared
from libs.contracts.auth.commands import CloseInstance, Instance, PurgeInstance, ReopenInstance
from libs.contracts.auth.events import (
    INSTALLATION,
    InstanceClosed,
    InstanceCreated,
    InstancePurged,
    InstanceReopened,
    PurgedLog,
)
from libs.domain.errors import DomainError
from libs.domain.principal import system
from libs.eventstore.audit import head, snapshot
from libs.eventstore.codec import recorded
from libs.eventstore.log import Log
from libs.runtime.asking import connected
from libs.runtime.config import SERVICES
from libs.runtime.export_proof import NoExport, manifest_of, proved
from libs.runtime.exports import MANIFEST
from libs.runtime.proof import Places
from libs.runtime.purging import booked_last, kept_until, remove_rows

KEEPER_WITHIN_S: Final = 15.0
TYPES: Final = tuple(one.TYPE for one in (InstanceCreated, InstanceClosed, InstanceReopened, InstancePurged))


class Found(msgspec.Struct, frozen=True):
    """An instance as the installation's log has it. ``key``: of its stream."""

    id: int
    name: str
    key: str
    closed: bool = False
    purged: bool = False


class Purged(msgspec.Struct, frozen=True):
    """``rows`` of both databases; ``mirrors``: streams for downstream systems, None if no keeper answered who would know of them."""

    id: int
    name: str
    logs: tuple[PurgedLog, ...]
    rows: int
    streams: int
    mirrors: int | None


class NotYet(Exception):
    """It may not be removed; the message says why and what would help."""


async def found(known: Places, name: str) -> Found:
    """Also one that was purged: what was broken off there goes on. Raises Unknown."""
    declared("auth")
    streams: dict[str, Found] = {}
    async with snapshot(known.log_dsn, "auth") as log:
        statement = "select * from events where instance = $1 and type = any($2::text[]) order by position"
        try:
            rows = await log.fetch(statement, INSTALLATION, list(TYPES))
        except asyncpg.UndefinedTableError:
            rows = []
    for event in map(recorded, rows):
        match event.data:
            case InstanceCreated():
                streams[event.stream] = Found(event.number or 0, event.data.name, event.stream.rpartition("-")[2])
            case InstancePurged():
                streams[event.stream] = msgspec.structs.replace(streams[event.stream], purged=True)
            case _:
                is_closed = isinstance(event.data, InstanceClosed)
                streams[event.stream] = msgspec.structs.replace(streams[event.stream], closed=is_closed)
    for one in streams.values():
        if one.name == name:
            return one
    names = ", ".join(one.name for one in streams.values() if not one.purged)
    raise Unknown(f"there is no instance {name[:50]}: {names or 'none at all'}")


async def closed(known: Places, instance: Found, reason: str = "") -> None:
    """The installation's log says it first, then every log of the instance refuses; repeated, it does the same. Raises DomainError."""
    _require_there(instance)
    await _command(known, "instance.close", CloseInstance(key=instance.key, name=instance.name, reason=reason))
    for service in SERVICES:
        async with _log(known, service) as log:
            await log.close_instance(instance.id)


async def reopened(known: Places, instance: Found, reason: str = "") -> None:
    """Raises DomainError."""
    _require_there(instance)
    await _command(known, "instance.reopen", ReopenInstance(key=instance.key, name=instance.name, reason=reason))
    for service in SERVICES:
        async with _log(known, service) as log:
            await log.reopen_instance(instance.id)


async def purged(known: Places, instance: Found, export: Path | None = None, reason: str = "", today: date | None = None) -> Purged:
    """Raises NotYet if it is not closed, or what was booked has to be kept; DomainError; NoExport."""
    if not instance.closed:
        raise NotYet(f"{instance.name} is open: close it first (`theke instances delete {instance.name}`)")
    if not known.nats_url:
        raise NotYet("its streams are in NATS: say where with THEKE_NATS_URL")
    logs = await _ends(known, instance.id)
    if not instance.purged:
        digest = _shown(export, instance, logs) if export is not None else ""
        if not digest:
            await _require_over(known, instance, today or datetime.now(UTC).date())
        body = PurgeInstance(key=instance.key, name=instance.name, logs=logs, export=digest, reason=reason)
        await _command(known, "instance.purge", body)
    for service in SERVICES:
        async with _log(known, service) as log:
            await log.close_instance(instance.id)
            await log.purge_instance(instance.id)
    rows = await remove_rows(known.log_dsn, instance.id)
    streams = await _streams_removed(known, instance.id)
    mirrors = await _mirrors_removed(known, instance.id)
    rows += await remove_rows(known.read_dsn, instance.id)
    return Purged(instance.id, instance.name, logs, rows, streams, mirrors)


def _require_there(instance: Found) -> None:
    if instance.purged:
        raise NotYet(f"{instance.name} was removed; what is left of it goes with `theke instances delete {instance.name} --purge`")


async def _ends(known: Places, instance: int) -> tuple[PurgedLog, ...]:
    ends = []
    for service in SERVICES:
        async with snapshot(known.log_dsn, service) as log:
            statement = "select digest from commits where instance = $1 order by last_position desc limit 1"
            digest = await log.fetchval(statement, instance)
            ends.append(PurgedLog(service, await head(log, instance), digest.hex() if digest else ""))
    return tuple(ends)


def _shown(folder: Path, instance: Found, logs: tuple[PurgedLog, ...]) -> str:
    """The SHA-256 of the manifest of an export of exactly these logs. Raises NotYet, NoExport."""
    manifest = manifest_of(folder)
    if findings := proved(folder):
        raise NoExport(f"{folder} does not hold: {findings[0]}")
    ends = tuple(PurgedLog(log.service, log.head, log.digest) for log in manifest.logs)
    if (manifest.instance, ends) != (instance.id, logs):
        raise NotYet(f"{folder} is not what would be removed: export {instance.name} again, now that it is closed")
    return sha256((folder / MANIFEST).read_bytes()).hexdigest()


async def _require_over(known: Places, instance: Found, today: date) -> None:
    booked = await booked_last(known.log_dsn, SERVICES, instance.id)
    if booked is not None and today < (until := kept_until(booked)):
        how = f"or export it and keep that: `theke instances export {instance.name} DIR`, then --exported DIR"
        raise NotYet(f"what {instance.name} booked up to {booked:%Y-%m-%d} has to be kept until {until:%Y-%m-%d} (§ 147 AO). Wait, {how}")


async def _streams_removed(known: Places, instance: int) -> int:
    connection = await connect(known.nats_url, name="purge")
    inbox = Inbox(connection)
    await inbox.open()
    try:
        bus, removed = JetStream(connection, inbox), 0
        for service in SERVICES:
            if await bus.info(log_stream(service, instance)) is not None:
                await bus.delete(log_stream(service, instance))
                removed += 1
        return removed
    finally:
        await inbox.close()
        await connection.close()


async def _mirrors_removed(known: Places, instance: int) -> int | None:
    """By the keeper, which alone knows the instance's account. None without one: servers of one's own need none as long as nobody is
    downstream of them."""
    connection, services = await connected(known.nats_url, "purge")
    try:
        asker = system(INSTALLATION, "operator")
        done = await services.query(KEEPER, REMOVED, RemovalOf(instance), Removal, principal=asker, deadline=KEEPER_WITHIN_S)
        return done.mirrors
    except DomainError as refusal:
        if refusal.reason == "no_responders":
            return None
        raise
    finally:
        await connection.close()


async def _command(known: Places, name: str, body: Any) -> Instance:
    connection, services = await connected(known.nats_url, "instances")
    try:
        answer, _ = await services.command("auth", name, body, Instance, principal=system(INSTALLATION, "operator"), id=uuid4())
        return answer
    finally:
        await connection.close()


@asynccontextmanager
async def _log(known: Places, service: str) -> AsyncIterator[Log]:
    log = Log(known.log_dsn, service)
    await log.open()
    try:
        yield log
    finally:
        await log.close()
