"""Webhooks at the door: checked, their secrets put away, and shown with how far they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from msgspec import UNSET

from libs.bus.client import Reply
from libs.bus.server import Handler, Request
from libs.contracts.auth.rights import DOWNSTREAM, READ, WRITE
from libs.contracts.auth.webhooks import (
    DELIVERIES_KEPT,
    DESCRIPTION_MAX_CHARS,
    TYPES_MAX,
    URL_MAX_CHARS,
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    ListDeliveries,
    ReplayWebhook,
    Webhook,
    WebhookByKey,
    WebhookDeleted,
    WebhookSecret,
)
from libs.domain.decider import Command, CommandType
from libs.domain.errors import DomainError, FieldError, Kind, invalid, not_found
from libs.domain.principal import Principal
from libs.runtime.asking import Services
from libs.runtime.dispatcher import command_of, decoded, principal_of
from libs.runtime.published import published_events
from libs.runtime.sealed import Sealed
from libs.runtime.service import Host
from services.auth.webhooks import signatures
from services.auth.webhooks.addresses import is_public
from services.auth.webhooks.endpoints import (
    CHANGE_SECRET,
    DELETE,
    NONE,
    REPLAY,
    STREAM,
    ChangeEndpoint,
    ChangeSecret,
    CreateEndpoint,
    DeleteEndpoint,
    Endpoint,
    Endpoints,
    ReplayEndpoint,
    change_command,
    create_command,
    folded,
)
from services.auth.webhooks.places import Place, Places

COMMANDS: Final = ("create", "change", "secret", "replay", "delete")
QUERIES: Final = ("list", "get", "deliveries")
DOORS: Final = {
    **{f"webhook.{name}": (DOWNSTREAM, WRITE) for name in COMMANDS},
    **{f"webhook.{name}": (DOWNSTREAM, READ) for name in QUERIES},
}


class WebhookDoors:
    """``private``: any address may be sent to, also without TLS."""

    def __init__(self, host: Host, services: Services, sealed: Sealed, places: Places, *, private: bool) -> None:
        self._host = host
        self._services = services
        self._sealed = sealed
        self._places = places
        self._private = private
        self._create = create_command(self._heads)
        self._change = change_command(self._heads)

    def commands(self) -> dict[str, Handler]:
        return {f"webhook.{name}": getattr(self, name) for name in COMMANDS}

    def queries(self) -> dict[str, Handler]:
        return {f"webhook.{name}": getattr(self, name) for name in QUERIES}

    # commands

    async def create(self, request: Request) -> Reply:
        """With its secret, which is told now and never again; a repeat of the request gets the same."""
        principal, id_, asked = self._asked(request, CreateWebhook)
        services = asked.services or tuple(published_events())
        faults = [
            *_url_faults(asked.url, private=self._private),
            *_faults(asked.description, services, asked.types),
            *([FieldError("secret", "not_a_webhook_secret")] if asked.secret and not signatures.is_secret(asked.secret) else ()),
            *(FieldError("after", "not_known", {"value": service[:50]}) for service in asked.after if service not in services),
        ]
        if faults:
            raise invalid(*faults)
        for service, after in asked.after.items():
            await self._check_position(principal.instance, service, after)
        name = _secret_name(id_)
        secret = await self._kept(principal.instance, name, asked.secret)
        body = CreateEndpoint(
            url=asked.url, secret=name, description=asked.description, services=services, types=asked.types, starts=asked.after
        )
        return await self._told(self._create, command_of(request, principal, body, id_), request, secret)

    async def change(self, request: Request) -> Reply:
        principal, id_, asked = self._asked(request, ChangeWebhook)
        names = ("url", "description", "services", "types", "active")
        named = {name: value for name in names if (value := getattr(asked, name)) is not UNSET}
        if named.get("services") == ():
            named["services"] = tuple(published_events())
        faults = [
            *(_url_faults(named["url"], private=self._private) if "url" in named else ()),
            *_faults(named.get("description", ""), named.get("services", ()), named.get("types", ())),
        ]
        if faults:
            raise invalid(*faults)
        command = command_of(request, principal, ChangeEndpoint(key=asked.key, if_match=asked.if_match, **named), id_)
        return await self._executed(self._change, command, request)

    async def secret(self, request: Request) -> Reply:
        """Another secret. That before signs too for a day, so that receivers can change over."""
        principal, id_, asked = self._asked(request, WebhookByKey)
        name = _secret_name(id_)
        await self._endpoint(principal.instance, asked.key)
        secret = await self._kept(principal.instance, name, "")
        command = command_of(request, principal, ChangeSecret(key=asked.key, secret=name), id_)
        return await self._told(CHANGE_SECRET, command, request, secret)

    async def replay(self, request: Request) -> Reply:
        principal, id_, asked = self._asked(request, ReplayWebhook)
        if asked.service not in published_events():
            raise invalid(FieldError("service", "not_known", {"value": asked.service[:50]}))
        await self._endpoint(principal.instance, asked.key)
        await self._check_position(principal.instance, asked.service, asked.after)
        body = ReplayEndpoint(key=asked.key, service=asked.service, after=asked.after)
        return await self._executed(REPLAY, command_of(request, principal, body, id_), request)

    async def delete(self, request: Request) -> Reply:
        principal, id_, asked = self._asked(request, DeleteWebhook)
        command = command_of(request, principal, DeleteEndpoint(key=asked.key, if_match=asked.if_match), id_)
        _, behind = await self._host.dispatcher.execute(DELETE, command, timeout=request.left())
        return Reply(msgspec.msgpack.encode(WebhookDeleted(key=asked.key)), behind)

    def _asked(self, request: Request, body: Any) -> tuple[Principal, UUID, Any]:
        principal = _principal(request, write=True)
        if request.command_id is None:
            raise invalid(FieldError("command_id", "required"))
        return principal, request.command_id, decoded(request.body, body)

    async def _executed(self, type_: CommandType, command: Command[Any], request: Request) -> Reply:
        endpoint, behind = await self._host.dispatcher.execute(type_, command, timeout=request.left())
        return Reply(msgspec.msgpack.encode(await self._shown(command.instance, endpoint)), behind)

    async def _told(self, type_: CommandType, command: Command[Any], request: Request, secret: str) -> Reply:
        endpoint, behind = await self._host.dispatcher.execute(type_, command, timeout=request.left())
        shown = WebhookSecret(webhook=await self._shown(command.instance, endpoint), secret=secret)
        return Reply(msgspec.msgpack.encode(shown), behind)

    async def _kept(self, instance: int, name: str, wanted: str) -> str:
        """The secret behind a name, put away now or by the same request before. Raises ``key_misuse`` if that brought another one."""
        kept = await self._sealed.keep(instance, name, wanted or signatures.new_secret())
        if wanted and kept != wanted:
            raise DomainError(Kind.UNPROCESSABLE, "key_misuse")
        return kept

    async def _heads(self, instance: int, services: Sequence[str]) -> Mapping[str, int]:
        return {service: (await self._services.heads(service)).get(instance, 0) for service in services}

    async def _check_position(self, instance: int, service: str, after: int) -> None:
        if after < 0:
            raise invalid(FieldError("after", "expected_integer"))
        head = (await self._heads(instance, [service]))[service]
        if after > head:
            raise DomainError(Kind.GONE, "position_unknown", {"after": after, "head": head})

    # queries

    async def list(self, request: Request) -> bytes:
        principal = _principal(request, write=False)
        places = await self._places.all_of(principal.instance)
        endpoints = (await self._endpoints(principal.instance)).values()
        return msgspec.msgpack.encode([view(endpoint, places.get(endpoint.key)) for endpoint in endpoints])

    async def get(self, request: Request) -> bytes:
        principal, asked = _principal(request, write=False), decoded(request.body, WebhookByKey)
        return msgspec.msgpack.encode(await self._shown(principal.instance, await self._endpoint(principal.instance, asked.key)))

    async def deliveries(self, request: Request) -> bytes:
        principal, asked = _principal(request, write=False), decoded(request.body, ListDeliveries)
        await self._endpoint(principal.instance, asked.key)
        limit = min(max(asked.limit, 1), DELIVERIES_KEPT)
        return msgspec.msgpack.encode(await self._places.deliveries(principal.instance, asked.key, limit))

    async def _shown(self, instance: int, endpoint: Endpoint) -> Webhook:
        return view(endpoint, (await self._places.all_of(instance)).get(endpoint.key))

    async def _endpoint(self, instance: int, key: str) -> Endpoint:
        found = (await self._endpoints(instance)).get(key)
        if found is None:
            raise not_found("webhook_not_found", id=key)
        return found

    async def _endpoints(self, instance: int) -> Endpoints:
        """By the log, so as they are now."""
        head = (await self._host.log.heads()).get(instance, 0)
        return folded(await self._host.log.read_stream(instance, STREAM, head)).get(instance, NONE)


def _principal(request: Request, *, write: bool) -> Principal:
    principal = principal_of(request)
    if not principal.may(DOWNSTREAM, write=write):
        raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": DOWNSTREAM})
    return principal


def _secret_name(id_: UUID) -> str:
    return f"webhook secret {id_}"


def view(endpoint: Endpoint, place: Place | None) -> Webhook:
    sent = place.starts if place is not None else {}
    positions = {
        service: (sent[service] if service in sent and sent[service].said >= start.said else start).after
        for service, start in endpoint.starts.items()
        if service in endpoint.services
    }
    stands = place if place is not None and (place.version == endpoint.version or endpoint.ended) else None
    return Webhook(
        key=endpoint.key,
        version=endpoint.version,
        url=endpoint.url,
        description=endpoint.description,
        services=endpoint.services,
        types=endpoint.types,
        active=endpoint.active,
        ended=endpoint.ended,
        created_at=endpoint.created_at,
        changed_at=endpoint.changed_at,
        positions=positions,
        failures=stands.failures if stands else 0,
        failing_since=stands.failing_since if stands else None,
        next_attempt=stands.next_attempt if stands and endpoint.active else None,
    )


# --- what is wrong ------------------------------------------------------------------------------------------------------------


def _url_faults(url: str, *, private: bool) -> list[FieldError]:
    if len(url) > URL_MAX_CHARS:
        return [FieldError("url", "too_long", {"max": URL_MAX_CHARS})]
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return [FieldError("url", "not_a_web_address")]
    plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url and not parts.fragment and "@" not in parts.netloc
    if not plain or not host or parts.scheme not in ("https", *(("http",) if private else ())):
        return [FieldError("url", "not_a_web_address")]
    return [FieldError("url", "address_private")] if not private and _is_address(host) and not is_public(host) else []


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _faults(description: str, services: Sequence[str], types: Sequence[str]) -> list[FieldError]:
    faults: list[FieldError] = []
    if len(description) > DESCRIPTION_MAX_CHARS:
        faults.append(FieldError("description", "too_long", {"max": DESCRIPTION_MAX_CHARS}))
    elif not description.isprintable():
        faults.append(FieldError("description", "unprintable"))
    published = published_events()
    known = {type_ for events in published.values() for type_ in events}
    for field, values, allowed, most in (("services", services, published.keys(), len(published)), ("types", types, known, TYPES_MAX)):
        if len(values) > most:
            faults.append(FieldError(field, "too_many", {"max": most}))
        elif len(set(values)) < len(values):
            faults.append(FieldError(field, "repeated"))
        else:
            faults += [
                FieldError(f"{field}[{ix}]", "not_known", {"value": one[:50]}) for ix, one in enumerate(values) if one not in allowed
            ]
    return faults
