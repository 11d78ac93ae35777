"""Projections are declared: which tables, and how each event changes their rows.

A handler is a pure function of the rows it reads and one event. Every table has ``instance`` in front of its key, so a handler never
sees it and cannot mix tenants up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from libs.domain.events import Event, Recorded
from libs.projections.rows import Rows

Key = tuple[Any, ...]
Reads = Callable[[Recorded], Iterable[tuple[str, Key]]]
Handler = Callable[[Rows, Recorded], None]


class Table(msgspec.Struct, frozen=True):
    """A query table: ``columns`` map names to Postgres types, ``key`` names the key columns, ``indexes`` are column lists (an entry
    may be an expression); each index begins with the instance. ``remembered``: so many rows written last stay with the projector,
    because handlers soon read them again. ``searched``: columns in which any part of a text is looked for."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...] = ("key",)
    indexes: tuple[tuple[str, ...], ...] = ()
    remembered: int = 0
    searched: tuple[str, ...] = ()


class Projection(msgspec.Struct):
    """A named set of tables with handlers. Raise ``revision`` with every change: tables are never altered, only built anew."""

    name: str
    revision: int
    tables: tuple[Table, ...]
    handlers: dict[str, tuple[Handler, Reads | None]] = msgspec.field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.name}_r{self.revision}"

    def on(self, event: type[Event], *, reads: Reads | None = None) -> Callable[[Handler], Handler]:
        """``@receipts.on(ReceiptVoided, reads=...)``: ``reads`` names the rows the handler needs to see, as (table, key)."""

        def register(handler: Handler) -> Handler:
            if event.TYPE in self.handlers:
                raise ValueError(f"projection {self.name} handles {event.TYPE} twice")
            self.handlers[event.TYPE] = (handler, reads)
            return handler

        return register

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)


class Build(msgspec.Struct, frozen=True):
    """The tables of a projection that one run over the log has filled. A revision begins with generation 0; every rebuild is one more."""

    projection: Projection
    generation: int = 0

    @property
    def suffix(self) -> str:
        return suffix(self.projection.revision, self.generation)

    @property
    def id(self) -> str:
        """What its checkpoints go by."""
        return f"{self.projection.name}_{self.suffix}"


def suffix(revision: int, generation: int = 0) -> str:
    """What stands behind a table's name: ``r4``, or ``r4g2`` for the second rebuild of revision 4."""
    return f"r{revision}g{generation}" if generation else f"r{revision}"


BUILD_SQL = "('r' || r.active || case r.generation when 0 then '' else 'g' || r.generation end)"  # the same of a row r of theke.revisions
