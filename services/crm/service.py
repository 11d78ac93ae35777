"""Wiring of crm: everything one keeps about those one deals with, and the work there is."""

from __future__ import annotations

from libs.runtime.erp import Forgetting
from libs.runtime.service import Host, Service
from services.crm.files import Sweeping
from services.crm.monitor import Monitor
from services.crm.occurrences import OCCURRENCES
from services.crm.records import ERP, NOTE


async def _extend(host: Host) -> None:
    await Forgetting(host, ERP.family).start()
    await Monitor(host, NOTE).start()
    await Sweeping(host).start()


SERVICE = Service("crm", commands=(*ERP.commands, NOTE), projections=ERP.projections, queries=(*ERP.queries, OCCURRENCES), extend=_extend)
