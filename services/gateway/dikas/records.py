"""What the sections of edited things share: bodies to values, and list, get, create, update, delete as routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from msgspec import UNSET

from libs.domain.records import RecordView
from services.gateway.dikas.call import Call, Route


class Gone(msgspec.Struct, frozen=True):
    key: str


def values_of(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that a body names, under the domain's names."""
    return {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not UNSET}


class Section:
    """Routes of one kind of record. ``values``: its typed values; ``out``: a view in the dialect's shape."""

    def __init__(self, section: str, path: str, service: str, record: str, body: Any, values: Any, out: Callable[[Any], Any]) -> None:
        self.section = section
        self.path = path
        self.service = service
        self.record = record
        self.body = body
        self.out = out
        self.view: Any = msgspec.defstruct(
            f"{record}_view",
            [(f.name, values if f.name == "values" else f.type) for f in msgspec.structs.fields(RecordView)],
            frozen=True,
        )

    async def list(self, call: Call) -> AsyncIterator[list[Any]]:
        async for views in call.stream(self.service, f"{self.record}.list", {}, self.view):
            yield [self.out(view) for view in views]

    async def get(self, call: Call) -> Any:
        return self.out(await call.query(self.service, f"{self.record}.get", {"key": call.params["id"]}, self.view))

    async def create(self, call: Call) -> Any:
        return self.out(await call.command(self.service, f"{self.record}.create", {"values": values_of(call.body)}, self.view))

    async def update(self, call: Call) -> Any:
        """Fields that are not named stay as they are; null clears one."""
        body = {"key": call.params["id"], "values": values_of(call.body)}
        return self.out(await call.command(self.service, f"{self.record}.change", body, self.view))

    async def delete(self, call: Call) -> None:
        await call.command(self.service, f"{self.record}.delete", {"key": call.params["id"]}, Gone)

    def routes(self) -> tuple[Route, ...]:
        one = f"{self.path}/{{id}}"
        return (
            Route("GET", self.path, self.section, self.list, stream=True),
            Route("GET", one, self.section, self.get),
            Route("POST", self.path, self.section, self.create, self.body, status=201),
            Route("PUT", one, self.section, self.update, self.body),
            Route("DELETE", one, self.section, self.delete),
        )
