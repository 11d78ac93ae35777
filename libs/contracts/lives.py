"""Lives of a log: what was published of it was longer or other than the log is, and an operator decided that it goes on as it is."""

from __future__ import annotations

from typing import Final

import msgspec

from libs.domain.events import Event, event

REASON_MAX_CHARS: Final = 500
LIFE_BEGAN: Final = "log.life_began"


@event(LIFE_BEGAN)
class LifeBegan(Event, frozen=True, kw_only=True):
    """Events of ``service``'s log of this ``instance`` with positions behind ``behind``, up to ``lost``, were published once and are no
    more: whoever took them takes them back. What stands at these positions now is other events, which come anew. It is noted in the log
    itself and in that of the installation."""

    service: str
    instance: int
    life: str
    behind: int
    lost: int
    reason: str = ""


class BeginLife(msgspec.Struct, frozen=True, kw_only=True):
    """What ``LifeBegan`` says."""

    service: str
    instance: int
    life: str
    behind: int
    lost: int
    reason: str = ""


class Begun(msgspec.Struct, frozen=True):
    """``position`` of the log in which it is written down; 0 if it was before."""

    position: int
