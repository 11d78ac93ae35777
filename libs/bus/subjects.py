"""The only place where subjects are written. Every token is checked: a dot or a wildcard in one would leak across filters.

``cmd.<service>.<command>``  ``qry.<service>.<query>``  requests, answered by one replica of the service
``evt.<service>.<i17>.<aggregate>.<event>``             events of the published language, ``int.…`` all other events
``live.<service>.<kind>``                               hints that may get lost: pokes, heartbeats
``ctl.<service>.cancel``                                a client gave a query up
``_INBOX.<who asks>.<secret>.<secret>``                 one answer: only who asks hears it, only who was asked knows it
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

from libs.domain.ids import instance_token

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Call(StrEnum):
    """The two kinds of request: a command may change something and is never cancelled, a query changes nothing."""

    COMMAND = "cmd"
    QUERY = "qry"


def token(value: str) -> str:
    """``value`` itself if it can be one token of a subject; ValueError if not."""
    if _TOKEN.fullmatch(value) is None:
        raise ValueError(f"not a subject token: {value!r}")
    return value


def subject_name(name: str) -> str:
    """A command's or query's name as one token of a subject."""
    return name.replace(".", "_")


def _instance(instance: int) -> str:
    if instance < 0:
        raise ValueError(f"not an instance: {instance}")
    return instance_token(instance)


@lru_cache(maxsize=4096)
def request(call: Call, service: str, name: str) -> str:
    return f"{call}.{token(service)}.{token(name)}"


def command(service: str, name: str) -> str:
    return request(Call.COMMAND, service, name)


def query(service: str, name: str) -> str:
    return request(Call.QUERY, service, name)


def is_query(subject: str) -> bool:
    return subject.startswith("qry.")


def service_of(subject: str) -> str:
    """The service a request subject addresses."""
    return subject.split(".", 2)[1]


@lru_cache(maxsize=4096)
def published(service: str, instance: int, aggregate: str, event: str) -> str:
    """Where an event of the published language goes."""
    return f"evt.{token(service)}.{_instance(instance)}.{token(aggregate)}.{token(event)}"


def published_of(service: str) -> str:
    """All events of a service's published language, of every instance."""
    return f"evt.{token(service)}.>"


def published_in(service: str, instance: int) -> str:
    """All events of a service's published language, of one instance."""
    return f"evt.{token(service)}.{_instance(instance)}.>"


@lru_cache(maxsize=4096)
def internal(service: str, instance: int, aggregate: str, event: str) -> str:
    """Where an event goes that only its own service understands."""
    return f"int.{token(service)}.{_instance(instance)}.{token(aggregate)}.{token(event)}"


def internal_of(service: str, aggregate: str) -> str:
    """All events of a kind of streams that only their own service understands, of every instance."""
    return f"int.{token(service)}.*.{token(aggregate)}.>"


def live(service: str, kind: str) -> str:
    return f"live.{token(service)}.{token(kind)}"


def cancel(service: str) -> str:
    return f"ctl.{token(service)}.cancel"


def inboxes(owner: str) -> str:
    """All answers to one who asks."""
    return f"_INBOX.{token(owner)}.>"


def inbox(owner: str, secret: str) -> str:
    """What the answers to one process begin with."""
    return f"_INBOX.{token(owner)}.{token(secret)}."


def is_inbox(subject: str) -> bool:
    return subject.startswith("_INBOX.")


def log_stream(service: str, instance: int) -> str:
    """The name of the JetStream stream that copies a log."""
    return f"EVT_{token(service)}_{_instance(instance)}"


def log_stream_subjects(service: str, instance: int) -> tuple[str, str]:
    """The two subject trees that the stream of a log takes."""
    tail = f"{token(service)}.{_instance(instance)}.>"
    return f"evt.{tail}", f"int.{tail}"
