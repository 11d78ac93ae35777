"""Every endpoint of the dialect that this gateway answers."""

from __future__ import annotations

from typing import Final

from services.gateway.dikas import (
    articles,
    auth,
    open_bons,
    payments,
    receipts,
    reports,
    shifts,
    tables,
)
from services.gateway.dikas.call import Route

ROUTES: Final[tuple[Route, ...]] = (
    *auth.ROUTES,
    *articles.ROUTES,
    *tables.ROUTES,
    *open_bons.ROUTES,
    *payments.ROUTES,
    *receipts.ROUTES,
    *shifts.ROUTES,
    *reports.ROUTES,
)
