"""The published language as an AsyncAPI 3 document: every event with its subject, the CloudEvent around it, and its data by version.

``python -m libs.cli.docs`` writes it; the gateway serves what was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from libs.bus.subjects import published
from libs.domain.events import Event
from libs.domain.ids import instance_token
from libs.runtime.published import published_events, services_of
from libs.runtime.publishing import CloudEvent
from libs.runtime.schemas import kept, schema_of

CLOUD_EVENT: Final = "application/cloudevents+json"
ENVELOPE: Final = "CloudEvent"
ANY_INSTANCE: Final = 0  # stands for the parameter while addresses are made
REF: Final = "#/components/{kind}/{name}"
INTRODUCTION: Final = """What Theke publishes, for systems that follow it. Every message is a CloudEvents 1.0 document in JSON; `data` is
the event itself. Each service has one log per instance, and its messages come in the order of that log: `position` counts its events from
1 and equals the sequence in the JetStream stream `EVT_<service>_<instance>`, so whoever keeps the position of the last message knows where
to go on. Positions of events that are not published are left out. An event may come more than once; its `id` stays the same.

Amounts in `data` are integers of minor units (cents), prices, quantities and rates are decimals written as text, times are in UTC. A field
that is absent has its default. An event may gain optional fields under its version; readers pass over names that they do not know.
Anything else is a new version: `schemaversion` says which one a message has, and events keep the version that they were written with.

Without NATS the same messages come from `GET /api/v1/events` and as webhooks."""
ENVELOPE_FIELDS: Final = {
    "specversion": "CloudEvents 1.0.",
    "id": "Of the event, for ever the same.",
    "source": "The log: `theke/<service>/<instance>`.",
    "type": "`<aggregate>.<event>`.",
    "subject": "The stream: `receipt-rcp_…`.",
    "time": "When the log took it.",
    "position": "In the log of its service and instance, counted from 1 without gaps; a log's own order.",
    "instance": "`i` and a number.",
    "stream": "What it happened to; equal to `subject`.",
    "version": "In its stream, counted from 1.",
    "schemaversion": "Of the shape of `data`.",
    "data": "The event itself.",
    "actor": "The key of who did it; absent if Theke itself did.",
    "correlation": "What events of one cause have alike.",
    "causation": "The event that led to it, if one did.",
    "number": "That its series gave it: of a receipt, a Z report, an invoice. Without gaps.",
}


def document(version: str) -> dict[str, Any]:
    """``version``: of Theke."""
    found = [(service, cls) for service, events in published_events().items() for cls in events.values()]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Theke",
            "version": version,
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": service} for service in published_events()],
        },
        "defaultContentType": CLOUD_EVENT,
        "channels": {channel_of(service, cls): _channel(service, cls) for service, cls in found},
        "operations": {channel_of(service, cls): _operation(service, cls) for service, cls in found},
        "components": {
            "messages": {name: _message(cls, of) for _, cls in found for of, name in _versions(cls)},
            "parameters": {"instance": {"description": "`i` and the number of an instance: `i17`.", "examples": ["i1"]}},
            "schemas": {
                ENVELOPE: _envelope(),
                **{name: schema_of(cls) if of == cls.VERSION else kept(cls.TYPE, of) for _, cls in found for of, name in _versions(cls)},
            },
        },
    }


def address(service: str, type_: str) -> str:
    """Where an event goes; the instance is a parameter."""
    aggregate, _, name = type_.partition(".")
    return published(service, ANY_INSTANCE, aggregate, name).replace(f".{instance_token(ANY_INSTANCE)}.", ".{instance}.")


def _versions(cls: type[Event]) -> Iterator[tuple[int, str]]:
    """Each with the name of its message and of the schema of its data."""
    for version in range(1, cls.VERSION + 1):
        yield version, f"{cls.TYPE}.v{version}"


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": REF.format(kind=kind, name=name)}


def _channel(service: str, cls: type[Event]) -> dict[str, Any]:
    return {
        "address": address(service, cls.TYPE),
        "parameters": {"instance": _ref("parameters", "instance")},
        "messages": {name: _ref("messages", name) for _, name in _versions(cls)},
    }


def channel_of(service: str, cls: type[Event]) -> str:
    """Its name in the document: the event's, after the service's if it is in several logs."""
    return cls.TYPE if len(services_of(cls)) == 1 else f"{service}.{cls.TYPE}"


def _operation(service: str, cls: type[Event]) -> dict[str, Any]:
    told = schema_of(cls).get("description", "")
    summary = {"summary": told.split(". ")[0].rstrip(".") + "."} if told else {}
    return {"action": "send", "channel": {"$ref": f"#/channels/{channel_of(service, cls)}"}, **summary}


def _message(cls: type[Event], version: int) -> dict[str, Any]:
    exactly = {"type": {"const": cls.TYPE}, "schemaversion": {"const": version}, "data": _ref("schemas", f"{cls.TYPE}.v{version}")}
    return {
        "name": cls.TYPE,
        "title": cls.__name__,
        "contentType": CLOUD_EVENT,
        "tags": [{"name": service} for service in services_of(cls)],
        "payload": {"allOf": [_ref("schemas", ENVELOPE), {"type": "object", "properties": exactly}]},
    }


def _envelope() -> dict[str, Any]:
    schema = schema_of(CloudEvent)
    fields = {name: {**of, "description": ENVELOPE_FIELDS[name]} for name, of in schema["properties"].items() if name in ENVELOPE_FIELDS}
    fields["specversion"] = {"const": "1.0", "description": ENVELOPE_FIELDS["specversion"]}
    fields["datacontenttype"] = {"const": "application/json"}
    fields["data"] = {"type": "object", "description": ENVELOPE_FIELDS["data"]}
    return {
        "title": ENVELOPE,
        "description": "CloudEvents 1.0 in JSON, with what Theke adds.",
        "type": "object",
        "properties": fields,
        "required": schema["required"],
    }
