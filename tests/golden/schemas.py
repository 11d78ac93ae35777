"""What readers of published events rely on: how a schema differs from the one that was published, beyond optional fields that it gained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

TOLD: Final = ("title", "description")  # may be said better
_ABSENT: Final = object()


def differences(kept: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """Each is a sentence that names the field. None: whoever reads events of the kept schema reads those of the present one, and the other
    way round."""
    return list(_differences(kept, present, ""))


def _differences(kept: Mapping[str, Any], present: Mapping[str, Any], path: str) -> Iterator[str]:
    place = path or "the event"
    if kept.get("type") != present.get("type"):
        yield f"{place} changed its type from {kept.get('type')} to {present.get('type')}"
        return
    yield from _values(kept, present, place)
    yield from _options(kept, present, path)
    for name in sorted((kept.keys() | present.keys()) - {*TOLD, "type", "enum", "anyOf", "properties", "required", "items", "default"}):
        old, new = kept.get(name, _ABSENT), present.get(name, _ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{path}[*]")
        elif old != new:
            yield f"{place} changed its {name}"
    if kept.get("default", _ABSENT) != present.get("default", _ABSENT):
        yield f"{place} has another default"
    yield from _fields(kept, present, path)
    if "items" in kept and "items" in present:
        yield from _differences(kept["items"], present["items"], f"{path}[]")


def _values(kept: Mapping[str, Any], present: Mapping[str, Any], place: str) -> Iterator[str]:
    if ("enum" in kept) != ("enum" in present):
        yield f"{place} changed what values it takes"
        return
    old, new = kept.get("enum", ()), present.get("enum", ())
    yield from (f"{place} lost the value {value!r}" for value in old if value not in new)
    yield from (f"{place} gained the value {value!r}, which nobody knows yet" for value in new if value not in old)


def _options(kept: Mapping[str, Any], present: Mapping[str, Any], path: str) -> Iterator[str]:
    old, new = kept.get("anyOf", ()), present.get("anyOf", ())
    if len(old) != len(new):
        yield f"{path or 'the event'} changed its types"
        return
    for one, other in zip(old, new, strict=True):
        yield from _differences(one, other, path)


def _fields(kept: Mapping[str, Any], present: Mapping[str, Any], path: str) -> Iterator[str]:
    old, new = kept.get("properties", {}), present.get("properties", {})
    before, now = set(kept.get("required", ())), set(present.get("required", ()))
    for name, schema in old.items():
        field = f"{path}.{name}" if path else name
        if name not in new:
            yield f"{field} is gone"
            continue
        if name in before and name not in now:
            yield f"{field} may be absent now"
        if name in now and name not in before:
            yield f"{field} is required now"
        yield from _differences(schema, new[name], field)
    for name in new:
        if name not in old and name in now:
            yield f"{f'{path}.{name}' if path else name} is new and required: earlier events do not have it"
