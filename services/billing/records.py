"""Billing's records, as the engine runs them, and what follows from what."""

from __future__ import annotations

from typing import Final

from libs.contracts.billing.events import RECORD_EVENTS
from libs.contracts.billing.records import RECORDS
from libs.runtime.erp import erp_parts
from services.billing.coupons import Redeeming
from services.billing.settlement import Settling

ERP: Final = erp_parts("billing", {"billing": RECORDS}, RECORD_EVENTS, effects=(Settling(), Redeeming()))
