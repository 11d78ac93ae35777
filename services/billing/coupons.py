"""A coupon's code is used once, while it is valid. Used means that it names a transaction: reserved by an order, or booked for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from libs.domain.decider import Lookup, States
from libs.domain.errors import conflict
from libs.records.effects import Also, Effect, Follows, Pending, Values, Write, needed, row_id
from libs.records.state import RecordState

CODE, COUPON = "coupon_code", "coupon"
BOOKED, RESERVED, CANCELLED = 0, 1, 2
ACTIVE: Final = 0
USES: Final = ("coupon", "flag", "transaction")


class Redeeming(Effect):
    """Changes nothing else; refuses a second use, and a use of what is cancelled, not valid yet, not any more or not active."""

    name = "coupons"
    hears = frozenset({CODE})

    async def streams(self, lookup: Lookup, instance: int, pending: Sequence[Pending]) -> Sequence[Also]:
        using = [one for one in pending if one.values is not None and any(one.values.get(name) is not None for name in USES)]
        known = [str(one.id) for one in using if not one.new]
        rows = await lookup.rows("billing.couponcodes", instance, known, ("id", "coupon"), "id") if known else {}
        coupons = {row_id(found[0]["coupon"]) for found in rows.values()} | {one.reference("coupon") for one in using}
        return [Also(COUPON, str(id_), reads=True) for id_ in sorted(filter(None, coupons))]

    def decide(self, states: States, writes: Sequence[Write], facts: Any, at: datetime) -> Follows:
        for write in writes:
            if write.after is not None and _is_used(write.after):
                _require_unused(write.before, write.after)
                if write.changed("transaction") or _cancelled(write.before):
                    # what is made with its use is history, perhaps: it was used at the time it names
                    used = write.after["date"] if write.before is None else int(at.timestamp())
                    _require_valid(needed(states, f"{COUPON}-{write.after['coupon']}"), write.after, used)
        return Follows()


def _is_used(values: Values) -> bool:
    return values["transaction"] is not None


def _cancelled(values: Values | None) -> bool:
    return values is not None and values["flag"] == CANCELLED


def _require_unused(before: Values | None, after: Values) -> None:
    """A reservation goes on to another transaction, or is booked; what was booked is first taken back by naming no transaction."""
    if before is None or not _is_used(before) or before["flag"] != BOOKED:
        return
    if after["transaction"] != before["transaction"] or after["flag"] == RESERVED:
        raise conflict("coupon_used", transaction=before["transaction"])


def _require_valid(coupon: RecordState, code: Values, at: int) -> None:
    if code["flag"] == CANCELLED or coupon.values["activity"] != ACTIVE:
        raise conflict("coupon_inactive")
    begins = [values["datefrom"] for values in (code, coupon.values) if values["datefrom"] is not None]
    ends = [values["dateto"] for values in (code, coupon.values) if values["dateto"] is not None]
    if any(at < begin for begin in begins) or any(at > end for end in ends):
        raise conflict("coupon_not_valid")
