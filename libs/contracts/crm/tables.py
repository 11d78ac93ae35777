"""What other services may read of crm's query tables: table → columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.contracts.crm.records import RECORDS

RECORD_TABLES: Final[Mapping[str, tuple[str, ...]]] = {record.table: record.columns for record in RECORDS}
