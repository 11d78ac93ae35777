"""The records of pos, as the engine runs them."""

from __future__ import annotations

from typing import Final

from libs.contracts.pos.record_events import TABLE_EVENTS, TABLE_GROUP_EVENTS
from libs.contracts.pos.records import TABLE, TABLE_GROUP
from libs.records.engine import Records

TABLE_GROUPS: Final = Records(TABLE_GROUP, TABLE_GROUP_EVENTS)
TABLES: Final = Records(TABLE, TABLE_EVENTS, siblings=(TABLE_GROUPS,))
