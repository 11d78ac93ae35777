"""The one way in: authorise → complete → load facts → decide → append → project → reply. Every write of a service passes here,
whatever dialect, import or process it comes from."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import msgspec
import structlog

from libs.bus.client import Reply
from libs.bus.server import Request
from libs.domain.decider import Command, CommandType, Lookup
from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.domain.events import Recorded
from libs.domain.principal import Principal
from libs.eventstore.batcher import Batcher, Done
from libs.projections.projector import Projector

log = structlog.get_logger(__name__)

PROJECTION_WAIT_MAX_S = 2.0
ANSWER_WITHIN_S = 0.5  # kept of a request's time for the way back
PRINCIPALS_KNOWN_MAX = 1_024  # decoded; they ask again and again

_canonical = msgspec.msgpack.Encoder(order="deterministic")
_principal = lru_cache(maxsize=PRINCIPALS_KNOWN_MAX)(msgspec.msgpack.Decoder(Principal).decode)

After = Callable[[Command[Any], Any, float], Awaitable[Any]]
"""(command, answer, seconds left) → the answer once it is whole."""

Way = Callable[[CommandType, Command[Any], float], Awaitable[tuple[Any, bool]]]
"""(type, command, seconds) → what ``execute`` would answer."""

Appended = Callable[[Sequence[Recorded]], None]


def principal_of(request: Request) -> Principal:
    """Who asks. Raises ``unauthenticated`` if nobody is named, or somebody of another instance."""
    if request.principal is None:
        raise DomainError(Kind.UNAUTHENTICATED, "no_principal")
    principal = _principal(request.principal)
    if principal.instance != request.instance:
        raise DomainError(Kind.UNAUTHENTICATED, "foreign_principal")
    return principal


def decoded(body: bytes, type_: Any) -> Any:
    """A request's body. What a dialect sends has been checked before; a mismatch here is a caller of another version."""
    try:
        return msgspec.msgpack.decode(body, type=type_)
    except msgspec.ValidationError as error:
        raise invalid(FieldError("", "malformed", {"detail": str(error)[:300]})) from error


def command_of(request: Request, principal: Principal, body: Any, id_: UUID | None = None) -> Command[Any]:
    """What a request asks for; under its own id unless it is given another. A repeat on the bus keeps its id."""
    return Command(id_ or request.command_id or uuid4(), request.at, principal, body, began=request.began)


class Dispatcher:
    """Executes the commands of one service. ``appended`` hears of every append, after it is on disk."""

    def __init__(self, commands: Sequence[CommandType], batcher: Batcher, projector: Projector, lookup: Lookup, appended: Appended) -> None:
        self.commands = {command.name: command for command in commands}
        self._batcher = batcher
        self._projector = projector
        self._lookup = lookup
        self._appended = appended
        self._after: dict[str, After] = {}
        self._listeners: list[Appended] = []
        self._detours: dict[str, tuple[Callable[[Any], bool], Way]] = {}

    def on_append(self, listen: Appended) -> None:
        """``listen`` hears of every append once, after it is on disk; not of what another process appended. It must not block."""
        self._listeners.append(listen)

    def wait_after(self, name: str, wait: After) -> None:
        """The answer to this command waits for something that follows its append: a signature."""
        self._after[name] = wait

    def detour(self, name: str, needed: Callable[[Any], bool], way: Way) -> None:
        """Requests for this command whose body is ``needed`` to go ``way`` do so; all others are executed straight on."""
        self._detours[name] = needed, way

    async def serve(self, name: str, request: Request) -> Reply:
        """A command as it comes over the bus."""
        if request.command_id is None:
            raise invalid(FieldError("command_id", "required"))
        type_ = self.commands[name]
        command = command_of(request, principal_of(request), decoded(request.body, type_.body))
        detour = self._detours.get(name)
        if detour is not None and detour[0](command.body):
            answer, behind = await detour[1](type_, command, request.left())
        else:
            answer, behind = await self.execute(type_, command, timeout=request.left())
        if (wait := self._after.get(name)) is not None:
            answer = await wait(command, answer, request.left() - ANSWER_WITHIN_S)
        return Reply(msgspec.msgpack.encode(answer), behind)

    async def execute(self, type_: CommandType, command: Command[Any], *, timeout: float) -> tuple[Any, bool]:
        """The answer, and whether query tables are still behind it. Raises the refusal as DomainError."""
        if not command.principal.may(type_.permission, write=True):
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": type_.permission})
        ends = time.monotonic() + timeout
        fingerprint = sha256(type_.name.encode() + b"\n" + _canonical.encode(command.body)).digest()
        try:
            if type_.complete is not None:
                command = await type_.complete(command, self._lookup)
            facts = await type_.facts(command, self._lookup) if type_.facts is not None else None
        except DomainError as refusal:
            done = await self._batcher.refuse(type_, command, fingerprint, refusal)
        else:
            done = await self._batcher.submit(type_, command, facts, fingerprint, timeout=ends - time.monotonic())
        behind = not await self._project(command.instance, done, ends)
        return type_.reply(done.states, command, done.recorded), behind

    async def _project(self, instance: int, done: Done, ends: float) -> bool:
        if done.duplicate:  # perhaps its first answer was lost before anybody heard of the append
            self._projector.poke(instance, done.last)
        elif done.recorded:
            self._projector.offer(done.recorded)
            for listen in self._listeners:
                listen(done.recorded)
        if done.recorded:
            self._appended(done.recorded)
        wait = min(PROJECTION_WAIT_MAX_S, max(0.05, ends - time.monotonic() - 0.1))
        reached = await self._projector.wait(instance, done.last, wait)
        if not reached:
            log.warning("query tables are behind", instance=instance, position=done.last)
        return reached
