"""The public interface as an OpenAPI 3.1 document, made from the routes: what they read, what they answer, and every way they refuse.

It is written to ``static/openapi.json`` by ``python -m libs.cli.docs``, which also knows what the services behind a route ask for; the
gateway serves that file.
"""

from __future__ import annotations

import re
import typing
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from types import UnionType
from typing import Any, Final, Union

import msgspec

from services.gateway import limits
from services.gateway.dikas.call import Picture, Route
from services.gateway.dikas.events import BATCH
from services.gateway.dikas.examples import EXAMPLES, Example, path_thing, sound
from services.gateway.dikas.params import Form, Param, Place, schema_of
from services.gateway.dikas.spreadsheet import CSV

JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"
REF: Final = "#/components/schemas/{name}"
DIALECT: Final = "https://spec.openapis.org/oas/3.1/dialect/base"
INTRODUCTION: Final = """The till's interface. Every answer is JSON in an envelope of `data`, `isSuccess`, `message` and `errors`, unless
another type is named. Amounts are euros as JSON numbers, times are ISO 8601 in UTC. Log in with `POST /api/v1/auth/login` and send the
`accessToken` as a bearer token.

Every write takes an `Idempotency-Key`: the same key with the same body gets the same answer and has no second effect, so a request whose
answer was lost can be repeated. Fields that Theke does not know are ignored, in bodies as in the query; clients should do the same with
answers, which may grow fields. Every `GET` also answers `HEAD`.

Beside what an operation names, any request can be refused for how it is sent: 405 (no such method), 408 (the body comes too slowly), 417
(unknown `Expect`), 431 (headers too large). 500 is a mistake of Theke's; its `Theke-Trace` leads to the log."""

REFUSED: Final[Mapping[int, str]] = {
    304: "It is what `If-None-Match` names; no body.",
    400: "The request is wrong; every field at fault is named.",
    401: "No token, or not a valid one.",
    403: "The employee may not do this.",
    404: "Something that is named does not exist.",
    409: "It does not fit what has happened meanwhile, or what is there.",
    410: "The business is closed; or changes since then are not known: read everything.",
    412: "It has changed since it was read.",
    413: "Too much at once: the body, or the rows of a list that is not paged.",
    415: "A body of another type than those named.",
    422: "It is understood and cannot be done; or the `Idempotency-Key` was used for something else.",
    429: "Too many attempts or requests; `Retry-After` says when to go on.",
    503: "Whether a write stands is not known: repeat it with the same `Idempotency-Key` after `Retry-After`.",
}

Needs = Callable[[Route], Sequence[str] | None]
"""What an employee needs for a route; none: nothing but a login."""


def document(routes: Iterable[Route], sections: Iterable[str], needs: Needs, version: str) -> dict[str, Any]:
    """``sections``: all there are, in their order; those without a route are left out."""
    listed = [route for route in routes if route.listed]
    schemas = _Schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas, needs(route))
    used = {route.section for route in listed}
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": {"title": "Theke", "version": version, "description": INTRODUCTION, "license": LICENSE},
        "servers": [{"url": "/", "description": "The installation that serves this document."}],
        "tags": [{"name": section} for section in dict.fromkeys((*sections, *sorted(used))) if section in used],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "Of a program; it only reads."},
            },
            "headers": HEADERS,
            "responses": {_refusal_name(status): _refusal(status) for status in REFUSED},
            "schemas": {"Refusal": REFUSAL, **schemas.components},
        },
    }


