"""Which address of an account is the usual one of its type."""

from __future__ import annotations

from libs.domain.events import Event, event


@event("default_address.changed")
class DefaultAddressChanged(Event, frozen=True, kw_only=True):
    """Another address, or none, is the usual one of this type."""

    account: int
    type: int
    address: int | None = None
