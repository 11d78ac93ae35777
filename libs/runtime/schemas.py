"""Published events as JSON Schema, as they stand in ``data``: one schema per type and version, of which those once published are kept in
``libs/contracts/schemas``. ``python -m tests.golden`` writes that of a new event or version and adds optional fields; nothing else of what
is kept ever changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

import libs.contracts
from libs.domain.events import Event
from libs.eventstore.codec import encode

FOLDER: Final = Path(libs.contracts.__path__[0]) / "schemas"

_SIMPLE: Final[dict[type[inspect.Type], dict[str, Any]]] = {
    inspect.StrType: {"type": "string"},
    inspect.IntType: {"type": "integer"},
    inspect.BoolType: {"type": "boolean"},
    inspect.NoneType: {"type": "null"},
    inspect.DecimalType: {"type": "string", "format": "decimal"},
    inspect.DateTimeType: {"type": "string", "format": "date-time"},
    inspect.DateType: {"type": "string", "format": "date"},
    inspect.TimeType: {"type": "string", "format": "time"},
    inspect.UUIDType: {"type": "string", "format": "uuid"},
    inspect.AnyType: {},  # JSON that a client keeps there
    inspect.RawType: {},
}


def schema_of(cls: type[msgspec.Struct]) -> dict[str, Any]:
    """The shape of an event or of what stands in one. Names that it does not hold may be there: readers pass them over."""
    described = inspect.type_info(cls)
    assert isinstance(described, inspect.StructType)
    schema: dict[str, Any] = {"title": cls.__name__}
    if cls.__doc__ and cls.__doc__ != Event.__doc__:
        schema["description"] = " ".join(cls.__doc__.replace("``", "`").split())
    schema |= {"type": "object", "properties": {field.encode_name: _field(field) for field in described.fields}}
    if required := [field.encode_name for field in described.fields if field.required]:
        schema["required"] = required
    return schema


def _field(field: inspect.Field) -> dict[str, Any]:
    schema = _type(field.type)
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if field.required or default is msgspec.UNSET or default is msgspec.NODEFAULT:
        return schema  # a change that leaves a field out leaves it alone
    return {**schema, "default": msgspec.json.decode(encode(default))}


def _type(type_: inspect.Type) -> dict[str, Any]:
    match type_:
        case inspect.UnionType(types=types):
            return _union([_type(one) for one in types])
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return {"type": "array", "items": _type(item)}
        case inspect.DictType(value_type=value):
            return {"type": "object", "additionalProperties": _type(value)}
        case inspect.LiteralType(values=values):
            return {"enum": sorted(values)}
        case inspect.EnumType(cls=cls):
            return {"enum": sorted(member.value for member in cls)}
        case inspect.StructType(cls=cls):
            return schema_of(cls)
    return dict(_SIMPLE[type(type_)])


def _union(options: list[dict[str, Any]]) -> dict[str, Any]:
    """A type and null as one schema, where that can be said."""
    null = {"type": "null"}
    rest = [option for option in options if option != null]
    if len(rest) == len(options) or len(rest) > 1 or not isinstance(rest[0].get("type"), str):
        return {"anyOf": options}
    return {**rest[0], "type": [rest[0]["type"], "null"]}


def file_of(type_: str, version: int) -> Path:
    return FOLDER / f"{type_}.v{version}.json"


def kept(type_: str, version: int) -> dict[str, Any]:
    """What was published. Raises FileNotFoundError for what never was."""
    found: dict[str, Any] = json.loads(file_of(type_, version).read_text(encoding="utf-8"))
    return found
