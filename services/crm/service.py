"""Wiring of crm: everything one keeps about those one deals with, and the work there is."""

from __future__ import annotations

from typing import Final

from libs.contracts.crm import apps, calendar, customers, feed, mail, marketing, notes, relations, work
from libs.contracts.crm.events import RECORD_EVENTS
from libs.runtime.erp import Forgetting, erp_parts
from libs.runtime.service import Host, Service
from services.crm.files import Sweeping

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
_parts = erp_parts("crm", GROUPS, RECORD_EVENTS)


async def _extend(host: Host) -> None:
    await Forgetting(host, _parts.family).start()
    await Sweeping(host).start()


SERVICE = Service("crm", commands=_parts.commands, projections=_parts.projections, queries=_parts.queries, extend=_extend)
