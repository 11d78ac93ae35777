"""The records of pos, as the engine runs them."""

from __future__ import annotations

from typing import Final

from libs.contracts.pos.records import TABLE, TABLE_GROUP
from libs.domain.records import record_events
from libs.records.engine import Records

TABLE_GROUPS: Final = Records(TABLE_GROUP, record_events(TABLE_GROUP, "libs.contracts.pos.events"))
TABLES: Final = Records(TABLE, record_events(TABLE, "libs.contracts.pos.events"), siblings=(TABLE_GROUPS,))
