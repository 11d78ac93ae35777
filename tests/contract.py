"""What the published document says of an answer. Every till of the tests looks its answers up here, so whatever the tests do holds the
document to it: an answer it does not name, or of another shape, fails the test in which it occurs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from libs.cli.docs import openapi_document
from services.gateway.dikas.routes import ROUTES

ANY_REQUEST: Final = {405, 408, 417, 431}  # how it was sent, not what it asked for
SCHEMA_ROWS_MAX: Final = 20  # of a list that is looked at closely, however deep it lies
URI: Final = "urn:openapi"


@cache
def document() -> Any:
    """As it is published."""
    return openapi_document()


@cache
def _strict() -> Any:
    """The same, but objects of answers hold nothing that is not named."""
    strict = deepcopy(document())
    for schema in _objects(strict["components"]["schemas"]):
        schema.setdefault("additionalProperties", False)
    return strict


def _objects(value: Any) -> Any:
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(one)
    if isinstance(value, dict) and value.get("type") == "object" and "properties" in value:
        yield value


@cache
def _registry() -> Registry[Any]:
    return Registry().with_resource(URI, Resource(contents=_strict(), specification=DRAFT202012))


_PATHS: Final = [
    (route.method, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(route.path))), route)
    for route in sorted(ROUTES, key=lambda route: route.path.count("{"))
]


@cache
def _operation(method: str, path: str) -> Any:
    for known, pattern, route in _PATHS:
        if known == method and route.listed and pattern.fullmatch(path):
            return document()["paths"][route.path][method.lower()]
    return None


@cache
def _validator(pointer: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"{URI}#{pointer}"}, registry=_registry())


def fits(method: str, path: str, status: int, headers: Mapping[str, str], body: Any) -> None:
    """Asserts that the document names such an answer. ``body``: decoded JSON, or None for what has no envelope."""
    path = path.partition("?")[0]
    operation = _operation("GET" if method == "HEAD" else method, path)
    if operation is None or status in ANY_REQUEST or status == 500:
        return
    assert str(status) in operation["responses"], f"{operation['operationId']} answered {status}, which is documented nowhere"
    answer = operation["responses"][str(status)]
    if "$ref" in answer:
        answer = document()["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    if "content" not in answer or method == "HEAD":
        return
    type_ = headers["Content-Type"].partition(";")[0]
    assert type_ in answer["content"], f"{operation['operationId']} answered {type_}"
    if body is not None and status < 400:
        _check(operation, status, body)


def _looked_at(value: Any) -> Any:
    """Lists cut short: a receipt of 500 lines is looked at by its first ones."""
    if isinstance(value, dict):
        return {name: _looked_at(one) for name, one in value.items()}
    return [_looked_at(one) for one in value[:SCHEMA_ROWS_MAX]] if isinstance(value, list) else value


def _check(operation: Any, status: int, body: Any) -> None:
    body = _looked_at(body)
    path, method = _place(operation["operationId"])
    escaped = path.replace("~", "~0").replace("/", "~1")
    pointer = f"/paths/{escaped}/{method}/responses/{status}/content/application~1json/schema"
    faults = [f"{'.'.join(map(str, fault.absolute_path))}: {fault.message}" for fault in _validator(pointer).iter_errors(body)]
    assert not faults, f"{operation['operationId']} {status}: {faults[:5]}"


@cache
def _place(operation_id: str) -> tuple[str, str]:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            if operation["operationId"] == operation_id:
                return path, method
    raise LookupError(operation_id)
