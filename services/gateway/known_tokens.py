"""ERP clients' access tokens that were asked about lately. What auth said of one holds until anything moves that it rests on: the token
itself, its user, the password, the application. Then auth is asked again, and answers from a log that is at least that far."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

import msgspec

from libs.contracts.auth.access_tokens import ResolveToken, TokenHolder, digest_of
from libs.contracts.auth.events import INSTALLATION
from libs.domain.principal import Principal, system
from libs.runtime.asking import Services

TOKENS_KNOWN_MAX: Final = 20_000
MOVES_KNOWN_MAX: Final = 200_000
ASK_AGAIN_AFTER_S: Final = 60.0  # nothing is published when somebody's last day is over
AGGREGATES: Final = frozenset({"token", "user", "credential", "application"})


class Known(msgspec.Struct, frozen=True):
    """``position``: how much of auth's log this rests on; ``expires_at`` in seconds since the epoch; ``asked`` by the monotonic clock."""

    principal: Principal
    rests_on: tuple[str, ...]
    expires_at: float
    position: int
    asked: float


class KnownTokens:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: OrderedDict[tuple[int, str], Known] = OrderedDict()
        self._moved: OrderedDict[tuple[int, str], int] = OrderedDict()
        self._era = 0

    def moved(self, instance: int, stream: str, position: int) -> None:
        """An event of auth was published. Of streams that no token rests on nothing is noted."""
        aggregate, _, key = stream.partition("-")
        if aggregate not in AGGREGATES:
            return
        self._moved[instance, key] = max(position, self._moved.get((instance, key), 0))
        self._moved.move_to_end((instance, key))
        while len(self._moved) > MOVES_KNOWN_MAX:
            self._moved.popitem(last=False)

    def drop(self, instance: int, token: str) -> None:
        """This gateway need not wait to hear of what it did itself."""
        self._known.pop((instance, token), None)

    def forget(self) -> None:
        """Events may have been missed."""
        self._known.clear()
        self._era += 1

    async def holder(self, instance: int, token: str, *, silent: bool) -> Known:
        """``silent``: auth does not answer, so what was known goes on for as long as the caller allows. Raises ``unauthenticated``,
        ``unavailable``."""
        known = self._known.get((instance, token))
        if known is None:
            return await self._ask(instance, token, 0)
        due = self._due(instance, known)
        if due > known.position or (time.monotonic() - known.asked > ASK_AGAIN_AFTER_S and not silent):
            self._known.pop((instance, token), None)
            return await self._ask(instance, token, due)
        return known

    def _due(self, instance: int, known: Known) -> int:
        return max(self._moved.get((instance, key), 0) for key in known.rests_on)

    async def _ask(self, instance: int, token: str, position: int) -> Known:
        """What moves while auth is being asked makes this answer old too, so it is asked once more."""
        known = await self._asked(instance, token, position)
        if (due := self._due(instance, known)) > known.position:
            known = await self._asked(instance, token, due)
        return known

    async def _asked(self, instance: int, token: str, position: int) -> Known:
        era, asked = self._era, time.monotonic()
        body = ResolveToken(instance=instance, digest=digest_of(token), position=position)
        found = await self._services.query("auth", "token.resolve", body, TokenHolder, principal=system(INSTALLATION, "gateway"))
        known = Known(
            principal=Principal(instance, found.user, found.key, permissions=found.permissions),
            rests_on=tuple(filter(None, (found.key, found.user, found.application))),
            expires_at=found.expires.timestamp() if found.expires else float("inf"),
            position=max(found.position, position),
            asked=asked,
        )
        if era == self._era:
            self._known[instance, token] = known
            while len(self._known) > TOKENS_KNOWN_MAX:
                self._known.popitem(last=False)
        return known
