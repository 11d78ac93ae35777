"""How far each endpoint has been sent, how it stands with it, and its last attempts: in auth's own database, beside the log. It is written
after every attempt, so that whoever goes on after a crash repeats one delivery at most. If it were lost, what is behind the starts that are
in the log would be sent again.

A place has a count of its attempts, and whoever moves it says how many there were: a process that was asleep while another one took over
cannot move it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from libs.contracts.auth.webhooks import DELIVERIES_KEPT, Delivery
from libs.runtime.secrets import Secrets
from services.auth.webhooks.endpoints import Endpoint, Start

_TABLES: Final = """create table if not exists webhook_places (
  instance int not null, endpoint text not null, version bigint not null, starts bytea not null, attempts bigint not null default 0,
  failures int not null default 0, failing_since timestamptz, next_attempt timestamptz, primary key (instance, endpoint));
create table if not exists webhook_deliveries (
  instance int not null, endpoint text not null, number bigint not null, at timestamptz not null, service text not null,
  position bigint not null, event uuid not null, type text not null, attempt int not null, status int not null, outcome text not null,
  milliseconds int not null, primary key (instance, endpoint, number))"""
_COLUMNS: Final = "version, starts, attempts, failures, failing_since, next_attempt"
_FIND: Final = f"select {_COLUMNS} from webhook_places where instance = $1 and endpoint = $2"
_LIST: Final = f"select endpoint, {_COLUMNS} from webhook_places where instance = $1"
_BEGIN: Final = f"""insert into webhook_places as p (instance, endpoint, version, starts) values ($1, $2, $3, $4)
  on conflict (instance, endpoint) do update set version = $3, starts = $4, attempts = p.attempts + 1,
    failures = 0, failing_since = null, next_attempt = null
  where p.attempts = $5
  returning {_COLUMNS}"""
# not waited for on its way to the disk: what a crash of the whole server takes with it is sent again
_LAZILY: Final = "set local synchronous_commit = off"
_MOVE: Final = """with moved as (
    update webhook_places set starts = $3, attempts = attempts + 1, failures = $4, failing_since = $5, next_attempt = $6
    where instance = $1 and endpoint = $2 and attempts = $7 returning attempts),
  noted as (
    insert into webhook_deliveries (instance, endpoint, number, at, service, position, event, type, attempt, status, outcome, milliseconds)
    select $1, $2, attempts, $8, $9, $10, $11, $12, $13, $14, $15, $16 from moved),
  dropped as (
    delete from webhook_deliveries d using moved where d.instance = $1 and d.endpoint = $2 and d.number <= moved.attempts - $17)
  select attempts from moved"""
_GO_ON: Final = """update webhook_places set starts = $3, attempts = attempts + 1 where instance = $1 and endpoint = $2 and attempts = $4
  returning attempts"""
_DELIVERIES: Final = """select number, at, service, position, event, type, attempt, status, outcome, milliseconds
  from webhook_deliveries where instance = $1 and endpoint = $2 order by number desc limit $3"""
_FORGET: Final = (
    "delete from webhook_places where instance = $1 and endpoint = $2",
    "delete from webhook_deliveries where instance = $1 and endpoint = $2",
)
_KNOWN: Final = "select instance, endpoint from webhook_places"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(dict[str, Start])


class Overtaken(Exception):
    """Somebody else sends to this endpoint by now, or it is gone."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """``starts``: by service, how far it has been sent, and which word on where to begin that followed. ``version``: of the endpoint as it
    was then; ``attempts``: how often the place moved. ``failures`` in a row since ``failing_since``; nothing is tried before
    ``next_attempt``. ``unnoted``: positions without anything to send that were looked at since it was last written."""

    version: int
    starts: Mapping[str, Start]
    attempts: int
    failures: int = 0
    failing_since: datetime | None = None
    next_attempt: datetime | None = None
    unnoted: int = 0

    def position_of(self, service: str) -> int:
        return self.starts[service].after

    def moved(self, service: str, position: int) -> Place:
        """With a service's events sent up to there."""
        start = self.starts[service]
        return msgspec.structs.replace(self, starts={**self.starts, service: Start(position, start.said)})

    def passed(self, service: str, position: int) -> Place:
        """With nothing to send up to there."""
        return msgspec.structs.replace(self.moved(service, position), unnoted=self.unnoted + position - self.starts[service].after)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried, to be noted; see ``Delivery``."""

    at: datetime
    service: str
    position: int
    event: UUID
    type: str
    attempt: int
    status: int
    outcome: str
    milliseconds: int


class Places:
    """All methods raise ``unavailable`` if the database cannot be reached."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def open(self) -> None:
        await self._secrets.create(_TABLES)

    async def begin(self, instance: int, endpoint: Endpoint) -> Place:
        """Where to go on. What was said of the endpoint since counts, and it is tried at once again. Raises Overtaken."""
        async with self._secrets.connection() as connection:
            row = await connection.fetchrow(_FIND, instance, endpoint.key)
            known = _place(row) if row is not None else None
            if known is not None and known.version == endpoint.version:
                return known
            before = known.starts if known is not None else {}
            starts = {
                service: before[service] if service in before and before[service].said >= start.said else start
                for service, start in endpoint.starts.items()
            }
            attempts = known.attempts if known is not None else 0
            row = await connection.fetchrow(_BEGIN, instance, endpoint.key, endpoint.version, _encoder.encode(starts), attempts)
        if row is None:
            raise Overtaken
        return _place(row)

    async def move(self, instance: int, key: str, place: Place, attempt: Attempt) -> Place:
        """After an attempt: the place as it is now, and the attempt among the last ones. Raises Overtaken."""
        async with self._secrets.connection() as connection, connection.transaction():
            await connection.execute(_LAZILY)
            attempts = await connection.fetchval(
                _MOVE, instance, key, _encoder.encode(place.starts), place.failures, place.failing_since, place.next_attempt,
                place.attempts, attempt.at, attempt.service, attempt.position, attempt.event, attempt.type, attempt.attempt,
                attempt.status, attempt.outcome, attempt.milliseconds, DELIVERIES_KEPT,
            )  # fmt: skip
        return _counted(place, attempts)

    async def pass_over(self, instance: int, key: str, place: Place) -> Place:
        """Up to there nothing was to be sent. Raises Overtaken."""
        async with self._secrets.connection() as connection, connection.transaction():
            await connection.execute(_LAZILY)
            attempts = await connection.fetchval(_GO_ON, instance, key, _encoder.encode(place.starts), place.attempts)
        return _counted(place, attempts)

    async def all_of(self, instance: int) -> dict[str, Place]:
        async with self._secrets.connection() as connection:
            return {row["endpoint"]: _place(row) for row in await connection.fetch(_LIST, instance)}

    async def deliveries(self, instance: int, key: str, limit: int) -> Sequence[Delivery]:
        async with self._secrets.connection() as connection:
            return [Delivery(**dict(row)) for row in await connection.fetch(_DELIVERIES, instance, key, limit)]

    async def known(self) -> set[tuple[int, str]]:
        """(instance, endpoint) of every place."""
        async with self._secrets.connection() as connection:
            return {(row["instance"], row["endpoint"]) for row in await connection.fetch(_KNOWN)}

    async def forget(self, instance: int, key: str) -> None:
        async with self._secrets.connection() as connection, connection.transaction():
            for statement in _FORGET:
                await connection.execute(statement, instance, key)


def _place(row: Any) -> Place:
    return Place(
        version=row["version"], starts=_decoder.decode(row["starts"]), attempts=row["attempts"], failures=row["failures"],
        failing_since=row["failing_since"], next_attempt=row["next_attempt"],
    )  # fmt: skip


def _counted(place: Place, attempts: int | None) -> Place:
    if attempts is None:
        raise Overtaken
    return msgspec.structs.replace(place, attempts=attempts, unnoted=0)
