"""Who is asking. Access tokens are verified here, once per token; what revokes one arrives from auth within a second. Those of ERP clients
say nothing by themselves: auth is asked who holds one.

If auth has been silent for SILENCE_S the gateway asks it. If it does not answer, reads go on for READS_GO_ON_S and writes are refused:
a revocation could have been missed.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from datetime import datetime
from typing import Any, Final

import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from libs.bus import subjects
from libs.bus.connection import Connection
from libs.contracts.auth.access_tokens import TOKEN
from libs.contracts.auth.api_keys import KEY, ApiKey, ResolveApiKey, digest_of
from libs.contracts.auth.commands import TOKEN_MAX_CHARS, ConfirmSession, Instance, Keys, NoBody, Revocation
from libs.contracts.auth.events import INSTALLATION
from libs.domain.errors import DomainError, Kind, unavailable
from libs.domain.ids import command_id
from libs.domain.principal import Principal, system
from libs.runtime.asking import Services
from services.gateway.known_tokens import KnownTokens

log = structlog.get_logger(__name__)

ALGORITHM: Final = "EdDSA"
SILENCE_S: Final = 5.0
READS_GO_ON_S: Final = 60.0
ASK_AGAIN_S: Final = 1.0
TOKENS_KNOWN_MAX: Final = 20_000
REVOCATIONS_KNOWN_MAX: Final = 200_000
SESSION_PREFIX: Final = "ses_"
NEVER_AGAIN: Final = float("inf")
START_WITHIN_S: Final = 30.0


class Identity(msgspec.Struct, frozen=True):
    """A verified token. Times in seconds since the epoch."""

    principal: Principal
    issued_at: float
    expires_at: float


class _AuthEvent(msgspec.Struct, frozen=True):
    """What the gateway reads of auth's published events."""

    type: str
    instance: str
    stream: str
    position: int
    time: datetime
    data: dict[str, Any]


_auth_events = msgspec.json.Decoder(_AuthEvent)


