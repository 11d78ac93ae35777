"""Records of the till that the ERP sees under another name, where they refer to its rows: what goes there goes here too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from libs.domain.decider import Decision, Lookup, States, StreamRef
from libs.domain.records import RecordType
from libs.records.engine import Records
from libs.records.numbered import Along
from libs.records.state import RecordState


class Keyed:
    """``shown``: what the ERP sees; the record has its fields that refer under the same names. ``with_it``: by the field that refers to
    such a record, others of the till that mean nothing without it."""

    def __init__(self, records: Records, shown: RecordType, with_it: Mapping[str, Keyed] | None = None) -> None:
        self._records = records
        self._with_it = with_it or {}
        self.type = shown
        self.table = f"{shown.service}.{shown.table}"

    def along_ref(self, along: Along) -> StreamRef:
        return StreamRef(self._records.aggregate, along.key)

    async def keyed(self, lookup: Lookup, instance: int, along: Sequence[Along]) -> Sequence[Along]:
        found = await lookup.rows(self.table, instance, [str(one.id) for one in along], ("id", "key"), "id")
        there = [msgspec.structs.replace(one, key=found[str(one.id)][0]["key"]) for one in along if str(one.id) in found]
        going = [one.key for one in there if not one.clears]
        more: list[Along] = []
        for field, other in self._with_it.items():
            referring = await lookup.rows(other.table, instance, going, ("key",), field)
            more += [Along(other.type.name, 0, key=row["key"]) for rows in referring.values() for row in rows]
        return (*there, *more)

    def clear(self, states: States, along: Along) -> Decision:
        """Loses references, or goes."""
        records = self._records
        stream = records.aggregate.stream(along.key)
        state: RecordState = states[stream]
        if not state.exists:
            return Decision({})
        if not along.clears:
            return Decision({stream: [records.events.deleted()]}, give_up=records.claims(state.values, stream))
        cleared: dict[str, Any] = {name: None for name in along.clears if state.values.get(name) is not None}
        return Decision({stream: [records.events.changed(**cleared)]} if cleared else {})
