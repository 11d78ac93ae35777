"""Passwords of the bus's users. All of them follow from one key in a file of mode 0600, so a new instance needs no new secret, and whoever
has the file can say a password again. A password tells nothing of the key.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32


class BusKey:
    """Says the password of any user."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def kept_in(cls, path: Path) -> BusKey:
        """The key in this file, made up if there is none; whole or absent. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            return cls(path.read_bytes().strip())
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_hex(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # somebody else was first
            os.link(fresh, path)
        fresh.unlink()
        return cls(path.read_bytes().strip())

    def password(self, user: str) -> str:
        return hmac.new(self._key, f"nats user {user}".encode(), hashlib.sha256).hexdigest()
