"""Wiring of inventory: records, and how the ERP sees them."""

from __future__ import annotations

from libs.runtime.records import record_parts
from libs.runtime.service import Service
from services.inventory.queries import QUERIES
from services.inventory.records import ARTICLES, GROUPS, OPTION_TEMPLATES, PRICE_RULES, TAX_RATES

_parts = record_parts(GROUPS, OPTION_TEMPLATES, ARTICLES, PRICE_RULES, TAX_RATES)
SERVICE = Service("inventory", commands=_parts.commands, projections=_parts.projections, queries=(*_parts.queries, *QUERIES))
