"""Password hashing: argon2id, off the event loop, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from libs.domain.errors import unavailable

T = TypeVar("T")

MEMORY_KIB: Final = 19_456
PASSES: Final = 2
HASHES_AT_ONCE: Final = 2
HASHES_WAITING_MAX: Final = 64

COMMON: Final = frozenset(
    {"admin", "administrator", "password", "passwort", "theke", "demo", "12345678", "123456789", "password1", "passwort1"}
)


class Passwords:
    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
        self._threads = ThreadPoolExecutor(HASHES_AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> bytes:
        return (await self._run(self._hasher.hash, password)).encode()

    async def matches(self, hashed: bytes | None, password: str) -> bool:
        """Takes as long for an unknown user (None) as for a wrong password."""
        right = await self._run(self._verify, (hashed or b"").decode() or self._nobody, password)
        return right and hashed is not None

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        if self._waiting >= HASHES_WAITING_MAX:
            raise unavailable("overloaded", 1.0)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        finally:
            self._waiting -= 1


def is_common(username: str, password: str) -> bool:
    """Whether a password is one that everybody tries first."""
    return password.casefold() in COMMON or password.casefold() == username.casefold()
