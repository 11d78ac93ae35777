"""Wiring of billing: what is offered, delivered, invoiced, paid and dunned."""

from __future__ import annotations

from libs.contracts.billing.events import RECORD_EVENTS
from libs.contracts.billing.records import RECORDS
from libs.runtime.erp import Forgetting, erp_parts
from libs.runtime.service import Host, Service

_parts = erp_parts("billing", {"billing": RECORDS}, RECORD_EVENTS)


async def _extend(host: Host) -> None:
    await Forgetting(host, _parts.family).start()


SERVICE = Service("billing", commands=_parts.commands, projections=_parts.projections, queries=_parts.queries, extend=_extend)
