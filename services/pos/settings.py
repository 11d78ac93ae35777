"""The business day: which day a moment is booked on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from libs.contracts.pos.house import HouseSettings

Settings = HouseSettings
SETTINGS: Final = Settings()
MAIN: Final = "main"  # the key of the one house there is


def business_day(at: datetime, settings: Settings = SETTINGS) -> date:
    """The day an aware moment is booked on: what happens after midnight and before the boundary belongs to the evening before.

    The boundary is compared as a moment, not by the wall clock, so that the hour repeated in autumn never goes back a day; a
    boundary inside that hour is its first pass, one inside the hour skipped in spring falls an hour later.
    """
    return _day_of_minute(at.replace(second=0, microsecond=0), settings)


@lru_cache(maxsize=1024)
def _day_of_minute(at: datetime, settings: Settings) -> date:
    """Boundaries lie on whole minutes, so a minute has one answer."""
    zone = ZoneInfo(settings.zone)
    today = at.astimezone(zone).date()
    starts = datetime.combine(today, settings.day_starts, zone).astimezone(UTC)
    return today if at.astimezone(UTC) >= starts else today - timedelta(days=1)
