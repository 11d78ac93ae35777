"""An account has one usual address of each type: whoever becomes it takes the place of the one that was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from libs.contracts.crm.addresses import DefaultAddressChanged
from libs.domain.decider import Aggregate, Lookup, States
from libs.domain.events import Event, Recorded
from libs.records.effects import NOTHING, Also, Effect, Follows, Pending, Values, Write, needed

ADDRESS = "address"
PLACE: Final = ("account", "default", "type")
Place = tuple[int, int]  # account, type


class Usual(msgspec.Struct, frozen=True):
    """The usual address of an account and type."""

    address: int | None = None


def evolve(_: Usual, event: Recorded) -> Usual:
    return Usual(event.data.address)


DEFAULT: Final = Aggregate("default_address", Usual(), evolve)


class Defaults(Effect):
    """``default`` of one clears that of its sibling."""

    name = "default addresses"
    hears = frozenset({ADDRESS})
    tallies = (DEFAULT,)

    async def streams(self, lookup: Lookup, instance: int, pending: Sequence[Pending]) -> Sequence[Also]:
        moving = [one for one in pending if one.values is None or any(name in one.values for name in PLACE)]
        known = [str(one.id) for one in moving if not one.new]
        rows = await lookup.rows("crm.addresses", instance, known, ("id", "account", "type", "default_"), "id") if known else {}
        places: dict[Place, None] = {}
        for one in moving:
            row = rows[str(one.id)][0] if str(one.id) in rows else {"account": None, "type": 0, "default_": 0}
            before = {"account": row["account"], "type": row["type"], "default": row["default_"]}
            after = {**before, **(one.values or NOTHING)}
            places |= dict.fromkeys(place for place in (_place(before), _place(after)) if place is not None)
        also = [Also(DEFAULT.name, _key(place)) for place in places]
        return [*also, *[Also(ADDRESS, str(id_)) async for id_ in self._holders(lookup, instance, places)]]

    async def _holders(self, lookup: Lookup, instance: int, places: Any) -> Any:
        accounts = list(dict.fromkeys(str(account) for account, _ in places))
        siblings = await lookup.rows("crm.addresses", instance, accounts, ("id", "account", "type", "default_"), "account")
        for rows in siblings.values():
            for row in rows:
                if row["default_"] and (row["account"], row["type"]) in places:
                    yield row["id"]

    def decide(self, states: States, writes: Sequence[Write], facts: Any, at: datetime) -> Follows:
        changes: dict[tuple[str, int], Values] = {}
        holds: dict[Place, int | None] = {}

        def holder(place: Place) -> int | None:
            return holds[place] if place in holds else needed(states, DEFAULT.stream(_key(place))).address

        for write in writes:
            left, taken = _place(write.before or NOTHING), _place(write.after or NOTHING)
            if left == taken:
                continue
            if left is not None and holder(left) == write.id:
                holds[left] = None
            if taken is not None:
                before = holder(taken)
                if before is not None:
                    changes[ADDRESS, before] = {"default": 0}
                holds[taken] = write.id
        events = {stream: [event] for stream, event in _events(holds)}
        return Follows(changes, events)


def _events(holds: dict[Place, int | None]) -> Iterator[tuple[str, Event]]:
    for (account, type_), address in holds.items():
        yield DEFAULT.stream(_key((account, type_))), DefaultAddressChanged(account=account, type=type_, address=address)


def _place(values: Values) -> Place | None:
    """The place that an address takes; None if it is not the usual one. Of unchecked values too."""
    account, type_ = values.get("account"), values.get("type", 0)
    if values.get("default") != 1 or not isinstance(account, int) or not isinstance(type_, int):
        return None
    return account, type_


def _key(place: Place) -> str:
    return f"{place[0]}/{place[1]}"
