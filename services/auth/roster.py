"""The list of staff (Personalliste): one stream per instance that says who has which staff number and who is an administrator.

It exists so that two things hold however many processes decide at once: staff numbers count on, and the last administrator stays. Who
was made before there was a list is on it from the first change of role, rights or number on; until then the query table knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from libs.contracts.auth.rights import DENY_LOGIN
from libs.domain.decider import Aggregate, StreamRef
from libs.domain.errors import conflict
from libs.domain.events import Event, Recorded, event

FIRST_STAFF_NUMBER: Final = 1000
ADMIN: Final = "Admin"


@event("roster.listed")
class StaffListed(Event, frozen=True, kw_only=True):
    """What the list says of a user from now on. ``automatic``: the staff number was the next one, nobody chose it."""

    user: str
    staff_number: int | None = None
    is_admin: bool = False
    automatic: bool = False


@event("roster.struck")
class StaffStruck(Event, frozen=True, kw_only=True):
    """A user is no longer on the list; the staff number is not given out again by itself."""

    user: str


class Entry(msgspec.Struct, frozen=True):
    staff_number: int | None
    is_admin: bool


class Roster(msgspec.Struct, frozen=True):
    """``struck``: former administrators, in case a query table still shows them; ``last``: the number given out last."""

    entries: Mapping[str, Entry] = msgspec.field(default_factory=dict)
    struck: frozenset[str] = frozenset()
    last: int = FIRST_STAFF_NUMBER - 1

    def next_number(self) -> int:
        taken = {entry.staff_number for entry in self.entries.values()}
        number = self.last + 1
        while number in taken:
            number += 1
        return number

    def admins(self, known: Iterable[str] = ()) -> frozenset[str]:
        """Who is an administrator; ``known``: those of the query table, which counts for whom the list does not mention."""
        unlisted = {user for user in known if user not in self.entries and user not in self.struck}
        return frozenset(unlisted | {user for user, entry in self.entries.items() if entry.is_admin})

    def require_another_admin(self, user: str, known: Iterable[str] = ()) -> None:
        """Raises ``conflict`` if nobody could administer the house without this user."""
        if not self.admins(known) - {user}:
            raise conflict("last_admin", id=user)


def evolve(roster: Roster, event: Recorded) -> Roster:
    match event.data:
        case StaffListed() as listed:
            entries = {**roster.entries, listed.user: Entry(listed.staff_number, listed.is_admin)}
            last = listed.staff_number if listed.automatic and listed.staff_number else roster.last
            return Roster(entries, roster.struck, last)
        case StaffStruck(user=user):
            was_admin = user not in roster.entries or roster.entries[user].is_admin
            entries = {key: entry for key, entry in roster.entries.items() if key != user}
            return Roster(entries, roster.struck | {user} if was_admin else roster.struck, roster.last)
    raise AssertionError(f"the roster has no {event.type}")


ROSTER: Final = Aggregate("roster", Roster(), evolve)
ROSTER_STREAM: Final = ROSTER.stream("staff")
ROSTER_REF: Final = StreamRef(ROSTER, "staff")


def is_admin(values: Mapping[str, Any]) -> bool:
    """Whether these are the values of somebody who can administer the house, today and for good: with an end date one is not counted on."""
    return bool(
        ADMIN in (values.get("roles") or ())
        and values.get("is_active")
        and DENY_LOGIN not in (values.get("rights") or ())
        and values.get("end_date") is None
    )
