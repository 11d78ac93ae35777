"""Who may do what on the bus, as NATS is told it: users of Theke's own account with the subjects they need, and an account per instance
for downstream systems, which holds mirrors of that instance's logs and reaches nothing else.

What makes it hold: NATS does not check where an answer is to go, and JetStream answers wherever a request says. So

* only the keeper, with the operator's user, declares streams and reads their messages: a stream's configuration can have the server publish
  anywhere, and a message that is got raw can be a forged request;
* services answer to inboxes only, which nobody but their owner hears and nobody can guess;
* a mirror never has the name of the stream it copies: else only the parser's strictness would keep an answer that says what a mirror's
  consumer looks like from being the request to make such a consumer of the log's own stream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from libs.bus import limits, subjects
from libs.bus.streams import KEEPER, STREAM, life_of
from libs.contracts.asks import ASKS, Asks
from libs.domain.ids import instance_token

MAIN: Final = "THEKE"
OPERATOR: Final = "theke"
GATEWAY: Final = "gateway"
SERVICES: Final = tuple(ASKS)
ORIGIN: Final = "THEKE"  # the prefix by which an instance's account reaches what it may of the main one
INBOXES: Final = "_INBOX.>"

EXPORTS: Final = (
    {"service": "$JS.API.CONSUMER.CREATE.*.>"},
    {"service": "$JS.API.STREAM.INFO.*"},
    {"service": "$JS.ACK.>"},
    {"service": "$JS.FC.>"},
    {"stream": "deliver.>"},
)
READS_OF_MIRRORS: Final = (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.DIRECT.GET.>",
    "$JS.API.CONSUMER.>",
    *(f"$JS.{kind}.EVT_{service}.>" for kind in ("ACK", "FC") for service in SERVICES),  # of mirrors, not of what they copy
)


class User(msgspec.Struct, frozen=True):
    """``publish`` and ``subscribe`` None: everything in its account."""

    name: str
    publish: tuple[str, ...] | None = None
    subscribe: tuple[str, ...] | None = None


def service_user(name: str, asks: Asks) -> User:
    """A service hears its own requests and what it publishes for itself; of others it asks what is written down."""
    publish = (
        f"evt.{name}.>",
        f"int.{name}.>",
        f"live.{name}.>",
        "live.theke.switched",
        f"cmd.{name}.>",
        f"qry.{name}.>",
        INBOXES,
        "$JS.API.STREAM.INFO.*",
        subjects.query(KEEPER, STREAM),
        subjects.query(KEEPER, life_of(name)),
        subjects.cancel(KEEPER),
        *(f"cmd.{other}.{asked}" for other, names in asks.commands.items() for asked in names if other != name),
        *(f"qry.{other}.{asked}" for other, names in asks.queries.items() for asked in names if other != name),
        *(subjects.cancel(other) for other in sorted({name, *asks.commands, *asks.queries})),
    )
    subscribe = (
        f"cmd.{name}.>",
        f"qry.{name}.>",
        subjects.cancel(name),
        f"int.{name}.>",
        f"live.{name}.>",
        "live.theke.switched",
        subjects.inboxes(name),
        *(subjects.published_of(other) for other in asks.hears),
    )
    return User(name, publish, subscribe)


def gateway_user() -> User:
    """The gateway asks every service, not the keeper, and hears what was published; it publishes nothing itself."""
    return User(
        GATEWAY,
        (*(f"{kind}.{service}.*" for kind in ("cmd", "qry") for service in SERVICES), *map(subjects.cancel, SERVICES), INBOXES),
        ("evt.>", "live.auth.heartbeat", subjects.inboxes(GATEWAY)),
    )


def users() -> tuple[User, ...]:
    """Of the main account, the operator first."""
    return (User(OPERATOR), *(service_user(name, asks) for name, asks in ASKS.items()), gateway_user())


def reader(instance: int) -> User:
    """Downstream systems of an instance: they read its mirrors and acknowledge."""
    return User(instance_token(instance), READS_OF_MIRRORS, (INBOXES,))


def keeper(instance: int) -> User:
    """Theke itself in an instance's account: it makes the mirrors."""
    return User(f"{instance_token(instance)}-keeper", ("$JS.API.STREAM.>", f"{ORIGIN}.API.STREAM.INFO.>"), (INBOXES,))


