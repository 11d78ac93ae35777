"""States of streams as this process last saw them, the least recently used thrown out first, bounded by bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

STATES_MAX_BYTES = 32 * 1024 * 1024
ENTRY_OVERHEAD_BYTES = 400  # key, tuple and dictionary slot, measured roughly


class StateCache:
    """(instance, stream) → (version, state). The size of a state is taken as the bytes of the events that made it."""

    def __init__(self, max_bytes: int = STATES_MAX_BYTES) -> None:
        self._entries: OrderedDict[tuple[int, str], tuple[int, Any, int]] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0

    def get(self, instance: int, stream: str) -> tuple[int, Any] | None:
        entry = self._entries.get((instance, stream))
        if entry is None:
            return None
        self._entries.move_to_end((instance, stream))
        return entry[0], entry[1]

    def put(self, instance: int, stream: str, version: int, state: Any, added_bytes: int) -> None:
        known = self._entries.pop((instance, stream), None)
        size = (known[2] if known else ENTRY_OVERHEAD_BYTES) + added_bytes
        self._bytes += size - (known[2] if known else 0)
        self._entries[instance, stream] = (version, state, size)

    def trim(self) -> None:
        """Throws out what is too much. Never in the middle of a batch: its commands are decided on what was put for them."""
        while self._bytes > self._max_bytes and self._entries:
            _, (_, _, dropped) = self._entries.popitem(last=False)
            self._bytes -= dropped

    def drop(self, instance: int, stream: str) -> None:
        entry = self._entries.pop((instance, stream), None)
        if entry is not None:
            self._bytes -= entry[2]

    def drop_instance(self, instance: int) -> None:
        for of, stream in [key for key in self._entries if key[0] == instance]:
            self.drop(of, stream)

    def clear(self) -> None:
        self._entries.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)
