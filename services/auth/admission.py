"""Who may come in at all, and with what."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from libs.contracts.auth.rights import DENY_LOGIN

ZONE: Final = ZoneInfo("Europe/Berlin")
DAY_ENDS: Final = timedelta(hours=4)  # after midnight, of the last day's night: a shift does not end at midnight

_names = msgspec.json.Decoder(tuple[str, ...])


def roles_of(row: Any) -> tuple[str, ...]:
    return _names.decode(row["roles"]) if row["roles"] else ()


def rights_given(row: Any) -> tuple[str, ...]:
    """The cash point rights given by name, beside those of the roles."""
    return _names.decode(row["rights"]) if row["rights"] else ()


def may_log_in(row: Any, at: datetime) -> bool:
    """Whether the user of a row may log in, by whatever way: active, not denied, and not past the last day."""
    last_day = row["end_date"]
    if not row["is_active"] or DENY_LOGIN in rights_given(row):
        return False
    return last_day is None or last_day >= working_day(at)


# the same of a row of ``auth.users t`` in a list; the parameter is the working day
MAY_LOG_IN: Final = f"t.is_active and not coalesce(t.rights ? '{DENY_LOGIN}', false) and (t.end_date is null or t.end_date >= {{}})"


def working_day(at: datetime) -> date:
    """The day whose work is still done at this moment."""
    return (at.astimezone(ZONE).replace(tzinfo=None) - DAY_ENDS).date()