LICENSE: Final = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
HEADERS: Final[Mapping[str, Any]] = {
    "Theke-Trace": {"description": "Under this id the logs tell what happened.", "schema": {"type": "string"}},
    "Theke-Projection": {
        "description": "There if the write stands but lists may not show it yet.",
        "schema": {"type": "string", "enum": ["behind"]},
    },
    "Retry-After": {"description": "Seconds until a repeat makes sense.", "schema": {"type": "integer", "minimum": 1}},
    "ETag": {"description": "What it is now, for `If-Match` and `If-None-Match`.", "schema": {"type": "string"}},
    "Theke-Total": {"description": "The rows of all pages; there if a page was asked for.", "schema": {"type": "integer", "minimum": 0}},
    "Theke-Next-After": {"description": "What the next `after` must be to miss nothing.", "schema": {"type": "integer", "minimum": 0}},
    "Theke-Log-Head": {"description": "The last position of the log.", "schema": {"type": "integer", "minimum": 0}},
    "Link": {"description": 'The next batch, as `rel="next"`.', "schema": {"type": "string"}},
    "Theke-Changed-Until": {"description": "What the next `changedSince` must be to miss nothing.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "How to prove who one is.", "schema": {"type": "string"}},
}
_FAILED: Final = {"isSuccess": {"type": "boolean", "const": False}, "data": {"type": "null"}}
REFUSAL: Final[Mapping[str, Any]] = {
    "description": "Why a request was refused; texts in the language of `Accept-Language`.",
    "type": "object",
    "properties": {
        **_FAILED,
        "message": {"type": "string", "description": "The headline."},
        "errors": {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "What exactly is wrong, a sentence each."},
    },
    "required": ["data", "isSuccess", "message", "errors"],
}


# --- operations ---------------------------------------------------------------------------------------------------------------


def _operation(route: Route, schemas: _Schemas, needed: Sequence[str] | None) -> dict[str, Any]:
    summary, _, rest = markdown(route.handler.__doc__).partition(". ")
    told = [rest.rstrip(".") + "." if rest.strip(". ") else "", _rights(needed)]
    if route.csv is not None:
        told.append("With `Accept: text/csv` a table, in the form spreadsheets of the language of `Accept-Language` take.")
    operation: dict[str, Any] = {
        "tags": [route.section],
        "operationId": operation_id(route),
        "summary": summary.rstrip("."),
        "description": " ".join(filter(None, told)),
        "parameters": [_parameter(route, param) for param in _params(route)],
        "responses": _responses(route, schemas, needed),
    }
    if route.public:
        operation["security"] = []
    elif route.method == "GET":
        operation["security"] = [{"bearer": []}, {"key": []}]
    body = _request_body(route, schemas)
    if body:
        operation["requestBody"] = body
    return {name: value for name, value in operation.items() if value != "" and (name == "security" or value != [])}


def operation_id(route: Route) -> str:
    """``GET /api/v1/articles/{id}`` → ``getArticlesById``"""
    words = re.findall(r"\{?\w+", route.path.removeprefix("/api/v1"))
    return route.method.lower() + "".join(f"By{_title(word[1:])}" if word[0] == "{" else _title(word) for word in words)


def _title(word: str) -> str:
    return word[:1].upper() + word[1:]


def markdown(docstring: str | None) -> str:
    return " ".join((docstring or "").replace("``", "`").split())


def _rights(needed: Sequence[str] | None) -> str:
    return f"Needs {' and '.join(f'`{one}`' for one in needed)}." if needed else ""


LANGUAGE: Final = Param(
    "Accept-Language", Form.TEXT, "`de` (default) or `en`.", max_chars=limits.LANGUAGES_MAX_CHARS, example="en", place=Place.HEADER
)
INSTANCE: Final = Param("Theke-Instance", Form.ID, "The business this is meant for; checked against the token.", place=Place.HEADER)
KEY: Final = Param(
    "Idempotency-Key",
    Form.TEXT,
    "Makes the write safe to repeat; printable, chosen by the client, a new one for everything it does.",
    max_chars=limits.IDEMPOTENCY_KEY_MAX_CHARS,
    place=Place.HEADER,
)


def _params(route: Route) -> Iterator[Param]:
    declared = {param.name: param for param in route.params}
    for name in path_names(route):
        yield declared.pop(name) if name in declared else Param(name, Form.ID, "", example=path_thing(route.method, route.path))
    yield from declared.values()
    if route.method != "GET" and not route.public:
        yield KEY
    yield from (INSTANCE, LANGUAGE)


def path_names(route: Route) -> list[str]:
    return re.findall(r"\{(\w+)", route.path)


def _parameter(route: Route, param: Param) -> dict[str, Any]:
    in_path = param.name in path_names(route)
    shown = {
        "name": param.name,
        "in": "path" if in_path else str(param.place),
        "required": in_path or param.required,
        "description": param.what,
        "schema": schema_of(param),
    }
    if param.example is not None:
        shown["example"] = sound(param.example)
    return {name: value for name, value in shown.items() if value not in ("", False)}


# --- bodies -------------------------------------------------------------------------------------------------------------------


def _request_body(route: Route, schemas: _Schemas) -> dict[str, Any]:
    if route.accepts:
        return {"required": True, "content": {type_: _binary(type_) for type_ in route.accepts}}
    if route.body is None:
        return {}
    schema = schemas.of(route.shown or route.body)
    if route.required:
        schema = {"allOf": [schema, {"type": "object", "required": list(route.required)}]}
    content: dict[str, Any] = {"schema": schema}
    if examples := EXAMPLES.get(f"{route.method} {route.path}"):
        content["examples"] = {example.name: _example(example) for example in examples}
    return {
        "required": not route.body_may_be_absent,
        "description": f"At most {route.body_max_bytes // 1024} KiB.",
        "content": {JSON: content},
    }


def _example(example: Example) -> dict[str, Any]:
    return {"summary": example.summary, "value": sound(example.body)}


def _binary(type_: str) -> dict[str, Any]:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    if type_ == MULTIPART:
        return {"schema": {"type": "object", "properties": {"file": file}, "required": ["file"]}}
    return {"schema": {"type": "string", "contentMediaType": type_}}


# --- answers ------------------------------------------------------------------------------------------------------------------


def _responses(route: Route, schemas: _Schemas, needed: Sequence[str] | None) -> dict[str, Any]:
    declared = {param.name for param in route.params}
    told = {
        "Theke-Trace": True,
        "Theke-Projection": route.method != "GET",
        "ETag": bool(declared & {"If-Match", "If-None-Match"}) and route.method != "DELETE",
        "Theke-Total": route.stream and "page" in declared,
        "Theke-Changed-Until": "changedSince" in declared,
        **dict.fromkeys(("Theke-Next-After", "Theke-Log-Head", "Link"), "after" in declared),
    }
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name, there in told.items() if there}
    done = {"description": HTTPStatus(route.status).phrase, "headers": headers, "content": _content(route, schemas)}
    refusals = {str(status): {"$ref": f"#/components/responses/{_refusal_name(status)}"} for status in refusals_of(route, needed)}
    return {str(route.status): done, **refusals}


