"""The published language keeps its word: what readers of an event rely on never changes under its version."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft7Validator

from libs.runtime import schemas
from libs.runtime.published import published_events, published_types
from libs.runtime.publishing import is_published
from tests.golden import FOLDER, declared_events
from tests.golden.schemas import differences

PUBLISHED = {type_: cls for events in published_events().values() for type_, cls in events.items()}
VERSIONS = [(type_, version) for type_, cls in PUBLISHED.items() for version in range(1, cls.VERSION + 1)]


def test_the_catalogue_holds_every_event_that_is_published_and_no_other() -> None:
    declared = {type_ for type_ in declared_events() if is_published(type_)}
    assert declared == PUBLISHED.keys()
    assert {"user.created", "session.ended"} <= published_types("auth")
    assert "monitor.noted" in declared_events()
    assert "monitor.noted" not in PUBLISHED
    assert published_types("nobody") == frozenset()


@pytest.mark.parametrize("type_", PUBLISHED)
def test_an_event_keeps_the_schema_it_was_published_with(type_: str) -> None:
    cls = PUBLISHED[type_]
    kept, present = schemas.kept(type_, cls.VERSION), schemas.schema_of(cls)
    assert not differences(kept, present), "raise the event's version and write an upcaster"
    assert kept == present, "run python -m tests.golden"


@pytest.mark.parametrize(("type_", "version"), VERSIONS)
def test_what_was_ever_written_fits_the_schema_of_its_version(type_: str, version: int) -> None:
    """Made in two ways: the golden events as they were written to logs, the schemas from the declarations."""
    schema = schemas.kept(type_, version)
    Draft7Validator.check_schema(schema)
    shapes = json.loads((FOLDER / f"{type_}.v{version}.json").read_text(encoding="utf-8"))
    for shape in ("full", "least"):
        Draft7Validator(schema).validate(shapes[shape])
    assert set(shapes["full"]) == set(schema["properties"])
    assert set(shapes["least"]) == set(schema.get("required", ()))


def test_no_schema_is_kept_of_what_was_never_published() -> None:
    assert {path.name for path in schemas.FOLDER.iterdir()} == {f"{type_}.v{version}.json" for type_, version in VERSIONS}


# --- the comparison itself ----------------------------------------------------------------------------------------------------

SHAPE: dict[str, Any] = {
    "title": "Sold",
    "type": "object",
    "properties": {
        "number": {"type": "integer"},
        "kind": {"enum": ["card", "cash"]},
        "note": {"type": ["string", "null"], "default": None},
        "price": {"type": "string", "format": "decimal"},
        "by_rate": {"type": "object", "additionalProperties": {"type": "integer"}},
        "lines": {
            "type": "array",
            "items": {"type": "object", "properties": {"total": {"type": "integer"}, "course": {"type": "integer"}}, "required": ["total"]},
        },
    },
    "required": ["number", "kind", "lines"],
}


def changed(*path: str, to: Any = None) -> dict[str, Any]:
    """The shape with something else at a place; None: nothing."""
    shape: dict[str, Any] = deepcopy(SHAPE)
    inner = shape
    for name in path[:-1]:
        inner = inner[name]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return shape


LINE = ("properties", "lines", "items")
BREAKS = {
    "note is gone": changed("properties", "note"),
    "lines[].course is gone": changed(*LINE, "properties", "course"),
    "number changed its type from integer to string": changed("properties", "number", "type", to="string"),
    "note changed its type from ['string', 'null'] to string": changed("properties", "note", "type", to="string"),
    "lines[].total changed its type from integer to number": changed(*LINE, "properties", "total", "type", to="number"),
    "by_rate[*] changed its type from integer to string": changed("properties", "by_rate", "additionalProperties", to={"type": "string"}),
    "price changed its format": changed("properties", "price", to={"type": "string"}),
    "price is required now": changed("required", to=["number", "kind", "lines", "price"]),
    "lines[].course is required now": changed(*LINE, "required", to=["total", "course"]),
    "number may be absent now": changed("required", to=["kind", "lines"]),
    "kind lost the value 'cash'": changed("properties", "kind", to={"enum": ["card"]}),
    "kind gained the value 'voucher', which nobody knows yet": changed("properties", "kind", to={"enum": ["card", "cash", "voucher"]}),
    "kind changed what values it takes": changed("properties", "kind", to={}),
    "note has another default": changed("properties", "note", "default", to=""),
}


@pytest.mark.parametrize("says", BREAKS)
def test_a_change_that_breaks_readers_is_named(says: str) -> None:
    assert says in differences(SHAPE, BREAKS[says])


def test_a_renamed_field_is_one_gone_and_one_new() -> None:
    renamed = changed("properties", "number")
    renamed["properties"]["no"] = {"type": "integer"}
    renamed["required"] = ["no", "kind", "lines"]
    assert differences(SHAPE, renamed) == ["number is gone", "no is new and required: earlier events do not have it"]


def test_a_new_field_that_is_required_is_named() -> None:
    grown = changed("properties", "till", to={"type": "string"})
    grown["required"] = [*SHAPE["required"], "till"]
    assert differences(SHAPE, grown) == ["till is new and required: earlier events do not have it"]


def test_a_new_field_that_may_be_absent_breaks_nobody() -> None:
    grown = changed("properties", "till", to={"type": "string", "default": ""})
    grown["properties"]["lines"]["items"]["properties"]["seat"] = {"type": "integer"}
    assert differences(SHAPE, grown) == []


def test_a_shape_may_be_told_better() -> None:
    told = changed("title", to="A sale")
    told["properties"]["number"]["description"] = "On the receipt."
    assert differences(SHAPE, told) == []
    assert differences(SHAPE, SHAPE) == []


def test_types_of_a_choice_are_compared_one_by_one() -> None:
    one = {"anyOf": [{"enum": ["a"]}, {"type": "null"}]}
    assert differences(one, {"anyOf": [{"enum": ["b"]}, {"type": "null"}]}) == [
        "the event lost the value 'a'", "the event gained the value 'b', which nobody knows yet",
    ]  # fmt: skip
    assert differences(one, {"anyOf": [{"enum": ["a"]}]}) == ["the event changed its types"]
