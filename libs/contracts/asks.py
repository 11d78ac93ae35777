"""Who asks whom over the bus, beside what the gateway asks for its clients. NATS lets nothing else through: whoever begins to ask another
service, or to hear its events, is written down here first.

A name stands as it does in a subject: ``cmd.<service>.<command>``, ``qry.<service>.<query>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

ERP: Final = ("auth", "billing", "crm", "inventory")
ALL: Final = (*ERP, "pos")
FORGET: Final = "erp_forget"


class Asks(msgspec.Struct, frozen=True):
    """Of one service: commands and queries by the service asked, and the services whose published events it hears."""

    commands: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    queries: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    hears: tuple[str, ...] = ()


_TELLS_WHAT_WENT: Final = dict.fromkeys(ERP, (FORGET,))
ASKS: Final[Mapping[str, Asks]] = {
    "auth": Asks(commands=_TELLS_WHAT_WENT, queries=dict.fromkeys(ALL, ("status", "log")), hears=ALL),  # webhooks
    "inventory": Asks(commands=_TELLS_WHAT_WENT),
    "crm": Asks(commands=_TELLS_WHAT_WENT, queries=dict.fromkeys(ERP, ("status", "log")), hears=ERP),
    "billing": Asks(commands=_TELLS_WHAT_WENT),
    "pos": Asks(),
}