# types of answers that are JSON without the envelope
MEDIA: Final[Mapping[str, Any]] = {
    BATCH: {"type": "array", "items": {"type": "object", "description": "A CloudEvent; `/asyncapi.json` says what is in it."}}
}


def _content(route: Route, schemas: _Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {}
    data = [part for part in parts(answer_of(route)) if part is not Picture]
    if data:
        content[JSON] = {"schema": _envelope(schemas.any_of(data))}
    if route.csv is not None:
        content[CSV] = {"schema": {"type": "string"}}
    return content | {type_: {"schema": MEDIA.get(type_, {"type": "string", "contentMediaType": type_})} for type_ in route.media}


def _envelope(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "data": data,
            "isSuccess": {"type": "boolean", "const": True},
            "message": {"type": "null"},
            "errors": {"type": "null"},
        },
        "required": ["data", "isSuccess", "message", "errors"],
    }


def answer_of(route: Route) -> Any:
    """The type of the data: what the route says, or its handler's annotation; of a list in pieces, the whole list."""
    answer = route.answer or typing.get_type_hints(route.handler)["return"]
    return typing.get_args(answer)[0] if typing.get_origin(answer) is AsyncIterator else answer


def refusals_of(route: Route, needed: Sequence[str] | None) -> list[int]:
    """Every status a route refuses with, in order."""
    names = {param.name for param in route.params}
    writes = route.method != "GET"
    found = {400, 401, 429, 503, *route.refuses}
    found |= {403} if needed else set()
    found |= {404} if path_names(route) or _names_things(route.shown or route.body) else set()
    found |= {409, 422} if writes and not route.public else set()
    found |= {413, 415} if route.body is not None or route.accepts else set()
    found |= {413} if route.stream and "page" in names else set()
    found |= {412} if "If-Match" in names else set()
    found |= {304} if "If-None-Match" in names else set()
    found |= {410} if writes or "changedSince" in names else set()
    return sorted(found)


