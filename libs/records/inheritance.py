"""Fields without a value take that of the nearest record above: an article's group, its group, and so on up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from libs.domain.records import FieldType, RecordView
from libs.projections.tables import Statement, Tables
from libs.records.engine import TREE_DEPTH_MAX, Records

BELOW_MAX: Final = 20_000  # records under a changed one


class Above(msgspec.Struct, frozen=True):
    key: str | None
    values: Mapping[str, Any]


class Inheritance:
    """What the records of a type inherit, read level by level."""

    def __init__(self, records: Records) -> None:
        record = records.type
        above = records.target(record.above).type
        self._link, self._up = record.above, above.above
        self._fields = tuple(field for field in record.fields if field.inherited)
        self.own_tree = above.name == record.name
        self.depends_on = (record.table, above.table)
        named = ", ".join(f"t.{field.name}" for field in self._fields)
        table = f"{{{above.service}.{above.table}}}"
        self._above = Statement(f"select t.key, t.{self._up}, {named} from {table} t where t.instance = $1 and t.key = any($2::text[])")
        self._touched = Statement(
            f"with recursive touched(key) as (select g.key from {table} g where g.instance = $1 and g.position > $2 "
            f"union select c.key from {table} c join touched on c.{self._up} = touched.key where c.instance = $1) "
            f"select key from touched limit {BELOW_MAX + 1}"
        )

    async def show(self, tables: Tables, instance: int, views: Sequence[RecordView], known: dict[str, Above]) -> list[RecordView]:
        """The views with what holds for them. ``known``: what was read of the tree before, for the time of one answer."""
        level = {view.values[self._link] for view in views}
        for _ in range(TREE_DEPTH_MAX):
            wanted = [key for key in level if key is not None and key not in known]
            if not wanted:
                break
            for row in await tables.fetch(self._above, instance, wanted):
                known[row["key"]] = Above(row[self._up], {field.name: self._read(field, row[field.name]) for field in self._fields})
            level = {known[key].key for key in wanted if key in known}
        shown = ((view, self._effective(view, known)) for view in views)
        return [msgspec.structs.replace(view, effective=effective) if effective else view for view, effective in shown]

    async def touched_since(self, tables: Tables, instance: int, position: int) -> list[str] | None:
        """The records above that changed since, and all under them; None if they are too many to name."""
        keys = [row["key"] for row in await tables.fetch(self._touched, instance, position)]
        return keys if len(keys) <= BELOW_MAX else None

    @property
    def link(self) -> str:
        """The column by which a touched record above is found: its own key if the tree is of one type."""
        return "key" if self.own_tree else self._link

    def _effective(self, view: RecordView, known: Mapping[str, Above]) -> dict[str, Any]:
        found = {}
        for field in self._fields:
            value, key = view.values[field.name], view.values[self._link]
            seen: set[str] = set()
            while value is None and key in known and key not in seen:
                seen.add(key)
                value, key = known[key].values[field.name], known[key].key
            if value is not None:
                found[field.name] = value
        return found

    @staticmethod
    def _read(field: Any, value: Any) -> Any:
        return msgspec.json.decode(value, type=field.python) if field.type is FieldType.LIST and value is not None else value
