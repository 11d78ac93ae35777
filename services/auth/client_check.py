"""The one check of applications and their secrets. A secret is 160 random bits, so nobody has to be slowed down here."""

from __future__ import annotations

from typing import Any, Final

from libs.contracts.auth.access_tokens import TOKEN, digest_of
from libs.contracts.auth.records import ACTIVE
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.projections.tables import Tables
from libs.runtime.secrets import Secrets
from services.auth.token_tables import CLIENT

UNKNOWN: Final = DomainError(Kind.UNAUTHENTICATED, "client_unknown")


def _place(secret: str) -> str:
    return f"client secret {digest_of(secret)}"


class ClientCheck:
    def __init__(self, tables: Tables, secrets: Secrets) -> None:
        self._tables = tables
        self._secrets = secrets

    async def keep(self, instance: int, application: str, secret: str, name: str) -> None:
        """Puts a secret's digest away under a name that begins with the application's key. Raises ``invalid``, ``key_misuse``."""
        if not TOKEN.fullmatch(secret):
            raise invalid(FieldError("secret", "malformed", {"detail": TOKEN.pattern}))
        wanted = f"{application} {name}".encode()
        if await self._secrets.keep(instance, _place(secret), wanted) != wanted:
            raise DomainError(Kind.UNPROCESSABLE, "key_misuse")

    async def by_secret(self, instance: int, secret: str) -> Any:
        """The row of the active application whose present secret this is. Raises ``client_unknown``."""
        kept = await self._secrets.get(instance, _place(secret.lower()))
        if kept is None:
            raise UNKNOWN
        application, _, name = kept.decode().partition(" ")
        row = await self._tables.fetch_one(CLIENT, instance, application)
        if row is None or row["activity"] != ACTIVE or row["secret"] != name:
            raise UNKNOWN
        return row

    async def by_credentials(self, instance: int, identifier: str, secret: str) -> Any:
        """The same, and it says who it is. Raises ``client_unknown``."""
        row = await self.by_secret(instance, secret)
        if row["identifier"] != identifier:
            raise UNKNOWN
        return row
