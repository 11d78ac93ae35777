"""Items: the articles of the till. Lists speak the query language; single ones are created, changed and deleted as articles are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from libs.contracts.inventory.items import ITEMS
from libs.contracts.inventory.records import ARTICLE, ARTICLE_GROUP
from libs.domain.errors import DomainError, FieldError, Kind, conflict, invalid, not_found, unavailable
from libs.domain.etags import etag
from libs.domain.records import RecordView
from libs.domain.resources import Column, ColumnType
from libs.records.query.compile import is_count
from libs.records.query.conditions import shown
from libs.records.query.values import value_of
from libs.records.wanted import Wrong
from libs.runtime.records import ByKey
from libs.runtime.resources import Asked, ById, Found
from services.gateway import limits
from services.gateway.dikas import tags
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.params import IF_MATCH, IF_NONE_MATCH
from services.gateway.dikas.records import Gone
from services.gateway.zeyos import bodies
from services.gateway.zeyos.serve import Json, Rows

SERVICE: Final = "inventory"
GROUP: Final = "ERP"  # the article group of items that were created here
GROUPS_MAX: Final = 50  # that were deleted one after the other
IGNORED: Final = ("lastmodified",)  # clients send back what they read
NOT_OFFERED: Final = ("expand", "extdata", "tags")
# how the dialect calls the fields of an article
FIELDS: Final[Mapping[str, str]] = {column.field: column.name for column in ITEMS.columns if column.field}
_ID: Final = re.compile(r"[0-9]{1,9}")
_queries: Final = msgspec.json.Encoder(decimal_format="number")
_rows: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


async def list_(call: Call) -> Rows | Json:
    """Those that a query finds, or with `count` how many."""
    asked = {**call.request.query, **await bodies.read(call.request)}
    query = Asked(_queries.encode(asked))
    if is_count(asked):
        return Json(b'{"count":%d}' % await call.query(SERVICE, "items.count", query, int))
    return Rows(call.stream(SERVICE, "items.list", query, bytes))


async def get(call: Call) -> Json:
    """One; `HEAD` only tells whether it is there."""
    _refuse_parameters(call)
    return _shown(call, await _found(call))


async def create(call: Call) -> Json:
    """A new one, in the article group `ERP`; its `ID` is given out by Theke."""
    body = await bodies.read(call.request)
    if (id_ := body.pop("ID", None)) is not None:
        await _refuse_id(call, id_)
    values = _values(body)
    if "name" not in values:
        raise invalid(FieldError("name", "required"))
    values.setdefault("price", 0)
    values["tax_class"] = await _tax_class(call, values.get("tax_class", Decimal(0)))
    values["group_key"] = await _group(call)
    view = await call.command(SERVICE, "article.create", {"values": values}, RecordView)
    call.headers["Content-Location"] = f"/{call.params['instance']}/api/v1/items/{view.id}"
    return _shown(call, await _written(call, view), status=201)


async def update(call: Call) -> Json:
    """Fields that are not named stay as they are."""
    found = await _found(call)
    body = await bodies.read(call.request)
    if (id_ := body.pop("ID", None)) is not None and str(id_) != str(found.id):
        raise conflict("id_differs")
    values = _values(body)
    if "tax_class" in values:
        if values["tax_class"] == _rows.decode(found.row)["taxrate"]:
            del values["tax_class"]  # of classes with the same rate the article keeps its own
        else:
            values["tax_class"] = await _tax_class(call, values["tax_class"])
    asked = {"key": found.key, "values": values, "if_match": tags.if_match(call)}
    view = await call.command(SERVICE, "article.change", asked, RecordView)
    return _shown(call, await _written(call, view))


async def delete(call: Call) -> Json:
    """For good; refused while other things refer to it."""
    found = await _found(call)
    try:
        await call.command(SERVICE, "article.delete", {"key": found.key, "if_match": tags.if_match(call)}, Gone)
    except DomainError as error:
        if error.reason == "article_in_use":
            raise conflict("row_in_use") from None
        raise
    return Json()


def _shown(call: Call, found: Found, status: int = 200) -> Json:
    call.tag = etag(call.principal.instance, ARTICLE.name, found.id, found.version)
    return Json(found.row, status)


async def _found(call: Call) -> Found:
    id_ = call.params["ID"]
    if not _ID.fullmatch(id_):
        raise not_found("row_not_found", id=shown(id_)[: limits.ID_MAX_CHARS])
    return await call.query(SERVICE, "items.get", ById(int(id_)), Found)


async def _written(call: Call, view: RecordView) -> Found:
    """The row as it is after a write. Raises ``gone`` if it is not there any more, ``unavailable`` if it cannot be shown yet."""
    try:
        found = await call.query(SERVICE, "items.get", ById(view.id), Found)
    except DomainError as error:
        if error.reason != "row_not_found":
            raise
        if call.behind:
            raise unavailable("tables_not_ready") from None
        raise DomainError(Kind.GONE, "row_gone", {"id": view.id}) from None
    if found.version < view.version:
        raise unavailable("tables_not_ready")
    return found


async def _refuse_id(call: Call, id_: Any) -> None:
    if _ID.fullmatch(str(id_)):
        try:
            await call.query(SERVICE, "items.get", ById(int(str(id_))), Found)
        except DomainError as error:
            if error.reason != "row_not_found":
                raise
        else:
            raise conflict("id_present")
    raise invalid(FieldError("ID", "given_out"))


def _values(body: Mapping[str, Any]) -> dict[str, Any]:
    """The article's fields that a body names; the tax rate stands for its class until that is known. Raises ``invalid``."""
    faults: list[FieldError] = []
    values: dict[str, Any] = {}
    for name, value in body.items():
        column = ITEMS.column(name)
        if name in IGNORED:
            continue
        if column is None:
            faults.append(FieldError(shown(name), "unknown_field"))
            continue
        if not column.field:
            faults.append(FieldError(name, "only_read"))
            continue
        try:
            values[column.field] = _value(column, value)
        except Wrong as wrong:
            faults.append(FieldError(name, wrong.reason, wrong.params))
    if faults:
        raise invalid(*faults)
    return values


