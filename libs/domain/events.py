"""Events: facts in the past tense. Declared once as a struct, known to the log by ``type`` and ``version``."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every event. Amounts are minor units, times aware UTC, ids strings."""

    TYPE: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1

    def series(self) -> str | None:
        """The gapless number series this event draws from, or None. The log hands out the number at the append."""
        return None


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event as the log holds it. ``number`` is what its series gave it; ``data`` an ``Event``."""

    instance: int
    position: int
    stream: str
    version: int
    id: UUID
    type: str
    data: Any
    at: datetime
    number: int | None = None
    actor: str = ""
    command: UUID | None = None
    schema_version: int = 1


E = TypeVar("E", bound=type[Event])
_registry: dict[str, type[Event]] = {}


def event(type_: str, *, version: int = 1) -> Any:
    """Class decorator: ``@event("receipt.issued")`` makes the struct known by that name (aggregate dot past tense)."""

    def register(cls: E) -> E:
        if type_ in _registry and _registry[type_].__qualname__ != cls.__qualname__:
            raise ValueError(f"event {type_} is declared twice")
        cls.TYPE = type_
        cls.VERSION = version
        _registry[type_] = cls
        return cls

    return register


def event_class(type_: str) -> type[Event] | None:
    """The struct declared for a type, or None if this process does not know it."""
    return _registry.get(type_)


def known_events() -> dict[str, type[Event]]:
    return dict(_registry)
