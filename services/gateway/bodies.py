"""Request bodies: decoded at once if they are right; if not, field by field, so that every field at fault is named."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Hashable, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Final, TypeVar, Union

import msgspec

from libs.domain.errors import DomainError, FieldError, Kind, invalid
from libs.domain.records import INT32_MAX

T = TypeVar("T")

BODY_MAX_BYTES: Final = 480 * 1024  # leaves room in a request of the bus
FAULTS_MAX: Final = 100
DEPTH_MAX: Final = 32

Whole = Annotated[int, msgspec.Meta(ge=-INT32_MAX, le=INT32_MAX)]
"""An integer as bodies may carry it; what does not fit 32 bits fits no field of any service."""

_plain = msgspec.json.Decoder(float_hook=Decimal)
_EXPECTED: Final = (
    (bool, "expected_boolean"),
    (int, "expected_integer"),
    (Decimal, "expected_number"),
    (str, "expected_text"),
    (date, "expected_date"),
)
_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_NUL: Final = rb"\u0000"  # the only control character that no domain rule and no database lets pass, wherever it stands


class _Shape(msgspec.Struct, frozen=True):
    """How a type is decoded; ``quoted`` finds a number that stands in quotes, which the decoder would take."""

    decoder: Any
    quoted: re.Pattern[bytes]


def decode(raw: bytes, type_: type[T], required: Sequence[str] = ()) -> T:
    """Raises DomainError ``invalid``: what makes it no JSON, or every field that is missing or of the wrong type. ``required``: fields
    that must be there although the type does without them."""
    shape = _shape(typing.cast("Hashable", type_))
    reason = ""
    try:
        decoded: T = shape.decoder.decode(raw)
        if _NUL not in raw and not shape.quoted.search(raw):
            _refuse_repeated_keys(raw, _plain.decode(raw))
            return decoded
    except msgspec.ValidationError as error:
        reason = str(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(raw, error) from None
    whole = plain(raw)
    faults: list[FieldError] = []
    _examine(whole, type_, "", faults)
    if faults and isinstance(whole, dict):
        faults += [FieldError(name, "required") for name in required if whole.get(name) is None and all(f.path != name for f in faults)]
    if faults or reason:
        raise invalid(*faults[:FAULTS_MAX] or (FieldError("", "malformed", {"detail": reason[:200]}),))
    return decoded


@cache
def _shape(type_: Any) -> _Shape:
    names = sorted(_number_names(type_))
    pattern = rb'"(?:' + "|".join(names).encode() + rb')"\s*:\s*"' if names else rb"(?!)"
    return _Shape(msgspec.json.Decoder(type_), re.compile(pattern))


def _number_names(type_: Any) -> set[str]:
    """The names of all decimal fields in a type, however deep."""
    type_ = _bare(type_)
    if typing.get_origin(type_) in (list, tuple):
        return _number_names(typing.get_args(type_)[0])
    if not (isinstance(type_, type) and issubclass(type_, msgspec.Struct)):
        return set()
    hints = typing.get_type_hints(type_)
    names: set[str] = set()
    for field in msgspec.structs.fields(type_):
        names |= {field.encode_name} if _bare(hints[field.name]) is Decimal else _number_names(hints[field.name])
    return names


def plain(raw: bytes) -> Any:
    """JSON of any shape; numbers with a point are Decimal. Raises ``invalid``: what makes it no JSON."""
    try:
        found = _plain.decode(raw)
        _refuse_repeated_keys(raw, found)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(raw, error) from None
    return found


def _no_json(raw: bytes, error: Exception) -> DomainError:
    if isinstance(error, RecursionError):
        return DomainError(Kind.INVALID, "json_too_deep", {"max": DEPTH_MAX})
    if isinstance(error, UnicodeDecodeError):
        return DomainError(Kind.INVALID, "malformed_json", {"byte": error.start})
    found = _BYTE.search(str(error))
    return DomainError(Kind.INVALID, "malformed_json", {"byte": int(found[1]) if found else len(raw)})


def _refuse_repeated_keys(raw: bytes, plain: Any) -> None:
    """A key that stands twice in an object means one thing to one reader and another to the next. Every key has a colon, so with as
    many colons as keys that were kept there is none; colons in texts are looked at closely."""
    if raw.count(b":") != _count_keys(plain, 0):
        json.loads(raw, object_pairs_hook=_once)


def _count_keys(value: Any, depth: int) -> int:
    if depth > DEPTH_MAX:
        raise RecursionError
    if type(value) is dict:
        return len(value) + sum(_count_keys(one, depth + 1) for one in value.values() if type(one) in (dict, list))
    if type(value) is list:
        return sum(_count_keys(one, depth + 1) for one in value if type(one) in (dict, list))
    return 0


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise DomainError(Kind.INVALID, "json_key_repeated", {"key": key[:100]})
        seen[key] = value
    return seen


def _examine(value: Any, type_: Any, path: str, faults: list[FieldError]) -> None:
    """Collects what is wrong with a value, down to its leaves."""
    if len(faults) >= FAULTS_MAX:
        return
    bare = _bare(type_)
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        _examine_struct(value, bare, path, faults)
    elif typing.get_origin(bare) in (list, tuple):
        _examine_list(value, typing.get_args(bare)[0], path, faults)
    else:
        _examine_leaf(value, type_, bare, path, faults)


def _examine_struct(value: Any, type_: type[msgspec.Struct], path: str, faults: list[FieldError]) -> None:
    if not isinstance(value, dict):
        faults.append(FieldError(path, "expected_object"))
        return
    for name, hint, required, nullable in _fields(type_):
        where = f"{path}.{name}" if path else name
        if name not in value:
            if required:
                faults.append(FieldError(where, "required"))
        elif value[name] is None:
            if not nullable:
                faults.append(FieldError(where, "required"))
        else:
            _examine(value[name], hint, where, faults)


@cache
def _fields(type_: type[msgspec.Struct]) -> tuple[tuple[str, Any, bool, bool], ...]:
    """(name in JSON, type, required, may be null) of every field."""
    hints = typing.get_type_hints(type_, include_extras=True)
    return tuple(
        (field.encode_name, hints[field.name], field.required, type(None) in typing.get_args(hints[field.name]))
        for field in msgspec.structs.fields(type_)
    )


def _examine_list(value: Any, item: Any, path: str, faults: list[FieldError]) -> None:
    if not isinstance(value, list):
        faults.append(FieldError(path, "expected_list"))
        return
    for number, entry in enumerate(value):
        if len(faults) >= FAULTS_MAX:
            return
        _examine(entry, item, f"{path}[{number}]", faults)


def _examine_leaf(value: Any, type_: Any, bare: Any, path: str, faults: list[FieldError]) -> None:
    if bare is msgspec.Raw:
        return  # decoded by itself later
    if isinstance(value, str) and "\0" in value:
        faults.append(FieldError(path, "unprintable"))
        return
    if bare is Decimal and isinstance(value, str):
        faults.append(FieldError(path, "expected_number"))
        return
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        faults.append(_fault(path, value, bare, str(error)))


def _fault(path: str, value: Any, type_: Any, detail: str) -> FieldError:
    if type_ is int and type(value) is int:
        return FieldError(path, "out_of_range", {"min": -INT32_MAX, "max": INT32_MAX})
    for known, reason in _EXPECTED:
        if type_ is known:
            return FieldError(path, reason)
    return FieldError(path, "malformed", {"detail": detail[:200]})


@cache
def _bare(type_: Any) -> Any:
    """``X | None | UnsetType`` and ``Annotated[X, …]`` → ``X``."""
    if typing.get_origin(type_) is Annotated:
        return _bare(typing.get_args(type_)[0])
    if typing.get_origin(type_) not in (Union, types.UnionType):
        return type_
    rest = [one for one in typing.get_args(type_) if one not in (type(None), msgspec.UnsetType)]
    return _bare(rest[0]) if len(rest) == 1 else type_
