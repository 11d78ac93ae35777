"""Every version of every event ever written, as it stands in logs: what is here must be readable for ever.

A file holds ``full`` (every field has a value), ``least`` (only what must be there), ``defaults`` (what is meant by a field that is
absent) and ``choices`` (the values of fields that take only some). ``python -m tests.golden`` writes the files of new events and
versions. Under its version an event may only gain optional fields: who does not know them passes them over, so what an older process
must not overlook is a new version.
"""

from __future__ import annotations

import importlib
import pkgutil
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from msgspec import inspect

import libs.contracts
import services
from libs.domain.events import Event, known_events
from libs.eventstore.codec import encode

FOLDER = Path(__file__).parent / "events"
CODE = ("libs.", "services.")

_VALUES: dict[type[inspect.Type], Any] = {
    inspect.StrType: "Käse",
    inspect.IntType: 7,
    inspect.BoolType: True,
    inspect.DecimalType: Decimal("1.50"),
    inspect.DateTimeType: datetime(2026, 3, 5, 12, 30, 15, 250_000, tzinfo=UTC),
    inspect.DateType: date(2026, 3, 5),
    inspect.TimeType: time(4, 30),
    inspect.UUIDType: UUID("6f1f1a3c-7b0e-5d4e-9a53-2f6f0c9d7e11"),
    inspect.AnyType: {"Käse": [7, "Käse", None]},  # JSON that a client keeps there
}


def declared_events() -> dict[str, type[Event]]:
    """All events of libraries and services (not those that tests declare)."""
    for package in (libs.contracts, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return {name: cls for name, cls in sorted(known_events().items()) if cls.__module__.startswith(CODE)}


def _value(type_: inspect.Type) -> Any:
    match type_:
        case inspect.UnionType(types=types):
            return _value(next(one for one in types if not isinstance(one, inspect.NoneType)))
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return [_value(item)]
        case inspect.DictType(key_type=key, value_type=value):
            return {_value(key): _value(value)}
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.EnumType(cls=cls):
            members: list[Enum] = list(cls)
            return members[0].value
        case inspect.StructType(cls=cls):
            return _filled(cls, full=True)
    return _VALUES[type(type_)]


def _filled(cls: Any, *, full: bool) -> dict[str, Any]:
    described = inspect.type_info(cls)
    assert isinstance(described, inspect.StructType)
    return {field.encode_name: _value(field.type) for field in described.fields if full or field.required}


def _defaults(cls: Any) -> dict[str, Any]:
    described = inspect.type_info(cls)
    assert isinstance(described, inspect.StructType)
    found: dict[str, Any] = {}
    for field in described.fields:
        if field.required:
            continue
        if field.default is not msgspec.NODEFAULT:
            found[field.encode_name] = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            found[field.encode_name] = field.default_factory()
        else:
            found[field.encode_name] = "(not named)"  # UNSET: a change that leaves the field alone
    return found


def _choices(cls: Any, path: str = "") -> dict[str, list[Any]]:
    """Where only some values are allowed: an older process could not read a new one."""
    found: dict[str, list[Any]] = {}
    described = inspect.type_info(cls)
    assert isinstance(described, inspect.StructType)
    for field in described.fields:
        types = [field.type]
        for type_ in types:
            match type_:
                case inspect.UnionType(types=parts):
                    types += parts
                case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
                    types.append(item)
                case inspect.LiteralType(values=values):
                    found[path + field.encode_name] = sorted(values)
                case inspect.EnumType(cls=enum):
                    found[path + field.encode_name] = sorted(member.value for member in enum)
                case inspect.StructType(cls=inner):
                    found |= _choices(inner, f"{path}{field.encode_name}.")
    return found


def golden(cls: type[Event]) -> dict[str, Any]:
    """What the file of an event's present version must hold."""
    shape = {"full": _filled(cls, full=True), "least": _filled(cls, full=False), "defaults": _defaults(cls), "choices": _choices(cls)}
    plain: dict[str, Any] = msgspec.json.decode(encode(shape))
    return plain


def extends(present: Any, kept: Any, *, least: bool = False) -> bool:
    """Whether a shape is the one that was kept, with at most optional fields added."""
    if isinstance(kept, dict) and isinstance(present, dict):
        grown = not least or present.keys() == kept.keys()
        return grown and present.keys() >= kept.keys() and all(extends(present[name], kept[name], least=name == "least") for name in kept)
    if isinstance(kept, list) and isinstance(present, list) and len(kept) == len(present):
        return all(extends(one, other) for one, other in zip(present, kept, strict=True))
    return bool(present == kept)


def file_of(type_: str, version: int) -> Path:
    return FOLDER / f"{type_}.v{version}.json"
