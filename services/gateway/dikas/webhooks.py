"""Section Webhooks, beyond the dialect's table: where events are sent to, how far, and what became of the last ones."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from libs.contracts.auth.webhooks import (
    DELIVERIES_DEFAULT,
    DELIVERIES_KEPT,
    TAGGED,
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    Delivery,
    ListDeliveries,
    ReplayWebhook,
    Webhook,
    WebhookByKey,
    WebhookDeleted,
    WebhookSecret,
)
from libs.domain.etags import etag
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.params import IF_MATCH, IF_NONE_MATCH, Form, Param
from services.gateway.dikas.tags import if_match

MISSING: Final = "webhook_not_found"
Position = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class WebhookBody(msgspec.Struct, rename="camel"):
    """``services`` and ``types`` empty or absent: all of them. ``after``: behind which position of a service's log it begins, by service;
    without one, with what happens from now on. ``secret`` (``whsec_…``) is made up unless it is given."""

    url: str
    description: str | None = None
    services: list[str] | None = None
    types: list[str] | None = None
    after: dict[str, Position] | None = None
    secret: str | None = None


class WebhookChangeBody(msgspec.Struct, rename="camel"):
    """Only what it names changes. ``isActive`` again: it goes on where it stopped."""

    url: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    services: list[str] | UnsetType = UNSET
    types: list[str] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class ReplayBody(msgspec.Struct, rename="camel"):
    """``after`` 0: from the beginning."""

    service: str
    after: Position


class WebhookOut(msgspec.Struct, rename="camel"):
    """``ended``: why Theke stopped by itself: ``failing`` (nothing was taken for 72 hours), ``gone`` (the answer was 410), or empty.
    ``positions``: how far it has been sent, by service."""

    id: str
    url: str
    description: str
    services: list[str]
    types: list[str]
    is_active: bool
    ended: Literal["", "failing", "gone"]
    positions: dict[str, int]
    failures: int
    failing_since: str | None
    next_attempt: str | None
    created_date: str
    changed_date: str


class WebhookSecretOut(WebhookOut, rename="camel"):
    """``secret``: shown in this answer and never again."""

    secret: str = ""


class DeliveryOut(msgspec.Struct, rename="camel"):
    """``outcome``: ``taken``, ``gone`` (410), ``refused`` (any other status), or without an answer ``timeout``, ``unreachable``, ``tls``,
    ``name_unknown``, ``address_not_allowed``; then ``status`` is 0."""

    number: int
    date: str
    service: str
    position: int
    event_id: UUID
    type: str
    attempt: int
    status: int
    outcome: str
    milliseconds: int


class DeletedOut(msgspec.Struct, rename="camel"):
    id: str


def webhook_out(webhook: Webhook) -> WebhookOut:
    return WebhookOut(
        id=webhook.key,
        url=webhook.url,
        description=webhook.description,
        services=[*webhook.services],
        types=[*webhook.types],
        is_active=webhook.active,
        ended=webhook.ended,
        positions=dict(webhook.positions),
        failures=webhook.failures,
        failing_since=shapes.maybe_moment(webhook.failing_since),
        next_attempt=shapes.maybe_moment(webhook.next_attempt),
        created_date=shapes.moment(webhook.created_at),
        changed_date=shapes.moment(webhook.changed_at),
    )


def _with_secret(found: WebhookSecret) -> WebhookSecretOut:
    return WebhookSecretOut(**msgspec.structs.asdict(webhook_out(found.webhook)), secret=found.secret)


def _delivery_out(delivery: Delivery) -> DeliveryOut:
    return DeliveryOut(
        number=delivery.number,
        date=shapes.moment(delivery.at),
        service=delivery.service,
        position=delivery.position,
        event_id=delivery.event,
        type=delivery.type,
        attempt=delivery.attempt,
        status=delivery.status,
        outcome=delivery.outcome,
        milliseconds=delivery.milliseconds,
    )


async def webhooks(call: Call) -> list[WebhookOut]:
    """Where events are sent to."""
    return [webhook_out(one) for one in await call.query("auth", "webhook.list", {}, list[Webhook])]


async def webhook(call: Call) -> WebhookOut:
    """One of them, and how far it is."""
    return _tagged(call, await call.query("auth", "webhook.get", _named(call), Webhook))


async def create_webhook(call: Call) -> WebhookSecretOut:
    """From now on events are sent there. The answer has the secret that they are signed with."""
    body: WebhookBody = call.body
    asked = CreateWebhook(
        url=body.url,
        description=body.description or "",
        services=tuple(body.services or ()),
        types=tuple(body.types or ()),
        after=body.after or {},
        secret=body.secret or "",
    )
    return _with_secret(await call.command("auth", "webhook.create", asked, WebhookSecret))


async def change_webhook(call: Call) -> WebhookOut:
    """Changes the fields it names, and tries at once again."""
    body: WebhookChangeBody = call.body
    asked = ChangeWebhook(
        key=_key(call),
        if_match=if_match(call),
        url=body.url,
        description=body.description,
        services=UNSET if body.services is UNSET else tuple(body.services),
        types=UNSET if body.types is UNSET else tuple(body.types),
        active=body.is_active,
    )
    return _tagged(call, await call.command("auth", "webhook.change", asked, Webhook))


async def delete_webhook(call: Call) -> DeletedOut:
    """Nothing is sent there any more."""
    asked = DeleteWebhook(key=_key(call), if_match=if_match(call))
    return DeletedOut((await call.command("auth", "webhook.delete", asked, WebhookDeleted)).key)


async def new_secret(call: Call) -> WebhookSecretOut:
    """Another secret. For a day events are signed with that before too."""
    return _with_secret(await call.command("auth", "webhook.secret", _named(call), WebhookSecret))


async def replay(call: Call) -> WebhookOut:
    """Goes on behind a position of a service's log, whatever was sent before."""
    body: ReplayBody = call.body
    asked = ReplayWebhook(key=_key(call), service=body.service, after=body.after)
    return webhook_out(await call.command("auth", "webhook.replay", asked, Webhook))


