"""Every endpoint of this dialect that the gateway answers, and what it does not answer yet."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from libs.contracts.erp import RECORDS
from libs.contracts.inventory.items import ITEM, STORED
from libs.contracts.resources import RESOURCES
from libs.domain.records import RecordType
from services.gateway.dikas.call import Route
from services.gateway.zeyos import auth, authorize, calendar, config, oauth, rows
from services.gateway.zeyos.operations import KINDS, OPERATIONS, OURS
from services.gateway.zeyos.plain import not_here, refused

WRITTEN: Final[Mapping[str, RecordType]] = {**RECORDS, ITEM.resource: ITEM}


def _routes_of(name: str) -> tuple[Route, ...]:
    """Those of a resource that the published API has, or that are Theke's own."""
    methods = {KINDS[kind] for kind in {**OURS, **OPERATIONS}[name]}
    return tuple(route for route in rows.routes(RESOURCES[name], WRITTEN.get(name)) if route.method in methods)


_ROWS: Final = tuple(route for name in sorted(RESOURCES) for route in _routes_of(name))
ROUTES: Final[tuple[Route, ...]] = (*auth.ROUTES, *oauth.ROUTES, *authorize.ROUTES, *config.ROUTES, *calendar.ROUTES, *_ROWS)
# how refusals call what a record claims for itself under another name
FIELDS: Final[Mapping[str, Mapping[str, str]]] = {ITEM.resource: {stored: name for name, stored in STORED.items()}}
_OURS: Final = re.compile(r"/(?P<instance>[A-Za-z0-9_-]{1,64})/(?:api|auth|oauth2)/v1(?:/.*)?")


def paths(route: Route) -> tuple[str, ...]:
    """Lists are asked for with and without a slash at the end."""
    bounded = route.path.replace("{instance}", "{instance:[A-Za-z0-9_-]{1,64}}")
    return (bounded, f"{bounded}/") if route.method == "POST" else (bounded,)


@web.middleware
async def unknown_routes(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """What no route answers, in this dialect's text if it was asked in this dialect."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as refusal:
        found = _OURS.fullmatch(request.path)
        if found is None:
            raise
        response = refused(not_here(request), request, realm=found["instance"])
        if isinstance(refusal, web.HTTPMethodNotAllowed):
            response.set_status(405)
            response.headers["Allow"] = ", ".join(sorted(refusal.allowed_methods))
        return response
