"""Operators: users of no instance, who run the installation and see more than one business. They stand in the installation's log."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from libs.domain.events import Event, event

Level = Literal["admin", "plan", "shop", "audit"]  # what they may do, by the names that the operators' API gives them
USERNAME_MAX_CHARS: Final = 100


@event("operator.added")
class OperatorAdded(Event, frozen=True, kw_only=True):
    """``secret`` names the row that holds the hash of the password, outside the log."""

    username: str
    level: Level
    secret: str


@event("operator.removed")
class OperatorRemoved(Event, frozen=True, kw_only=True):
    """The name is free again."""

    username: str


class AddOperator(msgspec.Struct, frozen=True, kw_only=True):
    username: str
    password: str
    level: Level = "admin"


class RemoveOperator(msgspec.Struct, frozen=True, kw_only=True):
    """``key``: as the list shows it; ``username``: as it was typed, so that nobody else goes."""

    key: str
    username: str


class CheckOperator(msgspec.Struct, frozen=True, kw_only=True):
    """``origin``: the address it was asked from."""

    username: str
    password: str
    origin: str = ""


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    username: str
    level: Level
    added_at: datetime | None = None