async def deliveries(call: Call) -> list[DeliveryOut]:
    """The last attempts, the newest first."""
    asked = ListDeliveries(key=_key(call), limit=call.number("limit") or DELIVERIES_DEFAULT)
    return [_delivery_out(one) for one in await call.query("auth", "webhook.deliveries", asked, list[Delivery])]


def _tagged(call: Call, webhook: Webhook) -> WebhookOut:
    """Its tag is of what can be changed; how far it is changes by itself."""
    call.tag, call.tag_live = etag(call.principal.instance, TAGGED, webhook.key, webhook.version), True
    return webhook_out(webhook)


def _key(call: Call) -> str:
    return call.id("id", MISSING)


def _named(call: Call) -> WebhookByKey:
    return WebhookByKey(key=_key(call))


_ONE: Final = "/api/v1/webhooks/{id}"
_LIMIT: Final = Param("limit", Form.WHOLE, "How many.", 1, DELIVERIES_KEPT, default=DELIVERIES_DEFAULT, example=5)
ROUTES: Final = (
    Route("GET", "/api/v1/webhooks", "Webhooks", webhooks, asks=("auth.webhook.list",)),
    Route("POST", "/api/v1/webhooks", "Webhooks", create_webhook, WebhookBody, status=201, refuses=(410,), asks=("auth.webhook.create",)),
    Route("GET", _ONE, "Webhooks", webhook, params=(IF_NONE_MATCH,), asks=("auth.webhook.get",)),
    Route("PUT", _ONE, "Webhooks", change_webhook, WebhookChangeBody, params=(IF_MATCH,), asks=("auth.webhook.change",)),
    Route("DELETE", _ONE, "Webhooks", delete_webhook, params=(IF_MATCH,), asks=("auth.webhook.delete",)),
    Route("POST", f"{_ONE}/secret", "Webhooks", new_secret, asks=("auth.webhook.secret",)),
    Route("POST", f"{_ONE}/replay", "Webhooks", replay, ReplayBody, refuses=(410,), asks=("auth.webhook.replay",)),
    Route("GET", f"{_ONE}/deliveries", "Webhooks", deliveries, params=(_LIMIT,), asks=("auth.webhook.deliveries",)),
)
