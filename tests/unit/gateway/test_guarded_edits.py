"""Everything that is edited can be guarded by its tag."""

from __future__ import annotations

from services.gateway.dikas.params import IF_MATCH, IF_NONE_MATCH
from services.gateway.dikas.routes import ROUTES

MANY_AT_ONCE = "/api/v1/tables/layout"  # has no tag of its own


def test_every_edit_takes_a_tag_and_its_reading_gives_one() -> None:
    edits = [route for route in ROUTES if route.method in ("PUT", "PATCH", "DELETE") and route.path != MANY_AT_ONCE]
    assert len(edits) > 10
    reads = {route.path: route for route in ROUTES if route.method == "GET"}
    for route in edits:
        assert IF_MATCH in route.params, f"{route.method} {route.path}"
        assert IF_NONE_MATCH in reads[route.path].params, f"GET {route.path}"


def test_every_list_takes_pages_and_an_order() -> None:
    for route in ROUTES:
        if route.stream:
            assert {"page", "pageSize", "sort"} <= {param.name for param in route.params}, route.path
