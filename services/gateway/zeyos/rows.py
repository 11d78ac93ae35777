"""Rows of ERP records: every resource that is declared as a record is served by these six."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from libs.domain.errors import FieldError, conflict, invalid, not_found
from libs.domain.etags import etag
from libs.domain.records import RecordType
from libs.domain.resources import Resource
from libs.records.numbered import Change, Create, Delete, Dropped
from libs.records.query.compile import is_count, is_export
from libs.records.query.conditions import shown
from libs.runtime.resources import Asked, ById, Found
from services.gateway import limits
from services.gateway.dikas import tags
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.params import IF_MATCH, IF_NONE_MATCH
from services.gateway.zeyos import bodies, uploads
from services.gateway.zeyos.serve import CSV, Body, Json
from services.gateway.zeyos.values import id_of, values_of

_ID: Final = re.compile(r"[0-9]{1,19}")
_queries: Final = msgspec.json.Encoder(decimal_format="number")
YES: Final = ("1", "true")
EXPANDED_MAX: Final = 50


async def list_rows(call: Call, resource: Resource) -> Body | Json:
    """Those that a query finds, with `count` how many, with `export` all as CSV (administrators only)."""
    asked = await bodies.asked(call.request)
    query = Asked(_queries.encode(asked))
    if is_count(asked):
        return Json(b'{"count":%d}' % await call.query(resource.service, f"{resource.name}.count", query, int))
    if is_export(asked):
        return Body(call.stream(resource.service, f"{resource.name}.export", query, bytes), CSV, f"{resource.name}.csv")
    return Body(call.stream(resource.service, f"{resource.name}.list", query, bytes))


def asked_id(call: Call) -> int:
    """The ID of the path. Raises ``not_found`` for what can be none."""
    said = call.params["ID"]
    if not _ID.fullmatch(said):
        raise not_found("row_not_found", id=shown(said)[: limits.ID_MAX_CHARS])
    return int(said)


async def get_row(call: Call, resource: Resource) -> Json:
    """One; `HEAD` only tells whether it is there."""
    query = call.request.query
    expand = tuple(name for said in (*query.getall("expand", ()), *query.getall("expand[]", ())) for name in said.split(",") if name)
    if len(expand) > EXPANDED_MAX:
        raise invalid(FieldError("expand", "too_many", {"max": EXPANDED_MAX}))
    asked = ById(asked_id(call), query.get("extdata") in YES, query.get("tags") in YES, expand)
    found = await call.query(resource.service, f"{resource.name}.get", asked, Found)
    return tagged(call, resource, found.id, found.version, found.row)


async def create_row(call: Call, resource: Resource, record: RecordType) -> Json:
    """A new one. Its `ID` may be chosen; otherwise Theke gives one out."""

    def ask(body: dict[str, Any]) -> Create:
        return Create(values=values_of(record, body), id=id_of(body["ID"]) if body.get("ID") is not None else None)

    written = await uploads.write(call, record, f"{record.name}.create", ask)
    call.headers["Content-Location"] = f"/{call.params['instance']}/api/v1/{resource.name}/{written.id}"
    return tagged(call, resource, written.id, written.version, written.row, status=201)


async def update_row(call: Call, resource: Resource, record: RecordType) -> Json:
    """Fields that are not named stay as they are."""
    id_ = asked_id(call)

    def ask(body: dict[str, Any]) -> Change:
        if body.get("ID") is not None and str(body["ID"]) != str(id_):
            raise conflict("id_differs")
        return Change(id=id_, values=values_of(record, body), if_match=tags.if_match(call))

    written = await uploads.write(call, record, f"{record.name}.change", ask)
    return tagged(call, resource, written.id, written.version, written.row)


async def delete_row(call: Call, record: RecordType) -> Json:
    """For good, with what depends on it."""
    asked = Delete(id=asked_id(call), if_match=tags.if_match(call))
    await call.command(record.service, f"{record.name}.delete", asked, Dropped)
    return Json()


def tagged(call: Call, resource: Resource, id_: int, version: int, row: bytes, status: int = 200) -> Json:
    call.tag = etag(call.principal.instance, resource.type, id_, version)
    return Json(row, status)


def routes(resource: Resource, record: RecordType | None) -> tuple[Route, ...]:
    """Without a record, or if no client writes it, rows are only read."""

    async def listed(call: Call) -> Body | Json:
        return await list_rows(call, resource)

    async def got(call: Call) -> Json:
        return await get_row(call, resource)

    every, one = f"/{{instance}}/api/v1/{resource.name}", f"/{{instance}}/api/v1/{resource.name}/{{ID}}"
    reads = f"{resource.service}.{resource.name}"
    found = (
        Route("POST", every, resource.name, listed, asks=(f"{reads}.list", f"{reads}.export", f"{reads}.count")),
        Route("GET", one, resource.name, got, asks=(f"{reads}.get",), params=(IF_NONE_MATCH,)),
    )
    if record is None or record.write is None:
        return found

    async def created(call: Call) -> Json:
        return await create_row(call, resource, record)

    async def updated(call: Call) -> Json:
        return await update_row(call, resource, record)

    async def deleted(call: Call) -> Json:
        return await delete_row(call, record)

    writes = f"{record.service}.{record.name}"
    return (
        *found,
        Route("PUT", every, resource.name, created, status=201, asks=(f"{writes}.create",)),
        Route("PATCH", one, resource.name, updated, asks=(f"{writes}.change",), params=(IF_MATCH,)),
        Route("DELETE", one, resource.name, deleted, status=204, asks=(f"{writes}.delete",), params=(IF_MATCH,)),
    )
