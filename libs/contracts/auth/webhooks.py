"""Webhooks: where published events are sent to, for systems that neither speak NATS nor ask. What can be asked, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

KEY_PREFIX: Final = "whk"
TAGGED: Final = "webhook"  # what its tag is made of, besides its key and version
SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # as the open convention of webhooks has it; what follows is Base64
SECRET_MIN_BYTES: Final = 24
SECRET_BYTES: Final = 32  # of one that Theke makes up
SECRET_MAX_BYTES: Final = 64
ENDPOINTS_MAX: Final = 20  # of an instance
URL_MAX_CHARS: Final = 500
DESCRIPTION_MAX_CHARS: Final = 200
TYPES_MAX: Final = 50
DELIVERIES_KEPT: Final = 200  # of an endpoint, the newest
DELIVERIES_DEFAULT: Final = 20
GIVEN_UP_AFTER_S: Final = 72 * 3600  # of nothing but failures
OLD_SECRET_LASTS_S: Final = 24 * 3600  # beside a new one

Ended = Literal["", "failing", "gone"]
"""Why Theke stopped sending by itself: nothing was taken for GIVEN_UP_AFTER_S, or the endpoint answered 410."""


class CreateWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """``services`` empty: all of them; ``types`` empty: everything they publish. ``after``: behind which position of a service's log it
    begins, without one behind its end. ``secret`` empty: Theke makes one up."""

    url: str
    description: str = ""
    services: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    after: Mapping[str, int] = msgspec.field(default_factory=dict)
    secret: str = ""


class ChangeWebhook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is absent stays. ``active`` again after it ended: it goes on where it stopped. ``if_match``: only if it still has one of these
    tags; none: whatever it is."""

    key: str
    if_match: tuple[str, ...] = ()
    url: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    services: tuple[str, ...] | UnsetType = UNSET
    types: tuple[str, ...] | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class WebhookByKey(msgspec.Struct, frozen=True, kw_only=True):
    key: str


class DeleteWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """``if_match`` as of a change."""

    key: str
    if_match: tuple[str, ...] = ()


class ReplayWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """Sends what is behind a position of a service's log once more, or passes over what is before it."""

    key: str
    service: str
    after: int


class ListDeliveries(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first, at most ``limit``."""

    key: str
    limit: int = DELIVERIES_DEFAULT


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """``positions``: how far it has been sent, by service. ``failures`` in a row since ``failing_since``; ``next_attempt``: when the next
    one is made. ``version`` counts up with every change."""

    key: str
    version: int
    url: str
    description: str
    services: tuple[str, ...]
    types: tuple[str, ...]
    active: bool
    ended: Ended
    created_at: datetime
    changed_at: datetime
    positions: Mapping[str, int] = msgspec.field(default_factory=dict)
    failures: int = 0
    failing_since: datetime | None = None
    next_attempt: datetime | None = None


class WebhookSecret(msgspec.Struct, frozen=True, kw_only=True):
    """What deliveries are signed with; told when it is made and never again."""

    webhook: Webhook
    secret: str


class WebhookDeleted(msgspec.Struct, frozen=True, kw_only=True):
    key: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt. ``status`` of the answer, 0 without one; ``outcome``: ``taken``, ``gone``, ``refused`` (any other status), ``timeout``,
    ``unreachable``, ``tls``, ``name_unknown``, ``address_not_allowed``. ``attempt`` counts those of this event in a row."""

    number: int
    at: datetime
    service: str
    position: int
    event: UUID
    type: str
    attempt: int
    status: int
    outcome: str
    milliseconds: int
