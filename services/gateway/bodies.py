"""Request bodies: decoded at once if they are right; if not, field by field, so that every field at fault is named."""

from __future__ import annotations

import types
import typing
from decimal import Decimal
from typing import Any, Final, TypeVar, Union

import msgspec

from libs.domain.errors import DomainError, FieldError, Kind, invalid

T = TypeVar("T")

BODY_MAX_BYTES: Final = 480 * 1024  # leaves room in a request of the bus
FAULTS_MAX: Final = 100

_plain = msgspec.json.Decoder(float_hook=Decimal)
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}

_EXPECTED: Final = (
    (bool, "expected_boolean"),
    (int, "expected_integer"),
    (Decimal, "expected_number"),
    (str, "expected_text"),
)


def decode(raw: bytes, type_: type[T]) -> T:
    """Raises DomainError ``invalid``: ``malformed_json``, or naming every field that is missing or of the wrong type."""
    decoder = _decoders.get(type_)
    if decoder is None:
        decoder = _decoders[type_] = msgspec.json.Decoder(type_)
    try:
        decoded: T = decoder.decode(raw)
        return decoded
    except msgspec.ValidationError as error:
        reason = str(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DomainError(Kind.INVALID, "malformed_json", {"detail": str(error)[:200]}) from None
    faults: list[FieldError] = []
    _examine(_plain.decode(raw), type_, "", faults)
    raise invalid(*faults[:FAULTS_MAX]) if faults else invalid(FieldError("", "malformed", {"detail": reason[:200]}))


def _examine(value: Any, type_: Any, path: str, faults: list[FieldError]) -> None:
    """Collects what is wrong with a value, down to its leaves."""
    if len(faults) >= FAULTS_MAX:
        return
    type_ = _without_none(type_)
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        _examine_struct(value, type_, path, faults)
    elif typing.get_origin(type_) in (list, tuple):
        _examine_list(value, typing.get_args(type_)[0], path, faults)
    else:
        try:
            msgspec.convert(value, type_)
        except msgspec.ValidationError as error:
            faults.append(_fault(path, type_, str(error)))


def _examine_struct(value: Any, type_: type[msgspec.Struct], path: str, faults: list[FieldError]) -> None:
    if not isinstance(value, dict):
        faults.append(FieldError(path, "expected_object"))
        return
    hints = typing.get_type_hints(type_)
    for field in msgspec.structs.fields(type_):
        where = f"{path}.{field.encode_name}" if path else field.encode_name
        if field.encode_name not in value:
            if field.required:
                faults.append(FieldError(where, "required"))
        elif value[field.encode_name] is None:
            if not _allows_none(hints[field.name]):
                faults.append(FieldError(where, "required"))
        else:
            _examine(value[field.encode_name], hints[field.name], where, faults)


def _examine_list(value: Any, item: Any, path: str, faults: list[FieldError]) -> None:
    if not isinstance(value, list):
        faults.append(FieldError(path, "expected_list"))
        return
    for number, entry in enumerate(value):
        if len(faults) >= FAULTS_MAX:
            return
        _examine(entry, item, f"{path}[{number}]", faults)


def _fault(path: str, type_: Any, detail: str) -> FieldError:
    for known, reason in _EXPECTED:
        if type_ is known:
            return FieldError(path, reason)
    return FieldError(path, "malformed", {"detail": detail[:200]})


def _allows_none(type_: Any) -> bool:
    return type(None) in typing.get_args(type_)


def _without_none(type_: Any) -> Any:
    """``X | None | UnsetType`` → ``X``."""
    if typing.get_origin(type_) not in (Union, types.UnionType):
        return type_
    rest = [one for one in typing.get_args(type_) if one not in (type(None), msgspec.UnsetType)]
    return rest[0] if len(rest) == 1 else type_
