"""Crm's records, as the engine runs them, and what follows from what."""

from __future__ import annotations

from typing import Final

from libs.contracts.crm import apps, calendar, customers, feed, mail, marketing, notes, relations, work
from libs.contracts.crm.events import RECORD_EVENTS
from libs.runtime.erp import erp_parts
from services.crm.addresses import Defaults
from services.crm.monitor import FEED_RECORD, OnlyTheke, note_command

# records that share a projection
GROUPS: Final = {
    "customers": customers.RECORDS,
    "work": work.RECORDS,
    "calendar": calendar.RECORDS,
    "marketing": marketing.RECORDS,
    "mail": mail.RECORDS,
    "notes": notes.RECORDS,
    "feed": feed.RECORDS,
    "relations": relations.RECORDS,
    "apps": apps.RECORDS,
}
ERP: Final = erp_parts("crm", GROUPS, RECORD_EVENTS, effects=(Defaults(), OnlyTheke()))
FEED: Final = next(member for member in ERP.family.members if member.type.name == FEED_RECORD)
NOTE: Final = note_command(FEED)
