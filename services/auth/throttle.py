"""Wrong passwords are counted, in auth's own database so that every replica counts on; right ones never are.

Three counts run down by themselves, so nobody is shut out for long: of a user from one place, of a user from anywhere, of the house. A
place from which this user has come in before is held to the first alone: who guesses from elsewhere cannot keep the user's own till out.

The count is looked at and the password checked in turn, HASHES_AT_ONCE at a time: a hundred guesses at once are no more than one after
the other. What is kept is bounded: a place is one of PLACES_MAX, a name that nobody has one of UNKNOWN_MAX.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address
from typing import Final
from zlib import crc32

import msgspec

from libs.domain.errors import DomainError, Kind, unavailable
from libs.runtime.secrets import Secrets
from services.auth.passwords import HASHES_AT_ONCE, HASHES_WAITING_MAX

PLACES_MAX: Final = 256
IPV6_NETWORK_BITS: Final = 64  # what one household has
HOUSE: Final = "house"

_TABLE: Final = """create table if not exists password_tries (
  instance int not null, subject text not null, free_at timestamptz not null, known boolean not null default false,
  primary key (instance, subject))"""
# free_at: when the count will have run down; each wrong try puts it off
_AHEAD: Final = """select subject, known, extract(epoch from free_at - clock_timestamp())::float8 as ahead
  from password_tries where instance = $1 and subject = any($2::text[])"""
_COUNT: Final = """insert into password_tries as t (instance, subject, free_at)
  select $1, s.subject, clock_timestamp() + make_interval(secs => s.costs) from unnest($2::text[], $3::float8[]) s (subject, costs)
  on conflict (instance, subject) do update set
    free_at = greatest(t.free_at, clock_timestamp()) + (excluded.free_at - clock_timestamp())"""
_KNOW: Final = """insert into password_tries (instance, subject, free_at, known) values ($1, $2, clock_timestamp(), true)
  on conflict (instance, subject) do update set free_at = excluded.free_at, known = true"""


class Limit(msgspec.Struct, frozen=True):
    """``tries`` wrong ones at once, then one more every ``costs`` seconds."""

    tries: int
    costs: float

    def pause(self, ahead: float) -> float:
        """Seconds until the next try, negative if it may come now."""
        return ahead - (self.tries - 1) * self.costs


AT_PLACE: Final = Limit(tries=10, costs=30.0)
OF_USER: Final = Limit(tries=20, costs=60.0)
OF_HOUSE: Final = Limit(tries=300, costs=2.0)


class Knock(msgspec.Struct, frozen=True):
    """Somebody at the door: ``user`` is the key of a user, or what is counted for names that nobody has."""

    instance: int
    user: str
    place: str

    @property
    def limits(self) -> dict[str, Limit]:
        """In the order in which all processes lock the rows."""
        return {f"{self.user} at {self.place}": AT_PLACE, self.user: OF_USER, HOUSE: OF_HOUSE}


def place_of(origin: str) -> str:
    """The place that an address belongs to."""
    try:
        address = ip_address(origin)
    except ValueError:
        return str(crc32(origin.encode()) % PLACES_MAX)
    packed = address.packed
    if isinstance(address, IPv6Address):
        packed = address.ipv4_mapped.packed if address.ipv4_mapped else packed[: IPV6_NETWORK_BITS // 8]
    return str(crc32(packed) % PLACES_MAX)


class PasswordTries:
    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._turns = asyncio.Semaphore(HASHES_AT_ONCE)
        self._waiting = 0

    async def open(self) -> None:
        await self._secrets.create(_TABLE)

    @asynccontextmanager
    async def turn(self, knock: Knock) -> AsyncIterator[None]:
        """Checks the count, and holds a turn for checking the password. Raises ``rate_limited`` after too many wrong ones."""
        if self._waiting >= HASHES_WAITING_MAX:
            raise unavailable("overloaded", 1.0)
        self._waiting += 1
        try:
            async with self._turns:
                await self._require_free(knock)
                yield
        finally:
            self._waiting -= 1

    async def _require_free(self, knock: Knock) -> None:
        limits = knock.limits
        async with self._secrets.connection() as connection:
            rows = {row["subject"]: row for row in await connection.fetch(_AHEAD, knock.instance, list(limits))}
        own = next(iter(limits))
        counted = [own] if own in rows and rows[own]["known"] else list(limits)
        pause = max((limits[subject].pause(rows[subject]["ahead"]) for subject in counted if subject in rows), default=0.0)
        if pause > 0:
            left = max(1, round(pause))
            raise DomainError(Kind.RATE_LIMITED, "too_many_tries", {"seconds": left}, retry_after_s=left)

    async def count_wrong(self, knock: Knock) -> None:
        limits = knock.limits
        async with self._secrets.connection() as connection:
            await connection.execute(_COUNT, knock.instance, list(limits), [limit.costs for limit in limits.values()])

    async def came_in(self, knock: Knock) -> None:
        """The place is known from now on, and its count is gone."""
        async with self._secrets.connection() as connection:
            await connection.execute(_KNOW, knock.instance, next(iter(knock.limits)))
