"""Rows that a projector wrote last, of tables that say so. It alone writes them as long as it leads, so they are what the tables hold;
it forgets them with the leadership."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from libs.projections.declare import Key, Table
from libs.projections.rows import Row
from libs.projections.store import Write

_Rows = OrderedDict[tuple[int, Key], Row]


class Remembered:
    """The least recently written row of a table goes first."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], _Rows] = {}

    def clear(self) -> None:
        self._tables.clear()

    def keep(self, writes: Sequence[Write]) -> None:
        """What was just committed."""
        for write in writes:
            table = write.table
            if not table.remembered:
                continue
            rows = self._tables.setdefault((table.name, write.suffix), OrderedDict())
            for gone in write.deletes:
                rows.pop(gone, None)
            for instance, row in write.upserts:
                at = instance, tuple(row[column] for column in table.key)
                rows[at] = row
                rows.move_to_end(at)
            while len(rows) > table.remembered:
                rows.popitem(last=False)

    def recall(self, table: Table, suffix: str, instance: int, keys: Iterable[Key]) -> dict[Key, Row]:
        """Those of the rows that are remembered, each a copy: what a failed fold makes of it stays its own."""
        rows = self._tables.get((table.name, suffix))
        if not rows:
            return {}
        return {
            key: {column: row.get(column) for column in table.columns} for key in keys if (row := rows.get((instance, key))) is not None
        }
