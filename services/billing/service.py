"""Wiring of billing: what is offered, delivered, invoiced, paid and dunned."""

from __future__ import annotations

from libs.contracts.billing.settlement import SETTLEMENTS
from libs.runtime.erp import Forgetting
from libs.runtime.resources import ResourceReads
from libs.runtime.service import Host, Service
from services.billing.records import ERP


async def _extend(host: Host) -> None:
    await Forgetting(host, ERP.family).start()


SERVICE = Service(
    "billing",
    commands=ERP.commands,
    projections=ERP.projections,
    queries=(*ERP.queries, *ResourceReads(SETTLEMENTS).queries()),
    extend=_extend,
)
