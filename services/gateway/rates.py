"""How fast one client may ask. A client is a token this gateway knows, or else the address it comes from; so whoever makes tokens up is
held to one pace all the same. A till asks a few times a second: what is allowed stops a program that runs in circles, not a busy evening.

A client's pace is one number: the moment by which all that it asked would have been due at the steady pace. It may run ahead of now by
as much as a burst is worth. Every gateway counts for itself.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, ip_address
from typing import Final

import msgspec

from services.gateway import limits

IPV6_NETWORK_BITS: Final = 64  # what one household has


class Pace(msgspec.Struct, frozen=True, gc=False):
    """``left``: requests that may come at once from here on; ``wait_s``: 0 if this one may, else seconds until it may."""

    left: int
    wait_s: float


class Rates:
    """``per_second`` 0: nobody is held to anything."""

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self.burst = per_second * limits.RATE_BURST_S
        self._clock = clock
        self._due: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def take(self, client: Hashable) -> Pace:
        """Counts one request, unless it comes too early."""
        now = self._clock()
        ahead = max(self._due.get(client, now) - now, 0.0) + 1 / self.per_second
        over = ahead - limits.RATE_BURST_S
        if over > 1e-9:
            return Pace(0, over)
        self._due[client] = now + ahead
        self._due.move_to_end(client)
        while len(self._due) > limits.CLIENTS_KNOWN_MAX:
            self._due.popitem(last=False)
        return Pace(int((limits.RATE_BURST_S - ahead) * self.per_second + 1e-6), 0.0)

    @property
    def policy(self) -> str:
        """As the header ``RateLimit-Policy`` says it: so many in so many seconds."""
        return f'"client";q={self.burst};w={limits.RATE_BURST_S}'


def network_of(address: str) -> str:
    """What addresses of one place have in common."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return parsed.packed[: IPV6_NETWORK_BITS // 8].hex()
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
