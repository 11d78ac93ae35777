"""Where Theke may connect to for somebody else: only to addresses of the public internet. A webhook must not reach what stands beside
Theke: this machine, the network it is in, a cloud's metadata. A name is resolved once, and the connection goes to an address that was
checked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

# of special use by IANA's registries, where the standard library says otherwise or depends on its version
SPECIAL: Final = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20", "5f00::/16")))
RESOLVERS_MAX: Final = 4  # threads; a name server that does not answer holds one, and must hold nobody's login


class AddressNotAllowed(OSError):
    """It is not one of the public internet."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet. Those that hold an IPv4 address are what that one is."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return _is_public(_held(found) or found)


def _held(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    return None if isinstance(address, IPv4Address) else address.ipv4_mapped or address.sixtofour


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    # what translates to IPv4 by the network's own rules (NAT64) is among the reserved
    special = any(address in network for network in SPECIAL) or (isinstance(address, IPv6Address) and address.is_site_local)
    local = address.is_loopback or address.is_link_local
    return address.is_global and not (special or local or address.is_multicast or address.is_reserved)


def refuse_private(address: str) -> None:
    """Raises AddressNotAllowed."""
    if not is_public(address):
        raise AddressNotAllowed(f"{address} is not an address of the public internet")


def allow_all(_: str) -> None:
    return None


Check = Callable[[str], None]
LookUp = Callable[..., list[Any]]


class CheckedResolver(AbstractResolver):
    """Names as addresses that were all checked: one that is not allowed and none is used."""

    def __init__(self, check: Check, look_up: LookUp = socket.getaddrinfo) -> None:
        self._check = check
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(RESOLVERS_MAX, "webhook-names")

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Raises AddressNotAllowed, or OSError for a name that nothing has."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self._look_up(host, port, family=family, type=socket.SOCK_STREAM)
        )
        results = [
            ResolveResult(hostname=host, host=where[0], port=port, family=of, proto=proto, flags=socket.AI_NUMERICHOST)
            for of, _, proto, _, where in found
        ]
        for one in results:
            self._check(one["host"])
        return results

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def checked_socket(check: Check) -> Callable[[Any], socket.socket]:
    """The last look, at the very address that is connected to: also of what never was a name."""

    def make(info: Any) -> socket.socket:
        family, type_, proto, _, where = info
        check(where[0])
        return socket.socket(family, type_, proto)

    return make
