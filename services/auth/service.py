"""Wiring of auth."""

from __future__ import annotations

import asyncio
from typing import Final

from libs.bus.client import Client
from libs.bus.server import Handler
from libs.bus.subjects import Call, subject_name
from libs.contracts.auth import access
from libs.contracts.auth.applications import APPLICATIONS as APPLICATIONS_OF_THE_ERP
from libs.contracts.auth.events import RECORD_EVENTS
from libs.contracts.auth.rights import OPERATE, STAFF, WRITE
from libs.contracts.auth.users import USER_ROW
from libs.contracts.auth.users import USERS as USERS_OF_THE_ERP
from libs.records.keyed import Keyed
from libs.runtime.asking import Services
from libs.runtime.erp import Forgetting, erp_parts
from libs.runtime.published import published_events
from libs.runtime.records import record_parts
from libs.runtime.resources import ResourceReads
from libs.runtime.sealed import Sealed
from libs.runtime.secrets import Secrets
from libs.runtime.service import Host, Service
from services.auth import access_tokens, api_keys, instances, oauth_doors, operators, sessions, staff
from services.auth.applications import APPLICATIONS
from services.auth.attempts import Attempts
from services.auth.client_check import ClientCheck
from services.auth.codes import Codes, new_code_key
from services.auth.doors import Doors
from services.auth.oauth_doors import OAuthDoors
from services.auth.operators import OperatorDoors
from services.auth.password_check import PasswordCheck
from services.auth.permissions import check_permission
from services.auth.projections import CREDENTIALS, INSTANCES, LOGINS, REVOCATIONS
from services.auth.queries import QUERIES
from services.auth.records import USERS
from services.auth.safekeeping import Safekeeping
from services.auth.staff_doors import StaffDoors
from services.auth.staff_queries import STAFF_QUERIES
from services.auth.throttle import PasswordTries
from services.auth.token_doors import TokenDoors
from services.auth.token_tables import TOKEN_PROJECTIONS
from services.auth.tokens import TokenMint, new_mac_key, new_signing_key
from services.auth.webhooks import doors as webhook_doors
from services.auth.webhooks.courier import Courier, WallTimer
from services.auth.webhooks.delivering import SENDING_MAX, Deliveries
from services.auth.webhooks.doors import WebhookDoors
from services.auth.webhooks.places import Places
from services.auth.webhooks.sending import HttpPost

HEARTBEAT_EVERY_S = 1.0
SIGNING_KEY: Final = "signing key"
MAC_KEY: Final = "refresh key"
CODE_KEY: Final = "code key"
CARD_KEY: Final = "card key"


async def _extend(host: Host) -> None:
    secrets = Secrets(host.log_dsn, "auth")
    await secrets.open()
    host.on_stop(secrets.close)
    attempts = Attempts(secrets)
    await attempts.open()
    # every replica finds the same keys; the first one makes them
    mint = TokenMint(await secrets.keep(0, SIGNING_KEY, new_signing_key()), await secrets.keep(0, MAC_KEY, new_mac_key()))
    safe = Safekeeping(secrets, await secrets.keep(0, CARD_KEY, new_mac_key()), demo=host.settings.demo)
    tries = PasswordTries(secrets)
    await tries.open()
    check = PasswordCheck(host.tables, safe, tries)
    doors, staff_doors = Doors(host, safe, check, attempts, mint), StaffDoors(host, safe)
    operator_doors = OperatorDoors(host, safe, tries)
    clients = ClientCheck(host.tables, secrets)
    token_doors = TokenDoors(host, check, clients)
    oauth = OAuthDoors(host, check, clients, mint, Codes(await secrets.keep(0, CODE_KEY, new_code_key())))
    host.server.register(Call.QUERY, "keys", doors.keys)
    host.server.register(Call.QUERY, subject_name("token.resolve"), token_doors.resolve)
    answers: dict[str, Handler] = {
        "login": doors.login,
        "pin": doors.pin,
        "card": doors.card,
        "switch": doors.switch,
        "refresh": doors.refresh,
        "staff.create": staff_doors.create,
        "staff.change": staff_doors.change,
        "user.set_password": doors.set_password,
        "user.set_first_password": doors.set_first_password,
        "token.login": token_doors.login,
        "application.set_secret": token_doors.set_client_secret,
        "operator.add": operator_doors.add,
        "operator.check": operator_doors.check,
        **oauth_doors.doors(oauth),
    }
    webhooks = await _open_webhooks(host, secrets)
    answers |= webhooks.commands()
    for name, answer in webhooks.queries().items():
        host.server.register(Call.QUERY, subject_name(name), answer)
    assert answers.keys() | webhooks.queries().keys() == DOORS.keys()
    for name, answer in answers.items():
        host.server.register(Call.COMMAND, subject_name(name), answer)
    await Forgetting(host, ERP.family, also={"user.delete": "users", "application.delete": "applications"}).start()
    host.run(_heartbeat(host))


async def _open_webhooks(host: Host, secrets: Secrets) -> WebhookDoors:
    """Asks other services over the connection that there is."""
    client = Client(host.connection)
    await client.open()
    host.on_stop(client.close)
    services, sealed, places = Services(client), await Sealed.open(secrets), Places(secrets)
    await places.open()
    post = HttpPost(private=host.settings.webhook_private)
    host.on_stop(post.close)
    courier = Courier(places, post, WallTimer(), sealed.get, asyncio.Semaphore(SENDING_MAX))
    await Deliveries(host, services, places, courier, tuple(published_events())).start()
    return WebhookDoors(host, services, sealed, places, private=host.settings.webhook_private)


async def _heartbeat(host: Host) -> None:
    """Gateways that hear nothing for a while ask what they may have missed."""
    while True:
        host.live.publish("auth", "heartbeat", b"")
        await asyncio.sleep(HEARTBEAT_EVERY_S)


# what carries a secret, by the right it needs; somebody's own password may be set without
DOORS: Final = {
    **dict.fromkeys(("login", "pin", "card", "switch", "refresh", "user.set_password", "user.set_first_password"), ("", WRITE)),
    **dict.fromkeys(("token.login", *oauth_doors.NAMES), ("", WRITE)),
    **dict.fromkeys(("application.set_secret", "operator.add", "operator.check"), (OPERATE, WRITE)),
    **dict.fromkeys(("staff.create", "staff.change"), (STAFF, WRITE)),
    **webhook_doors.DOORS,
}

_parts = record_parts(USERS, APPLICATIONS)
ERP = erp_parts("auth", {"access": access.RECORDS}, RECORD_EVENTS, {"permission": check_permission}, (Keyed(USERS, USER_ROW),))
_seen = tuple(query for seen in (USERS_OF_THE_ERP, APPLICATIONS_OF_THE_ERP) for query in ResourceReads(seen).queries())
SERVICE = Service(
    "auth",
    commands=(
        *ERP.commands,
        *staff.COMMANDS,
        *APPLICATIONS.commands(),
        *instances.COMMANDS,
        operators.REMOVE,
        *api_keys.COMMANDS,
        sessions.CONFIRM,
        sessions.END,
        access_tokens.REVOKE,
    ),
    projections=(
        *_parts.projections,
        *ERP.projections,
        INSTANCES,
        operators.OPERATORS,
        api_keys.API_KEYS,
        CREDENTIALS,
        LOGINS,
        REVOCATIONS,
        *TOKEN_PROJECTIONS,
    ),
    queries=(*_parts.queries, *ERP.queries, *_seen, *QUERIES, *STAFF_QUERIES, *operators.QUERIES, *api_keys.QUERIES),
    extend=_extend,
    doors=DOORS,
)
