"""Ids. A command's id decides everything that follows from it: a repeat of the command makes the same things again, not new ones."""

from __future__ import annotations

import base64
from uuid import UUID, uuid5

NAMESPACE = UUID("6f1f1a3c-7b0e-5d4e-9a53-2f6f0c9d7e11")


def command_id(instance: int, principal: str, route: str, key: str) -> UUID:
    """The id of a command that a client may repeat: same instance, principal, route and Idempotency-Key, same id."""
    return uuid5(NAMESPACE, f"{instance}\n{principal}\n{route}\n{key}")


def derived(cause: UUID, step: str | int) -> UUID:
    """An id for the ``step``-th thing that ``cause`` brings about."""
    return uuid5(cause, str(step))


def key_of(prefix: str, value: UUID) -> str:
    """``art_…``: a prefix and the 128 bits in 26 lower-case base32 characters, safe in paths, subjects and file names."""
    return f"{prefix}_{base64.b32encode(value.bytes).decode().rstrip('=').lower()}"


def instance_token(instance: int) -> str:
    """An instance as subjects and stream names write it: ``i17``."""
    return f"i{instance}"
