"""Ids. A command's id decides everything that follows from it: a repeat of the command makes the same things again, not new ones."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha1
from uuid import UUID

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _BASE32 for second in _BASE32]
_SHIFTS = range(120, -1, -10)
_UUID5_CLEARED = ~(0xF000 << 64 | 0xC000 << 48) & (1 << 128) - 1
_UUID5_SET = 5 << 76 | 0x8000 << 48

KEYS_KNOWN_MAX = 4_096  # a command asks for the key of its receipt again and again
NAMESPACE = UUID("6f1f1a3c-7b0e-5d4e-9a53-2f6f0c9d7e11")


def command_id(instance: int, principal: str, route: str, key: str) -> UUID:
    """The id of a command that a client may repeat: same instance, principal, route and Idempotency-Key, same id."""
    return _uuid5(NAMESPACE, f"{instance}\n{principal}\n{route}\n{key}")


def derived(cause: UUID, step: str | int) -> UUID:
    """An id for the ``step``-th thing that ``cause`` brings about: ``uuid5(cause, step)``."""
    return _uuid5(cause, str(step))


def _uuid5(namespace: UUID, name: str) -> UUID:
    """``uuid.uuid5`` without its detours."""
    digest = int.from_bytes(sha1(namespace.int.to_bytes(16) + name.encode(), usedforsecurity=False).digest()[:16])
    return UUID(int=digest & _UUID5_CLEARED | _UUID5_SET)


@lru_cache(maxsize=KEYS_KNOWN_MAX)
def key_of(prefix: str, value: UUID) -> str:
    """``art_…``: a prefix and the 128 bits in 26 lower-case base32 characters, safe in paths, subjects and file names."""
    bits = value.int << 2  # 130 bits: 13 pairs of characters
    return f"{prefix}_{''.join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])}"


def instance_token(instance: int) -> str:
    """An instance as subjects and stream names write it: ``i17``."""
    return f"i{instance}"
