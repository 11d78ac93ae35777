"""The one check of names and passwords, whichever dialect they come by: one refusal for all that is wrong, and it always takes as long."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from libs.contracts.auth.commands import Instance
from libs.domain.errors import DomainError, Kind
from libs.projections.tables import Tables
from services.auth.admission import may_log_in
from services.auth.attempts import nobody
from services.auth.queries import LOGIN, LOGIN_BY_EMAIL, instances
from services.auth.safekeeping import Safekeeping
from services.auth.throttle import Knock, PasswordTries, place_of

WRONG: Final = DomainError(Kind.UNAUTHENTICATED, "credentials_wrong")


class PasswordCheck:
    def __init__(self, tables: Tables, safe: Safekeeping, tries: PasswordTries) -> None:
        self._tables = tables
        self._safe = safe
        self._tries = tries

    async def instance(self, name: str) -> Instance | None:
        """The instance of a name; without one, the only one there is."""
        known = await instances(self._tables)
        if not name and len(known) == 1:
            return known[0]
        return next((instance for instance in known if instance.name == name), None)

    async def login(self, instance: Instance | None, username: str, password: str, origin: str, at: datetime) -> Any:
        """The user's row. An e-mail address does for a name if only one employee has it. Raises ``credentials_wrong``,
        ``default_credentials``, ``too_many_tries``."""
        row = await self._named(instance.id, username) if instance else None
        await self.require(instance, row, password, row["key"] if row else nobody(username.casefold()), origin, at)
        return row

    async def _named(self, instance: int, name: str) -> Any:
        row = await self._tables.fetch_one(LOGIN, instance, name)
        if row is not None or "@" not in name:
            return row
        rows = await self._tables.fetch(LOGIN_BY_EMAIL, instance, name)
        return rows[0] if len(rows) == 1 else None

    async def require(self, instance: Instance | None, row: Any, password: str, subject: str, origin: str, at: datetime) -> None:
        """``row``: whose password it should be, None if nobody's; ``subject``: what is counted."""
        knock = Knock(instance.id if instance else 0, subject, place_of(origin))
        async with self._tries.turn(knock):
            right = await self._safe.matches(knock.instance, row["secret"] if row else None, password)
            if not right or row is None or not may_log_in(row, at):
                await self._tries.count_wrong(knock)
                raise WRONG
        if self._safe.is_too_common(row["username"], password):
            raise DomainError(Kind.FORBIDDEN, "default_credentials")
        await self._tries.came_in(knock)