def _names_things(type_: Any) -> bool:
    """Whether a body holds the id of something, however deep."""
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        hints = typing.get_type_hints(type_)
        return any(
            re.search(r"(?:^id|Ids?)$", field.encode_name) or _names_things(hints[field.name]) for field in msgspec.structs.fields(type_)
        )
    return any(_names_things(part) for part in typing.get_args(type_))


def _refusal_name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")


def _refusal(status: int) -> dict[str, Any]:
    names = ["Theke-Trace", *{401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, ())]
    answer: dict[str, Any] = {
        "description": REFUSED[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    }
    if status >= 400:
        answer["content"] = {JSON: {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    return answer


# --- schemas ------------------------------------------------------------------------------------------------------------------


class _Schemas:
    """Schemas of all types that the routes name. Two of the same name get that of their section in front."""

    def __init__(self, routes: Sequence[Route]) -> None:
        bodies = [route.shown or route.body for route in routes if route.body is not None]
        answers = [part for route in routes for part in parts(answer_of(route)) if part is not Picture]
        types = list(dict.fromkeys((*bodies, *_items(answers))))
        schemas, components = msgspec.json.schema_components(types, ref_template=REF)
        self._of = dict(zip(types, (self._told(schema) for schema in schemas), strict=True))
        self.components = {_plain(name): self._told(schema) for name, schema in sorted(components.items(), key=lambda one: _plain(one[0]))}
        assert len({name.lower() for name in self.components}) == len(components), "two schemas of one name"

    def of(self, type_: Any) -> dict[str, Any]:
        if typing.get_origin(type_) is list:
            return {"type": "array", "items": self.any_of(parts(typing.get_args(type_)[0]))}
        schema: dict[str, Any] = self._of[type_]
        return schema

    def any_of(self, types: Sequence[Any]) -> dict[str, Any]:
        schemas = [self.of(type_) for type_ in types]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def _told(self, schema: Any) -> Any:
        """As bodies are read and answers are written: decimals as numbers, null as one type among others, plain names."""
        if isinstance(schema, list | tuple):
            return [self._told(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        told = {name: self._told(value) for name, value in schema.items() if not (name == "required" and value == [])}
        if told.get("type") == "string" and told.get("format") == "decimal":
            told = {**told, "type": "number"}
            del told["format"]
            if isinstance(told.get("default"), str):
                told["default"] = msgspec.json.decode(told["default"])
        if "$ref" in told:
            told["$ref"] = REF.format(name=_plain(told["$ref"].rpartition("/")[2]))
        if isinstance(told.get("description"), str):
            told["description"] = markdown(told["description"])
        return _nullable(told)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """``anyOf`` a simple type and null → both types in one list."""
    options = schema.get("anyOf")
    if not options or len(options) != 2 or {"type": "null"} not in options:
        return schema
    (simple,) = [option for option in options if option != {"type": "null"}]
    if not isinstance(simple.get("type"), str) or "enum" in simple:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**simple, "type": [simple["type"], "null"], **rest}


def _plain(name: str) -> str:
    """``services.gateway.dikas.reports.TaxOut`` → ``ReportsTax``; the endings that tell bodies from answers stay where both are."""
    *modules, own = name.split(".")
    place = "".join(_title(word) for word in modules[-1].split("_")) if modules else ""
    return place + own.removesuffix("Out")


def parts(type_: Any) -> list[Any]:
    """A union's types, or the only one."""
    return list(typing.get_args(type_)) if typing.get_origin(type_) in (Union, UnionType) else [type_]


def _items(types: Iterable[Any]) -> Iterator[Any]:
    """What lists hold, and all else as it is."""
    for type_ in types:
        if typing.get_origin(type_) is list:
            yield from _items(parts(typing.get_args(type_)[0]))
        else:
            yield type_
