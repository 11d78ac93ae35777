"""Every endpoint of the dialect that this gateway answers."""

from __future__ import annotations

from typing import Final

from services.gateway.dikas import (
    article_images,
    articles,
    auth,
    config,
    events,
    floor,
    open_bons,
    open_items,
    option_templates,
    payments,
    price_rules,
    receipt_lists,
    receipt_papers,
    receipts,
    reports,
    shifts,
    staff,
    sync,
    tables,
    webhooks,
)
from services.gateway.dikas.call import Route

ROUTES: Final[tuple[Route, ...]] = (
    *auth.ROUTES,
    *staff.ROUTES,
    *sync.ROUTES,
    *articles.ROUTES,
    *floor.ROUTES,
    *article_images.ROUTES,
    *price_rules.ROUTES,
    *option_templates.ROUTES,
    *tables.ROUTES,
    *open_bons.ROUTES,
    *open_items.ROUTES,
    *payments.ROUTES,
    *receipt_lists.ROUTES,
    *receipt_papers.ROUTES,
    *receipts.ROUTES,
    *shifts.ROUTES,
    *reports.ROUTES,
    *config.ROUTES,
    *events.ROUTES,
    *webhooks.ROUTES,
)
