"""Events of billing's records, by the name of the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.contracts.billing.records import RECORDS
from libs.domain.records import RecordEvents, record_events

RECORD_EVENTS: Final[Mapping[str, RecordEvents]] = {record.name: record_events(record, __name__) for record in RECORDS}
