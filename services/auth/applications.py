"""Applications: programs that are known by a secret of their own. The secret's digest is kept in ``secrets``; the log only says that
there is another one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from libs.contracts.auth.access_tokens import Done
from libs.contracts.auth.events import APPLICATION_EVENTS
from libs.contracts.auth.records import APPLICATION
from libs.contracts.auth.rights import OPERATE
from libs.contracts.auth.token_events import ClientSecretSet
from libs.domain.decider import Aggregate, Command, CommandType, Decision, States, StreamRef
from libs.domain.errors import FieldError, not_found
from libs.domain.events import Recorded
from libs.records.engine import Records

IDENTIFIER: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
URL_MAX_CHARS: Final = 500
_AUTHORITY: Final = re.compile(r"[A-Za-z0-9.:\[\]-]+")
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def _check(values: Mapping[str, Any]) -> Iterable[FieldError]:
    if not IDENTIFIER.fullmatch(values["identifier"]):
        yield FieldError("identifier", "malformed", {"detail": IDENTIFIER.pattern})
    for number, url in enumerate(values["callbackurls"] or ()):
        if not _is_callback(url):
            yield FieldError(f"callbackurls[{number}]", "malformed", {"detail": "https://…"})


def _is_callback(url: str) -> bool:
    """Whether a browser may be sent there with a code: nobody on the way reads it, and nothing of it is for the browser alone."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and len(url) <= URL_MAX_CHARS and not set(url) & set(" \\\"'<>#")
    guarded = parts.scheme == "https" or (parts.scheme == "http" and host in LOCAL)
    return bool(plain and guarded and host and _AUTHORITY.fullmatch(parts.netloc))


APPLICATIONS: Final = Records(APPLICATION, APPLICATION_EVENTS, check=_check)


class KeepClientSecret(msgspec.Struct, frozen=True, kw_only=True):
    """``secret``: a name for it."""

    application: str
    secret: str


def evolve(_: str, event: Recorded) -> str:
    secret: ClientSecretSet = event.data
    return secret.secret


CLIENT_SECRET: Final = Aggregate("client_secret", "", evolve)


def _streams(command: Command[KeepClientSecret]) -> tuple[StreamRef, ...]:
    key = command.body.application
    return StreamRef(CLIENT_SECRET, key), StreamRef(APPLICATIONS.aggregate, key, reads=True)


def decide_set(states: States, command: Command[KeepClientSecret], _: Any) -> Decision:
    key = command.body.application
    if not states[APPLICATIONS.aggregate.stream(key)].exists:
        raise not_found("application_not_found", id=key)
    return Decision({CLIENT_SECRET.stream(key): [ClientSecretSet(application=key, secret=command.body.secret)]})


def _reply(_: States, command: Command[KeepClientSecret], __: Sequence[Recorded]) -> Done:
    return Done(key=command.body.application)


SET: Final = CommandType("client_secret.set", KeepClientSecret, _streams, decide_set, _reply, OPERATE)
