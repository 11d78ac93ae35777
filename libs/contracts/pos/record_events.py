"""Events of pos's records."""

from __future__ import annotations

from typing import Final

from libs.contracts.pos.records import TABLE, TABLE_GROUP
from libs.domain.records import record_events

TABLE_GROUP_EVENTS: Final = record_events(TABLE_GROUP, __name__)
TABLE_EVENTS: Final = record_events(TABLE, __name__)
