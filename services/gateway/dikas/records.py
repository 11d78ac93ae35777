"""What the sections of edited things share: bodies to values, and list, get, create, update, delete as routes."""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Callable
from typing import Any, get_type_hints

import msgspec
from msgspec import UNSET

from libs.domain.records import RecordType, RecordView
from libs.records import tables
from libs.records.lists import Listing
from libs.runtime.records import Changes, Count
from services.gateway.dikas import shapes
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.listing import CHANGED_SINCE, CHANGED_UNTIL, TOTAL, list_params, listing_of, since_of
from services.gateway.dikas.names import dialect_name
from services.gateway.dikas.params import IF_MATCH, IF_NONE_MATCH, Param
from services.gateway.dikas.tags import if_match, tag


class Gone(msgspec.Struct, frozen=True):
    key: str


class GoneOut(msgspec.Struct, rename="camel"):
    """In a list of changes, what was deleted."""

    id: str
    is_deleted: bool
    changed_date: str


class Nothing(msgspec.Struct, frozen=True):
    """No inherited values."""


def values_of(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that a body names, under the domain's names."""
    return {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not UNSET}


class Section:
    """Routes of one kind of record. ``values``: its typed values; ``out``: a view in the dialect's shape; ``view``: what it is shown by;
    ``effective``: typed, what it inherits; ``live``: an answer shows more than the record, and its tag says so."""

    def __init__(
        self,
        section: str,
        path: str,
        record: RecordType,
        body: Any,
        values: Any,
        out: Callable[[Any], Any],
        *,
        view: Any = RecordView,
        effective: Any = Nothing,
        live: bool = False,
    ) -> None:
        self.section = section
        self.path = path
        self.service = record.service
        self.type = record
        self.record = record.name
        self.live = live or bool(record.above)
        self.required = tuple(dialect_name(field.name) for field in record.fields if field.required)
        self.body = body
        self.out = out
        self.answer: Any = get_type_hints(out)["return"]
        self.view: Any = msgspec.defstruct(
            f"{record.name}_view",
            [(f.name, {"values": values, "effective": effective}.get(f.name, f.type)) for f in msgspec.structs.fields(view)],
            frozen=True,
        )
        self.change: Any = msgspec.defstruct(
            f"{record.name}_change", [("view", self.view | None), ("gone", tables.Gone | None)], frozen=True
        )

    def key(self, call: Call) -> str:
        return call.id("id", f"{self.record}_not_found")

    async def view_of(self, call: Call) -> Any:
        return self.tagged(call, await call.query(self.service, f"{self.record}.get", {"key": self.key(call)}, self.view))

    async def changed(self, call: Call) -> Any:
        return await self.change_to(call, values_of(call.body))

    async def change_to(self, call: Call, values: dict[str, Any]) -> Any:
        body = {"key": self.key(call), "values": values, "if_match": if_match(call)}
        return await self._written(call, await call.command(self.service, f"{self.record}.change", body, self.view))

    async def created(self, call: Call) -> Any:
        body = {"values": values_of(call.body)}
        return await self._written(call, await call.command(self.service, f"{self.record}.create", body, self.view))

    async def _written(self, call: Call, view: Any) -> Any:
        """What a command answered, with what it inherits if it does."""
        if self.type.above:
            now = await call.query(self.service, f"{self.record}.get", {"key": view.key}, self.view)
            view = msgspec.structs.replace(view, effective=now.effective)
        return self.tagged(call, view)

    def tagged(self, call: Call, view: Any) -> Any:
        """The view; the answer gets its tag."""
        tag(call, self.record, view, live=self.live)
        return view

    async def shower(self, call: Call) -> Callable[[Any], Any]:
        """How the views of a list are shown."""
        return self.out

    async def list(self, call: Call) -> AsyncIterator[list[Any]]:
        """All of them, oldest first; or a page, those that fit a search and filters, in an order, or only what changed."""
        listing = listing_of(call, self.type)
        show = await self.shower(call)
        if call.given(CHANGED_SINCE):
            async for changed in _changes(self, call, show):
                yield changed
            return
        count = await call.query(self.service, f"{self.record}.count", listing, Count)
        call.headers[CHANGED_UNTIL] = str(count.position)
        if listing.page is not None:
            call.headers[TOTAL] = str(count.total)
        async for views in call.stream(self.service, f"{self.record}.list", listing, self.view):
            yield [show(view) for view in views]

    async def get(self, call: Call) -> Any:
        """One."""
        return self.out(await self.view_of(call))

    async def create(self, call: Call) -> Any:
        """A new one, with an id that Theke chooses."""
        return self.out(await self.created(call))

    async def update(self, call: Call) -> Any:
        """Fields that are not named stay as they are; null clears one."""
        return self.out(await self.changed(call))

    async def delete(self, call: Call) -> None:
        """Refused while other things refer to it."""
        await call.command(self.service, f"{self.record}.delete", {"key": self.key(call), "if_match": if_match(call)}, Gone)

    def asks(self, verb: str) -> tuple[str, ...]:
        """What a route of this section asks, by what it does: list, get, create, change or delete."""
        name = f"{self.service}.{self.record}"
        if verb == "list":
            return tuple(f"{name}.{what}" for what in ("list", "count", "changes", "position"))
        again = (f"{name}.get",) if self.type.above and verb in ("create", "change") else ()
        return (f"{name}.{verb}", *again)

    def list_params(self) -> tuple[Param, ...]:
        """What its list takes."""
        return list_params(self.type)

    def routes(self) -> tuple[Route, ...]:
        taken = self.list_params()
        item = self.answer | GoneOut if any(param.name == CHANGED_SINCE for param in taken) else self.answer
        answers: Any = types.GenericAlias(list, item)
        one = f"{self.path}/{{id}}"
        return (
            Route(
                "GET",
                self.path,
                self.section,
                self.list,
                stream=True,
                asks=self.asks("list"),
                params=taken,
                answer=answers,
            ),
            Route("GET", one, self.section, self.get, asks=self.asks("get"), params=(IF_NONE_MATCH,), answer=self.answer),
            Route(
                "POST",
                self.path,
                self.section,
                self.create,
                self.body,
                self.required,
                status=201,
                asks=self.asks("create"),
                answer=self.answer,
            ),
            Route("PUT", one, self.section, self.update, self.body, asks=self.asks("change"), params=(IF_MATCH,), answer=self.answer),
            Route("DELETE", one, self.section, self.delete, asks=self.asks("delete"), params=(IF_MATCH,)),
        )


def _gone_out(gone: tables.Gone) -> GoneOut:
    return GoneOut(gone.key, True, shapes.moment(gone.deleted_at))


async def _changes(section: Section, call: Call, show: Callable[[Any], Any]) -> AsyncIterator[list[Any]]:
    """What lies behind a position, up to the one that all tables show now; that one is for the next call."""
    until = (await call.query(section.service, f"{section.record}.count", Listing(page=1, page_size=1), Count)).position
    since = await since_of(call, section.type, until)
    assert since is not None
    call.headers[CHANGED_UNTIL] = str(until)
    async for changes in call.stream(section.service, f"{section.record}.changes", Changes(since, until), section.change):
        yield [_gone_out(change.gone) if change.view is None else show(change.view) for change in changes]