class Identities:
    """Bearer tokens → identities."""

    def __init__(self, connection: Connection, services: Services, default_instance: str = "") -> None:
        self.default_instance = default_instance
        self._instances: dict[str, int] = {}
        self._connection = connection
        self._services = services
        self._key: Any = None
        self._known: OrderedDict[str, Identity] = OrderedDict()
        self._erp = KnownTokens(services)
        self._came: OrderedDict[int, None] = OrderedDict()  # digests of tokens that somebody came in with lately
        self._valid_from: OrderedDict[tuple[int, str], float] = OrderedDict()
        self._heard = 0.0
        self._silent_since: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads the key and what is revoked before the first request is taken. Raises ``unavailable`` if auth is not there."""
        await self._connection.listen(subjects.published_of("auth"), self._on_event)
        await self._connection.listen(subjects.live("auth", "heartbeat"), self._on_heartbeat)
        self._connection.when_lost(self._on_lost)
        keys = await self._services.query(
            "auth", "keys", NoBody(), Keys, principal=system(INSTALLATION, "gateway"), deadline=START_WITHIN_S
        )
        self._key = load_pem_public_key(keys.public_key)
        await self._load()
        self._heard = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def identify_at(self, instance: int, token: str, *, write: bool) -> Principal:
        """Who asks for something of this instance, with a token of either kind. Raises as ``identify`` does."""
        if TOKEN.fullmatch(token):
            self._require_heard(write=write)
            known = await self._erp.holder(instance, token, silent=self._silent_since is not None)
            self._note(token)
            if time.time() >= known.expires_at:
                raise DomainError(Kind.UNAUTHENTICATED, "access_token_expired")
            return known.principal
        principal = (await self.identify(token, write=write)).principal
        if principal.instance != instance:
            raise DomainError(Kind.UNAUTHENTICATED, "foreign_token")
        return principal

    async def identify_key(self, key: str, *, write: bool) -> Principal:
        """The program that an API key belongs to. Auth is asked each time, so one that was revoked is dead at once. Raises DomainError:
        ``unauthenticated``; ``key_reads_only``."""
        form = KEY.fullmatch(key)
        if form is None:
            raise DomainError(Kind.UNAUTHENTICATED, "access_token_invalid")
        instance = int(form[1])
        body, asker = ResolveApiKey(digest=digest_of(key)), system(instance, "gateway")
        found = await self._services.query("auth", "api_key.resolve", body, ApiKey, principal=asker)
        if write:
            raise DomainError(Kind.FORBIDDEN, "key_reads_only")
        return Principal(instance, found.key, permissions=dict.fromkeys(found.scopes, False))

    def ended(self, instance: int, token: str) -> None:
        """An ERP client's token that was ended by a request to this gateway."""
        self._erp.drop(instance, token)

    def is_known(self, token: str) -> bool:
        """Whether this token was good when somebody last came with it."""
        return hash(token) in self._came

    def _note(self, token: str) -> None:
        self._came[hash(token)] = None
        while len(self._came) > TOKENS_KNOWN_MAX:
            self._came.popitem(last=False)

    def _require_heard(self, *, write: bool) -> None:
        if self._silent_since is not None and (write or time.monotonic() - self._silent_since > READS_GO_ON_S):
            raise unavailable("auth_silent", ASK_AGAIN_S)

    async def identify(self, token: str, *, write: bool) -> Identity:
        """Raises DomainError: ``unauthenticated``, or ``unavailable`` if a revocation may have been missed."""
        self._require_heard(write=write)
        identity = self._known.get(token)
        if identity is None:
            identity = await self._verified(token)
        if time.time() >= identity.expires_at:
            raise DomainError(Kind.UNAUTHENTICATED, "access_token_expired")
        principal = identity.principal
        for subject in (principal.user, principal.session):
            if identity.issued_at < self._valid_from.get((principal.instance, subject), 0.0):
                raise DomainError(Kind.UNAUTHENTICATED, "access_token_revoked")
        return identity

    async def _verified(self, token: str) -> Identity:
        if len(token) > TOKEN_MAX_CHARS:
            raise DomainError(Kind.UNAUTHENTICATED, "access_token_invalid")
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM], options={"require": ["exp", "iat", "sub"], "verify_iat": False})
            identity = Identity(
                Principal(claims["ins"], claims["sub"], claims["sid"], claims["lvl"], claims["per"]), claims["iat"], claims["exp"]
            )
        except jwt.ExpiredSignatureError:
            raise DomainError(Kind.UNAUTHENTICATED, "access_token_expired") from None
        except (jwt.InvalidTokenError, KeyError):
            raise DomainError(Kind.UNAUTHENTICATED, "access_token_invalid") from None
        if claims["gen"] > 0:
            await self._confirm(identity.principal, claims["gen"])
        self._note(token)
        self._known[token] = identity
        while len(self._known) > TOKENS_KNOWN_MAX:
            self._known.popitem(last=False)
        return identity

    async def _confirm(self, principal: Principal, generation: int) -> None:
        """The first use of a refreshed token: from now on the refresh token before it is spent."""
        id_ = command_id(principal.instance, principal.session, "session.confirm", str(generation))
        body = ConfirmSession(session=principal.session, generation=generation)
        await self._services.command("auth", "session.confirm", body, dict[str, Any], principal=principal, id=id_)

    async def instance_id(self, name: str) -> int | None:
        """The id behind an instance's name; an unknown one is asked for."""
        if name not in self._instances:
            found = await self._services.query("auth", "instance.list", NoBody(), list[Instance], principal=system(INSTALLATION, "gateway"))
            self._instances = {instance.name: instance.id for instance in found}
        return self._instances.get(name)

    def revoke(self, instance: int, subject: str, valid_from: float) -> None:
        """Tokens of a user issued before ``valid_from`` are dead; those of a session whenever they were issued, whatever two clocks say:
        a session that has ended never comes back."""
        key = (instance, subject)
        valid_from = NEVER_AGAIN if subject.startswith(SESSION_PREFIX) else valid_from
        self._valid_from[key] = max(valid_from, self._valid_from.get(key, 0.0))
        self._valid_from.move_to_end(key)
        while len(self._valid_from) > REVOCATIONS_KNOWN_MAX:
            self._valid_from.popitem(last=False)

    async def _load(self) -> None:
        self._erp.forget()
        found = self._services.stream("auth", "revocations", NoBody(), Revocation, principal=system(INSTALLATION, "gateway"))
        async for piece in found:
            for one in piece:
                self.revoke(one.instance, one.subject, one.valid_from.timestamp())

    def _on_event(self, _subject: str, _reply: str, payload: bytes, _header: bytes) -> None:
        try:
            event = _auth_events.decode(payload)
        except msgspec.DecodeError:
            log.warning("event of auth unreadable")
            return
        self._erp.moved(int(event.instance[1:]), event.stream, event.position)
        if event.type == "session.ended":
            subject = event.stream.removeprefix("session-")
        elif event.type in ("user.changed", "user.deleted"):
            subject = event.stream.removeprefix("user-")
        elif event.type in ("credential.set", "credential.added", "credential.removed"):
            subject = event.data["user"]
        else:
            return
        self.revoke(int(event.instance[1:]), subject, event.time.timestamp())

    def _on_heartbeat(self, _subject: str, _reply: str, _payload: bytes, _header: bytes) -> None:
        self._heard = time.monotonic()

    def _on_lost(self) -> None:
        """Events may have been missed while the bus was away."""
        self._heard = 0.0

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(ASK_AGAIN_S)
            if time.monotonic() - self._heard <= SILENCE_S and self._silent_since is None:
                continue
            try:
                await self._load()
                self._heard = time.monotonic()
                if self._silent_since is not None:
                    log.info("auth answers again")
                self._silent_since = None
            except DomainError as error:
                if self._silent_since is None:
                    log.error("auth is silent: reads go on for a while, writes are refused", reason=error.reason)
                    self._silent_since = time.monotonic()
