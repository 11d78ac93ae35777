"""What the sections of edited things share: bodies to values, and list, get, create, update, delete as routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from msgspec import UNSET

from libs.domain.records import RecordType, RecordView
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.names import dialect_name


class Gone(msgspec.Struct, frozen=True):
    key: str


def values_of(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that a body names, under the domain's names."""
    return {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not UNSET}


class Section:
    """Routes of one kind of record. ``values``: its typed values; ``out``: a view in the dialect's shape; ``view``: what it is shown by."""

    def __init__(
        self, section: str, path: str, record: RecordType, body: Any, values: Any, out: Callable[[Any], Any], view: Any = RecordView
    ) -> None:
        self.section = section
        self.path = path
        self.service = record.service
        self.record = record.name
        self.required = tuple(dialect_name(field.name) for field in record.fields if field.required)
        self.body = body
        self.out = out
        self.view: Any = msgspec.defstruct(
            f"{record.name}_view",
            [(f.name, values if f.name == "values" else f.type) for f in msgspec.structs.fields(view)],
            frozen=True,
        )

    def key(self, call: Call) -> str:
        return call.id("id", f"{self.record}_not_found")

    async def view_of(self, call: Call) -> Any:
        return await call.query(self.service, f"{self.record}.get", {"key": self.key(call)}, self.view)

    async def changed(self, call: Call) -> Any:
        return await call.command(self.service, f"{self.record}.change", {"key": self.key(call), "values": values_of(call.body)}, self.view)

    async def list(self, call: Call) -> AsyncIterator[list[Any]]:
        """All of them, oldest first."""
        async for views in call.stream(self.service, f"{self.record}.list", {}, self.view):
            yield [self.out(view) for view in views]

    async def get(self, call: Call) -> Any:
        """One."""
        return self.out(await self.view_of(call))

    async def create(self, call: Call) -> Any:
        """A new one, with an id that Theke chooses."""
        return self.out(await call.command(self.service, f"{self.record}.create", {"values": values_of(call.body)}, self.view))

    async def update(self, call: Call) -> Any:
        """Fields that are not named stay as they are; null clears one."""
        return self.out(await self.changed(call))

    async def delete(self, call: Call) -> None:
        """Refused while other things refer to it."""
        await call.command(self.service, f"{self.record}.delete", {"key": self.key(call)}, Gone)

    def asks(self, verb: str) -> tuple[str, ...]:
        """What a route of this section asks, by what it does: list, get, create, change or delete."""
        return (f"{self.service}.{self.record}.{verb}",)

    def routes(self) -> tuple[Route, ...]:
        one = f"{self.path}/{{id}}"
        return (
            Route("GET", self.path, self.section, self.list, stream=True, asks=self.asks("list")),
            Route("GET", one, self.section, self.get, asks=self.asks("get")),
            Route("POST", self.path, self.section, self.create, self.body, self.required, status=201, asks=self.asks("create")),
            Route("PUT", one, self.section, self.update, self.body, asks=self.asks("change")),
            Route("DELETE", one, self.section, self.delete, asks=self.asks("delete")),
        )
