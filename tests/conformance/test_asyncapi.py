"""The AsyncAPI document is one, and says of every published event what really leaves Theke."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from jsonschema import Draft7Validator

from libs.bus.subjects import published
from libs.cli import docs
from libs.eventstore.codec import encode
from libs.runtime.asyncapi import channel_of
from libs.runtime.published import published_events
from libs.runtime.publishing import render
from tests.golden import FOLDER

DOCUMENT: Final[dict[str, Any]] = json.loads(docs.ASYNCAPI.read_text(encoding="utf-8"))
META: Final = json.loads((Path(__file__).parent / "asyncapi-3.0.0.json").read_text(encoding="utf-8"))
EVENTS: Final = [(service, cls) for service, events in published_events().items() for cls in events.values()]
VERSIONS: Final = [(service, cls.TYPE, version) for service, cls in EVENTS for version in range(1, cls.VERSION + 1)]


def payload(type_: str, version: int) -> Draft7Validator:
    """What a message of this kind must look like."""
    return Draft7Validator({**DOCUMENT, "$ref": f"#/components/messages/{type_}.v{version}/payload"})


def message(service: str, type_: str, version: int, shape: str) -> tuple[str, dict[str, Any]]:
    """Subject and body of an event as it was written with this version, rendered as every event is."""
    data = json.loads((FOLDER / f"{type_}.v{version}.json").read_text(encoding="utf-8"))[shape]
    row = {
        "instance": 17, "position": 4, "stream": "thing-1", "version": 2, "id": UUID(int=7), "type": type_, "schema_version": version,
        "data": encode(data), "meta": b'{"actor":"usr_1"}', "at": datetime(2026, 3, 5, 12, 30, tzinfo=UTC), "number": 3,
    }  # fmt: skip
    rendered = render(service, row)
    return rendered.subject, json.loads(rendered.payload)


def test_the_document_fits_the_schema_of_asyncapi() -> None:
    assert not [fault.message for fault in Draft7Validator(META).iter_errors(DOCUMENT)]
    broken = {**DOCUMENT, "operations": {"sold": {"action": "shout", "channel": {"$ref": "#/channels/sold"}}}}
    assert not Draft7Validator(META).is_valid(broken), "the schema can refuse"


def test_every_reference_leads_somewhere() -> None:
    def references(value: Any) -> Any:
        if isinstance(value, dict):
            yield from (value["$ref"],) if "$ref" in value else ()
            for one in value.values():
                yield from references(one)
        elif isinstance(value, list):
            for one in value:
                yield from references(one)

    found = set(references(DOCUMENT))
    assert len(found) > len(EVENTS)
    for reference in found:
        place: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_every_published_event_has_its_channel_and_nothing_else_has() -> None:
    assert DOCUMENT["channels"].keys() == DOCUMENT["operations"].keys() == {channel_of(service, cls) for service, cls in EVENTS}
    assert DOCUMENT["components"]["messages"].keys() == {f"{type_}.v{version}" for _, type_, version in VERSIONS}
    for service, cls in EVENTS:
        aggregate, _, name = cls.TYPE.partition(".")
        channel = DOCUMENT["channels"][channel_of(service, cls)]
        assert channel["address"].format(instance="i17") == published(service, 17, aggregate, name)
        assert len(channel["messages"]) == cls.VERSION


@pytest.mark.parametrize(("service", "type_", "version"), VERSIONS)
def test_a_message_is_as_the_document_says(service: str, type_: str, version: int) -> None:
    for shape in ("full", "least"):
        subject, body = message(service, type_, version, shape)
        assert subject == DOCUMENT["channels"][channel_of(service, published_events()[service][type_])]["address"].format(instance="i17")
        payload(type_, version).validate(body)


def test_a_message_of_another_kind_does_not_fit() -> None:
    _, body = message("pos", "receipt.issued", 1, "full")
    assert payload("receipt.issued", 1).is_valid(body)
    assert not payload("receipt.signed", 1).is_valid(body)
    for wrong in ({"schemaversion": 2}, {"position": "4"}, {"data": {**body["data"], "gross": "7.00"}}, {"specversion": "0.3"}):
        assert not payload("receipt.issued", 1).is_valid({**body, **wrong}), wrong


def test_the_reference_leads_to_what_the_gateway_serves() -> None:
    assert (docs.REFERENCE / "asyncapi.json").resolve() == docs.ASYNCAPI
