"""The rows of one instance while a batch is folded in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

Key = tuple[Any, ...]
Row = dict[str, Any]


class NotRead(KeyError):
    """A handler asked for a row that its ``reads`` did not name; always a programming error."""


class Rows:
    """Rows by table and key. What was read is there before the fold; what was put or deleted is written after it."""

    def __init__(self) -> None:
        self._rows: defaultdict[str, dict[Key, Row | None]] = defaultdict(dict)
        self._changed: defaultdict[str, set[Key]] = defaultdict(set)

    def seed(self, table: str, key: Key, row: Row | None) -> None:
        """A row as the table holds it (None: there is none)."""
        self._rows[table].setdefault(key, row)

    def knows(self, table: str, key: Key) -> bool:
        return key in self._rows[table]

    def get(self, table: str, *key: Any) -> Row | None:
        """The row as it is now. Raises NotRead if it was neither read nor put in this batch."""
        try:
            return self._rows[table][key]
        except KeyError:
            raise NotRead(f"{table} {key}") from None

    def put(self, table: str, *key: Any, **columns: Any) -> None:
        """Writes a whole row."""
        self._rows[table][key] = columns
        self._changed[table].add(key)

    def change(self, table: str, *key: Any, **columns: Any) -> None:
        """Changes some columns of a row that is there; a row that is not there stays away."""
        row = self.get(table, *key)
        if row is not None:
            self._rows[table][key] = {**row, **columns}
            self._changed[table].add(key)

    def delete(self, table: str, *key: Any) -> None:
        self._rows[table][key] = None
        self._changed[table].add(key)

    def written(self) -> Iterator[tuple[str, list[tuple[Key, Row]], list[Key]]]:
        """Per changed table: the rows to upsert and the keys to delete."""
        for table, keys in self._changed.items():
            rows = self._rows[table]
            upserts = [(key, row) for key in keys if (row := rows[key]) is not None]
            yield table, upserts, [key for key in keys if rows[key] is None]