def _value(column: Column, value: Any) -> Any:
    """As an article keeps it: no text is none, a number that is null is 0."""
    if column.field == "is_active":
        if value is None or value_of(column, value) not in column.choices:
            raise Wrong("not_allowed", allowed=", ".join(map(str, column.choices)))
        return value_of(column, value) == 0
    if column.type is ColumnType.TEXT:
        if column.field == "description" and isinstance(value, str):
            value = value.replace("\r\n", "\n")
            return value or None
        return (value_of(column, value) if value is not None else "") or (None if column.field != "name" else "")
    return value_of(column, 0 if value is None else value).normalize()


async def _tax_class(call: Call, rate: Decimal) -> int:
    # the type checker takes no union for a type; the decoder does
    class_ = await call.query(SERVICE, "tax_class.of_rate", {"rate": rate}, int | None)  # type: ignore[arg-type]
    if class_ is None:
        raise invalid(FieldError("taxrate", "not_known", {"value": str(rate)[:50]}))
    return class_


async def _group(call: Call) -> str:
    """The group that items are made in; made when there is none. Its key is known beforehand, so two who make it at the same moment make
    one; when somebody deleted it, the next key is taken."""
    for number in range(1, GROUPS_MAX + 1):
        key = f"{ARTICLE_GROUP.prefix}_erp{number}"
        if await _is_group(call, key):
            return key
        try:
            body = {"key": key, "values": {"name": GROUP}}
            await call.command(SERVICE, "article_group.create", body, RecordView)
        except DomainError as error:
            if error.reason != "already_exists":
                raise
            if not await _is_group(call, key):
                continue
        return key
    raise conflict("too_many_records", max=GROUPS_MAX)


async def _is_group(call: Call, key: str) -> bool:
    try:
        await call.query(SERVICE, "article_group.get", ByKey(key), RecordView)
    except DomainError as error:
        if error.reason != "article_group_not_found":
            raise
        return False
    return True


def _refuse_parameters(call: Call) -> None:
    faults = [FieldError(name, "not_offered") for name in NOT_OFFERED if call.request.query.get(name) not in (None, "", "0", "false")]
    if faults:
        raise invalid(*faults)


_ALL: Final = "/{instance}/api/v1/items"
_ONE: Final = "/{instance}/api/v1/items/{ID}"
_READ: Final = ("inventory.items.get",)
_RATE: Final = ("inventory.tax_class.of_rate",)
_GROUP: Final = ("inventory.article_group.get", "inventory.article_group.create")
ROUTES: Final = (
    Route("POST", _ALL, "items", list_, asks=("inventory.items.list", "inventory.items.count")),
    Route("PUT", _ALL, "items", create, status=201, asks=("inventory.article.create", *_READ, *_RATE, *_GROUP)),
    Route("GET", _ONE, "items", get, asks=_READ, params=(IF_NONE_MATCH,)),
    Route("PATCH", _ONE, "items", update, asks=("inventory.article.change", *_READ, *_RATE), params=(IF_MATCH,)),
    Route("DELETE", _ONE, "items", delete, status=204, asks=("inventory.article.delete", *_READ), params=(IF_MATCH,)),
)
