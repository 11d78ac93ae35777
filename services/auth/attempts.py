"""Wrong PINs and cards are counted, in auth's own database so that every replica counts on. A PIN has ten thousand values: without this
it would be guessed in a minute.

A try counts as wrong before it is looked at, so that a thousand tries at once are no more than one after the other. A right one wipes
the count. What is counted is bounded: an entry per employee, and a fixed number for names that nobody has.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from libs.domain.errors import DomainError, Kind
from libs.runtime.secrets import Secrets

TRIES: Final = 5  # wrong ones in a row before the first pause
PAUSE_S: Final = 60  # doubles with every further wrong try
PAUSE_MAX_S: Final = 3_600
DOUBLINGS_MAX: Final = 6
CARD_TRIES: Final = 20  # unknown cards in a row, of a whole instance
UNKNOWN_MAX: Final = 1_024

_TABLE: Final = """create table if not exists attempts (
  instance int not null, subject text not null, wrong int not null, locked_until timestamptz not null, primary key (instance, subject))"""
# nothing comes back while the pause lasts
_COUNT: Final = """insert into attempts as a (instance, subject, wrong, locked_until)
  values ($1, $2, 1, case when $3 <= 1 then clock_timestamp() + make_interval(secs => $4) else clock_timestamp() end)
  on conflict (instance, subject) do update set
    wrong = a.wrong + 1,
    locked_until = clock_timestamp() + case when a.wrong + 1 < $3 then interval '0'
      else make_interval(secs => least($5, $4 * power(2, least(a.wrong + 1 - $3, $6)))) end
  where a.locked_until <= clock_timestamp()
  returning wrong"""
_LEFT: Final = "select extract(epoch from locked_until - clock_timestamp())::float8 from attempts where instance = $1 and subject = $2"
_FORGET: Final = "delete from attempts where instance = $1 and subject = $2"


class Attempts:
    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def open(self) -> None:
        await self._secrets.create(_TABLE)

    async def count(self, instance: int, subject: str, tries: int = TRIES) -> None:
        """Notes a try. Raises ``rate_limited`` while there were too many wrong ones."""
        async with self._secrets.connection() as connection:
            counted = await connection.fetchval(_COUNT, instance, subject, tries, float(PAUSE_S), float(PAUSE_MAX_S), DOUBLINGS_MAX)
            if counted is not None:
                return
            left = max(1, round(await connection.fetchval(_LEFT, instance, subject) or 1))
            raise DomainError(Kind.RATE_LIMITED, "too_many_tries", {"seconds": left}, retry_after_s=left)

    async def forget(self, instance: int, subject: str) -> None:
        """The try was right."""
        async with self._secrets.connection() as connection:
            await connection.execute(_FORGET, instance, subject)


def nobody(name: str) -> str:
    """What is counted for a name that no employee has: a pause must not tell who works here."""
    return f"nobody {crc32(name.encode()) % UNKNOWN_MAX}"
