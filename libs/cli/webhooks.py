"""``theke webhooks``: where an instance's events are sent to, for systems that do not speak NATS."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from libs.cli import exits
from libs.cli.acting import act, operator_of
from libs.contracts.auth.webhooks import (
    DELIVERIES_DEFAULT,
    DELIVERIES_KEPT,
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    Delivery,
    ListDeliveries,
    ReplayWebhook,
    Webhook,
    WebhookDeleted,
    WebhookSecret,
)
from libs.domain.principal import Principal
from libs.runtime.asking import Services
from libs.runtime.config import Settings

T = TypeVar("T")

EPILOG: Final = """\
receipts to a bookkeeping system, those that there are first:
  theke webhooks create demo https://books.example/theke --service pos --type receipt.issued --after pos=0
  theke webhooks list demo                             how far it is, what fails since when
  theke webhooks deliveries demo whk_…                 the last attempts
  theke webhooks replay demo whk_… pos 1200            once more, what is behind position 1200
  theke webhooks resume demo whk_…                     after 72 hours of failures, or a 410

The secret that signs is told once, by create. How to check it: docs/how-to/receive-webhooks.md
"""


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "webhooks",
        help="where events are sent to",
        description="Events of an instance, sent to addresses of the web: each at least once, in order, signed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    parsers = {
        name: actions.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
        for name, help_ in (
            ("list", "list webhooks, and how far they are"),
            ("create", "send events to an address from now on"),
            ("deliveries", "show the last attempts"),
            ("replay", "go on behind a position of a service's log"),
            ("pause", "send nothing until resume"),
            ("resume", "send again, from where it stopped"),
            ("delete", "send nothing any more"),
        )
    }
    for name, parser in parsers.items():
        parser.add_argument("instance", metavar="INSTANCE")
        if name not in ("list", "create"):
            parser.add_argument("webhook", metavar="WEBHOOK", help="its id, whk_…")
        parser.add_argument("--json", action="store_true", help="for programs: one JSON value")
    create = parsers["create"]
    create.add_argument("url", metavar="URL")
    create.add_argument("--service", metavar="NAME", action="append", default=[], help="may be repeated; all if absent")
    create.add_argument("--type", metavar="TYPE", action="append", default=[], help="may be repeated: receipt.issued; all if absent")
    create.add_argument(
        "--after", metavar="SERVICE=POSITION", type=_start, action="append", default=[], help="begin there; 0: with the first event"
    )
    create.add_argument("--description", metavar="TEXT", default="")
    parsers["replay"].add_argument("service", metavar="SERVICE")
    parsers["replay"].add_argument("after", metavar="POSITION", type=_position, help="0: from the beginning")
    many = f"how many ({DELIVERIES_DEFAULT}), {DELIVERIES_KEPT} at most"
    parsers["deliveries"].add_argument("-n", type=_position, default=DELIVERIES_DEFAULT, metavar="COUNT", help=many)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    return act(settings, lambda services: _act(arguments, services))


async def _act(arguments: argparse.Namespace, services: Services) -> int:
    asking = Asking(services, await operator_of(services, arguments.instance))
    match arguments.action:
        case "list":
            found = await asking.listed()
            _print(arguments, found, "\n".join(map(_told, found)))
        case "create":
            wanted = CreateWebhook(
                url=arguments.url, description=arguments.description, services=tuple(arguments.service), types=tuple(arguments.type),
                after=dict(arguments.after),
            )  # fmt: skip
            made = await asking.created(wanted)
            _print(arguments, made, f"{_told(made.webhook)}\n  secret     {made.secret}   (told only now)")
        case "deliveries":
            attempts = await asking.deliveries(arguments.webhook, arguments.n)
            _print(arguments, attempts, "\n".join(map(_attempt, attempts)))
        case "replay":
            _show(arguments, await asking.replayed(arguments.webhook, arguments.service, arguments.after))
        case "pause" | "resume":
            _show(arguments, await asking.active(arguments.webhook, arguments.action == "resume"))
        case "delete":
            await asking.delete(arguments.webhook)
            _print(arguments, {"key": arguments.webhook}, "")
    return exits.DONE


class Asking:
    """Webhooks of an instance. Raises DomainError."""

    def __init__(self, services: Services, principal: Principal) -> None:
        self._services = services
        self._principal = principal

    async def listed(self) -> list[Webhook]:
        return await self._services.query("auth", "webhook.list", {}, list[Webhook], principal=self._principal)

    async def created(self, wanted: CreateWebhook) -> WebhookSecret:
        return await self._command("create", wanted, WebhookSecret)

    async def deliveries(self, key: str, limit: int) -> list[Delivery]:
        asked = ListDeliveries(key=key, limit=limit)
        return await self._services.query("auth", "webhook.deliveries", asked, list[Delivery], principal=self._principal)

    async def replayed(self, key: str, service: str, after: int) -> Webhook:
        return await self._command("replay", ReplayWebhook(key=key, service=service, after=after), Webhook)

    async def active(self, key: str, active: bool) -> Webhook:
        return await self._command("change", ChangeWebhook(key=key, active=active), Webhook)

    async def delete(self, key: str) -> None:
        await self._command("delete", DeleteWebhook(key=key), WebhookDeleted)

    async def _command(self, name: str, body: Any, answer: type[T]) -> T:
        found, _ = await self._services.command("auth", f"webhook.{name}", body, answer, principal=self._principal)
        return found


def _show(arguments: argparse.Namespace, webhook: Webhook) -> None:
    _print(arguments, webhook, _told(webhook))


def _print(arguments: argparse.Namespace, found: Any, text: str) -> None:
    if arguments.json:
        print(msgspec.json.encode(found).decode())
    elif text:
        print(text)


def _told(webhook: Webhook) -> str:
    state = "active" if webhook.active else f"ended ({webhook.ended})" if webhook.ended else "paused"
    lines = [f"{webhook.key}  {webhook.url}  {state}"]
    lines += [f"  {webhook.description}"] if webhook.description else []
    lines.append(f"  sent       {_positions(webhook.positions)}")
    lines += [f"  types      {', '.join(webhook.types)}"] if webhook.types else []
    if webhook.failing_since is not None:
        following = f", next attempt {webhook.next_attempt:%Y-%m-%d %H:%M:%S}" if webhook.next_attempt else ""
        lines.append(f"  fails      since {webhook.failing_since:%Y-%m-%d %H:%M:%S}, {webhook.failures} times{following}")
    return "\n".join(lines)


def _positions(positions: Mapping[str, int]) -> str:
    return ", ".join(f"{service} {position}" for service, position in positions.items())


def _attempt(one: Delivery) -> str:
    place = f"{one.service} {one.position}"
    said = f"{one.status} " if one.status else ""
    return f"{one.at:%Y-%m-%d %H:%M:%S}  {place:<18}  {one.type:<28}  {said}{one.outcome}  attempt {one.attempt}  {one.milliseconds} ms"


# --- what may be written on the command line ----------------------------------------------------------------------------------


def _position(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 0 is allowed")


def _start(text: str) -> tuple[str, int]:
    service, _, position = text.partition("=")
    if not service:
        raise argparse.ArgumentTypeError(f"{text!r}: a service and a position are allowed, pos=0")
    return service, _position(position)