def mirror_of(service: str) -> str:
    """The name of the mirror of a service's log in an instance's account."""
    return f"EVT_{subjects.token(service)}"


def mirror_config(service: str, instance: int, *, replicas: int = 1) -> dict[str, Any]:
    """A copy of the published events of a log, under the positions they have there."""
    origin, (published, _) = subjects.log_stream(service, instance), subjects.log_stream_subjects(service, instance)
    return {
        "name": mirror_of(service),
        "mirror": {
            "name": origin,
            "filter_subject": published,
            "external": {"api": f"{ORIGIN}.API", "deliver": f"deliver.{instance_token(instance)}"},
        },
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": limits.RELAY_STREAM_MAX_AGE_DAYS * limits.DAY_NS,
        "num_replicas": replicas,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
    }


def origin_info(service: str, instance: int) -> str:
    """The subject by which an instance's account sees the stream of a log; it is answered once the account's imports work."""
    return f"{ORIGIN}.API.STREAM.INFO.{subjects.log_stream(service, instance)}"


# --- as text -------------------------------------------------------------------------------------------------------------------


Password = Callable[[str], str]
"""By user, as the server's configuration has it: a quoted text, or a ``$variable``."""


def main_account(password: Password) -> str:
    """The account of Theke itself, one of the server's ``accounts``."""
    shown = [_user(user, password(user.name)) for user in users()]
    return _block(MAIN, ["jetstream: enabled", *_list("users", shown), *_list("exports", map(_map, EXPORTS))])


def instance_accounts(password: Password, instances: Sequence[int]) -> str:
    """The accounts of instances, to be included among the server's ``accounts``."""
    return "".join(_instance_account(password, instance) for instance in instances)


def _instance_account(password: Password, instance: int) -> str:
    own = instance_token(instance)
    # no bound on bytes: the server would set it aside for every account; its users store nothing, so mirrors are all there is
    most = f"max_streams: {len(SERVICES)}, max_consumers: {limits.DOWNSTREAM_CONSUMERS_MAX}"
    bounds = f"max_connections: {limits.DOWNSTREAM_CONNECTIONS_MAX}, max_subscriptions: {limits.DOWNSTREAM_SUBSCRIPTIONS_MAX}"
    imports = [*(_map(one) for service in SERVICES for one in _imports(service, instance)), _map(_stream_import(own))]
    readers = [_user(user, password(user.name)) for user in (reader(instance), keeper(instance))]
    return _block(
        own.upper(), [f"jetstream: {{ {most} }}", f"limits: {{ {bounds} }}", *_list("users", readers), *_list("imports", imports)]
    )


def _imports(service: str, instance: int) -> Iterator[dict[str, Any]]:
    stream = subjects.log_stream(service, instance)
    for subject, to in (
        (f"$JS.API.CONSUMER.CREATE.{stream}.>", f"{ORIGIN}.API.CONSUMER.CREATE.{stream}.>"),
        (f"$JS.API.STREAM.INFO.{stream}", origin_info(service, instance)),
        (f"$JS.ACK.{stream}.>", ""),
        (f"$JS.FC.{stream}.>", ""),
    ):
        yield {"service": {"account": MAIN, "subject": subject}, **({"to": to} if to else {})}


def _stream_import(own: str) -> dict[str, Any]:
    return {"stream": {"account": MAIN, "subject": f"deliver.{own}.>"}}


def _user(user: User, password: str) -> str:
    text = f"user: {json.dumps(user.name)}, password: {password}"
    if user.publish is not None and user.subscribe is not None:
        text += f", permissions: {{ publish: {json.dumps(user.publish)}, subscribe: {json.dumps(user.subscribe)} }}"
    return f"{{ {text} }}"


def _map(value: Mapping[str, Any]) -> str:
    return json.dumps(value)


def _list(name: str, lines: Iterable[str]) -> list[str]:
    return [f"{name}: [", *(f"  {line}" for line in lines), "]"]


def _block(name: str, lines: Sequence[str]) -> str:
    inside = "\n".join(f"    {line}" for line in lines)
    return f"  {name}: {{\n{inside}\n  }}\n"
